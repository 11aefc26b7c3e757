// Circular buffers between the roles of a PE, and the scoped windows through which pages are produced and consumed.
#pragma once

#include <exception>

#include "tile.h"

namespace mtia {

class ProcessingElement;

namespace detail {

// The role that makes what the roles of a PE share, while it does.
__attribute__((visibility("hidden"))) inline thread_local mtia_role* constructing = nullptr;

// Pages of a circular buffer while one role works on them; the end of the window pushes or pops them.
template <typename TileType, uint32_t Count, bool Producing>
class Window {
 public:
  using element_type = typename TileType::element_type;
  using tile_type = TileType;
  static constexpr bool is_window = true;
  static constexpr bool is_producing = Producing;
  static constexpr uint32_t count = Count;

  Window(mtia_role* role, uint32_t buffer, SourceLine where)
      : role_(role), buffer_(buffer), exceptions_(std::uncaught_exceptions()), where_(where) {
    (Producing ? api->reserve : api->front)(role_, buffer_, Count, tiles_, where_.line);
  }
  // A role that unwinds has failed: what it was about to hand on is not handed on.
  ~Window() {
    if (std::uncaught_exceptions() == exceptions_)
      (Producing ? api->push : api->pop)(role_, buffer_, Count, tiles_, where_.line);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  TileType operator[](uint32_t page) const { return TileType(tiles_[page]); }
  TileType tile() const {
    static_assert(Count == 1, "mtia_rule_a_window_of_several_pages_needs_an_index");
    return TileType(tiles_[0]);
  }
  const mtia_tile& window_handle() const {
    static_assert(Count == 1, "mtia_rule_a_window_of_several_pages_needs_an_index");
    return tiles_[0];
  }
  auto clip(int64_t rows, int64_t columns) const { return tile().clip(rows, columns); }
  auto transposed() const { return tile().transposed(); }

 private:
  mtia_role* role_;
  uint32_t buffer_;
  int exceptions_;
  SourceLine where_;
  mtia_tile tiles_[Count];
};

}  // namespace detail

// Pages being produced: pushed when the window ends.
template <typename TileType, uint32_t Count = 1>
using Reserved = detail::Window<TileType, Count, true>;
// The oldest pages, being consumed: popped when the window ends.
template <typename TileType, uint32_t Count = 1>
using Front = detail::Window<TileType, Count, false>;

// A ring of equal pages in local memory with one producer and one consumer role. `Pages` may be dynamic_pages.
inline constexpr uint32_t dynamic_pages = 0;

template <typename TileType, uint32_t Pages = 2>
class CircularBuffer {
  static_assert(requires { TileType::is_tile; }, "mtia_rule_circular_buffers_hold_tiles");
  static_assert(Pages <= 64, "mtia_rule_circular_buffers_have_at_most_64_pages");

 public:
  using tile_type = TileType;
  static constexpr uint32_t pages = Pages;

  // Within the struct that the roles of a PE share. `name` is for reports.
  explicit CircularBuffer(const char* name = nullptr, SourceLine where = SourceLine::here())
      : CircularBuffer(detail::constructing, name, TileType::static_rows, TileType::static_columns, Pages, where) {
    static_assert(TileType::static_rows != dynamic && TileType::static_columns != dynamic && Pages != dynamic_pages,
                  "mtia_rule_a_circular_buffer_of_dynamic_tiles_needs_its_extents");
  }
  // Within a role, which then is its producer and its consumer.
  explicit CircularBuffer(ProcessingElement& pe, const char* name = nullptr, SourceLine where = SourceLine::here());
  // With extents and pages that are known when the kernel runs.
  CircularBuffer(ProcessingElement& pe, const char* name, int64_t rows, int64_t columns, uint32_t page_count = Pages,
                 SourceLine where = SourceLine::here());
  CircularBuffer(const CircularBuffer&) = delete;
  CircularBuffer& operator=(const CircularBuffer&) = delete;

  uint32_t number() const { return number_; }

 private:
  CircularBuffer(mtia_role* role, const char* name, int64_t rows, int64_t columns, uint32_t page_count,
                 SourceLine where)
      : number_(detail::api->make_circular_buffer(role, name, TileType::dtype, rows, columns, page_count, where.line)) {
  }

  uint32_t number_;
};

}  // namespace mtia
