// What a role of a kernel does on its processing element. Destinations come first, then sources; a tile, a window of
// one page and an accumulator may stand wherever a tile is read. What types show to be wrong fails to compile under the
// rule's name; the rest is checked when the kernel runs and reported with the line of the call.
#pragma once

#include <cstddef>
#include <type_traits>

#include "circular_buffer.h"
#include "debugging.h"
#include "tensor.h"
#include "tile.h"

namespace mtia {

enum class Along : uint8_t { row, column };  // of the grid of PEs

enum class Reduce : uint8_t { sum, product, max, min, maximum, minimum };
enum class Compare : uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };
// Of float products: the chip's float32, or its narrower types in one or more passes (docs/isa.md, dot).
enum class Precision : uint8_t { ieee, tf32, tf32x3, bf16x3, bf16x6 };
enum class Random : uint8_t { bits, uniform, normal };

namespace detail {

template <typename X>
concept HasTile = requires(const X& x) { x.tile(); };
template <typename X>
concept AnAccumulator = requires { X::is_accumulator; };
template <typename X>
concept TileLike = HasTile<X> || AnAccumulator<X>;
template <typename X>
concept Number = std::is_same_v<X, bool> || requires(X x) {
  static_cast<double>(x);
  requires !TileLike<X>;
};

template <typename X>
using type_of = typename X::tile_type;

// The number of an operation, and whether it has an instruction for float or for integer elements.
enum class Operation : uint32_t {
#define MTIA_OPERATION(method, operands, float_name, signed_name, unsigned_name) method,
#include "operations.def"
#undef MTIA_OPERATION
};
constexpr bool exists(const char* instruction) {
  return !(instruction[0] == 'n' && instruction[1] == 'o' && instruction[2] == 'n' && instruction[3] == 'e');
}

// A destination that its window may not change.
template <typename X>
constexpr bool writable() {
  if constexpr (requires { X::is_producing; }) return X::is_producing;
  return true;
}

template <typename D>
constexpr void check_destination() {
  static_assert(writable<D>(), "mtia_rule_a_front_window_is_read_only");
}

template <typename D, typename S>
constexpr void check_same_elements() {
  static_assert(std::is_same_v<typename D::element_type, typename S::element_type>,
                "mtia_rule_elements_must_agree: convert first");
}

template <typename D>
constexpr void check_row_major() {
  static_assert(std::is_same_v<typename D::layout, RowMajor>, "mtia_rule_tile_must_be_row_major: transpose it first");
}

template <typename D, typename S>
constexpr void check_same_extents() {
  static_assert(agree(D::static_rows, S::static_rows) && agree(D::static_columns, S::static_columns),
                "mtia_rule_extents_must_agree");
}

template <typename D, typename S>
constexpr void check_broadcast() {
  static_assert(broadcasts(S::static_rows, D::static_rows) && broadcasts(S::static_columns, D::static_columns),
                "mtia_rule_operand_must_broadcast_to_the_result");
}

}  // namespace detail

class ProcessingElement {
 public:
  explicit ProcessingElement(mtia_role* role) : role_(role) {}
  ProcessingElement(const ProcessingElement&) = delete;
  ProcessingElement& operator=(const ProcessingElement&) = delete;

  int64_t index() const { return role_->index; }  // of this PE in the launch grid, row by row
  int64_t count() const { return role_->count; }
  int64_t row() const { return role_->row; }
  int64_t column() const { return role_->column; }
  int64_t rows() const { return role_->rows; }
  int64_t columns() const { return role_->columns; }

  // `for (int64_t item : pe.share_of(items))`: items dealt to the PEs in turn.
  struct Share {
    struct Place {
      int64_t item;
      int64_t step;
      int64_t operator*() const { return item; }
      void operator++() { item += step; }
      bool operator!=(const Place& end) const { return item < end.item; }
    };
    Place first, last;
    Place begin() const { return first; }
    Place end() const { return last; }
  };
  Share share_of(int64_t items) const { return {{index(), count()}, {items, count()}}; }

  // ---- local memory
  // A Tile or an Accumulator, uninitialised, until the role ends. Throws OutOfLocalMemory.
  template <typename Wanted>
  Wanted allocate(SourceLine where = SourceLine::here()) {
    return allocate<Wanted>(extents_of<Wanted>()[0], extents_of<Wanted>()[1], where);
  }
  template <typename Wanted>
  Wanted allocate(int64_t rows, int64_t columns, SourceLine where = SourceLine::here()) {
    mtia_tile handle;
    detail::api->allocate(role_, detail::Element<typename Wanted::element_type>::dtype, rows, columns, &handle,
                          where.line);
    return Wanted(handle);
  }
  uint64_t local_bytes_free() const { return detail::api->local_bytes_free(role_); }

  // ---- circular buffers: wait for `Count` free or pushed pages
  template <uint32_t Count = 1, typename TileType, uint32_t Pages>
  Reserved<TileType, Count> reserve(CircularBuffer<TileType, Pages>& buffer, SourceLine where = SourceLine::here()) {
    static_assert(Pages == dynamic_pages || Count <= Pages, "mtia_rule_a_window_must_fit_its_circular_buffer");
    return Reserved<TileType, Count>(role_, buffer.number(), where);
  }
  template <uint32_t Count = 1, typename TileType, uint32_t Pages>
  Front<TileType, Count> front(CircularBuffer<TileType, Pages>& buffer, SourceLine where = SourceLine::here()) {
    static_assert(Pages == dynamic_pages || Count <= Pages, "mtia_rule_a_window_must_fit_its_circular_buffer");
    return Front<TileType, Count>(role_, buffer.number(), where);
  }

  // ---- fabric interface
  template <detail::HasTile D, typename T, int Rank>
  void load(const D& destination, const Region<T, Rank>& source, SourceLine where = SourceLine::here()) {
    const mtia_region region = region_for<D>(source);
    detail::api->load(role_, &handle(destination), &region, where.line);
  }
  template <typename T, int Rank, detail::TileLike S>
  void store(const Region<T, Rank>& destination, const S& source, SourceLine where = SourceLine::here()) {
    static_assert(!std::is_const_v<T>, "mtia_rule_a_tensor_of_const_elements_is_read_only");
    const mtia_region region = region_for<S>(destination);
    const auto tile = read_tile(source, where);
    detail::api->store(role_, &region, &tile.handle(), where.line);
  }
  // destination's row r = row indices[r] of the tensor, from the region's first column on. The indices are a row or a
  // column of int32_t or int64_t; one outside of the tensor is OutOfBounds.
  template <detail::HasTile D, typename T, detail::HasTile I>
  void gather(const D& destination, const Region<T, 2>& source, const I& indices,
              SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    indexed<D, I>(0, destination.tile(), source, indices, where);
  }
  template <typename T, detail::HasTile I, detail::TileLike S>
  void scatter(const Region<T, 2>& destination, const I& indices, const S& source,
               SourceLine where = SourceLine::here()) {
    static_assert(!std::is_const_v<T>, "mtia_rule_a_tensor_of_const_elements_is_read_only");
    indexed<S, I>(1, read_tile(source, where), destination, indices, where);
  }
  // Adds to memory; rows in order, one rounding an addition.
  template <typename T, detail::HasTile I, detail::TileLike S>
  void scatter_add(const Region<T, 2>& destination, const I& indices, const S& source,
                   SourceLine where = SourceLine::here()) {
    static_assert(!std::is_const_v<T>, "mtia_rule_a_tensor_of_const_elements_is_read_only");
    indexed<S, I>(2, read_tile(source, where), destination, indices, where);
  }

  // ---- dot product engine: sum += a b, or sum = a b where the accumulator is empty. Operands may be transposed views.
  template <typename T, int64_t Rows, int64_t Columns, detail::HasTile A, detail::HasTile B>
  void dot(Accumulator<T, Rows, Columns>& sum, const A& a, const B& b, Precision precision = Precision::ieee,
           SourceLine where = SourceLine::here()) {
    using Left = detail::type_of<A>;
    using Right = detail::type_of<B>;
    static_assert(std::is_same_v<typename Left::element_type, typename Right::element_type>,
                  "mtia_rule_dot_operands_must_have_the_same_elements");
    static_assert(!std::is_same_v<typename detail::Element<typename Left::element_type>::accumulator, void>,
                  "mtia_rule_dot_multiplies_floats_and_int8");
    static_assert(std::is_same_v<typename detail::Element<typename Left::element_type>::accumulator, T>,
                  "mtia_rule_dot_accumulates_in_float_double_or_int32: float for float, float16, bfloat16 and float8, "
                  "double for double, int32_t for int8_t");
    static_assert(detail::agree(Left::static_columns, Right::static_rows),
                  "mtia_rule_dot_inner_sizes_must_agree: a has as many columns as b has rows");
    static_assert(detail::agree(Left::static_rows, Rows) && detail::agree(Right::static_columns, Columns),
                  "mtia_rule_dot_outer_sizes_must_agree: the sum has a's rows and b's columns");
    detail::api->dot(role_, &sum.handle_, &handle(a), &handle(b), sum.empty_ ? 0 : 1, static_cast<uint8_t>(precision),
                     where.line);
    sum.empty_ = false;
  }
  // Empties an accumulator at no cost.
  template <typename T, int64_t Rows, int64_t Columns>
  void clear(Accumulator<T, Rows, Columns>& sum) {
    sum.empty_ = true;
  }
  // And sums in its upper left corner from now on: a tile at the edge of a matrix.
  template <typename T, int64_t Rows, int64_t Columns>
  void clear(Accumulator<T, Rows, Columns>& sum, int64_t rows, int64_t columns) {
    sum.empty_ = true;
    sum.handle_.rows = rows;
    sum.handle_.columns = columns;
  }
  // The accumulator as a tile, zeros where nothing was summed.
  template <typename T, int64_t Rows, int64_t Columns>
  Tile<T, Rows, Columns> result_of(Accumulator<T, Rows, Columns>& sum, SourceLine where = SourceLine::here()) {
    return read_tile(sum, where);
  }

  // ---- vector core and SIMD engine: methods of operations.def; an operand is a tile of the result's extents, of one
  // row or of one column, or a number
#define MTIA_OPERATION_1(method, is_float, is_integer)                         \
  template <detail::HasTile D, detail::TileLike A>                             \
  void method(const D& d, const A& a, SourceLine where = SourceLine::here()) { \
    elementwise<detail::Operation::method, is_float, is_integer>(d, where, a); \
  }
#define MTIA_OPERATION_2(method, is_float, is_integer)                                     \
  template <detail::HasTile D, typename A, typename B>                                     \
  void method(const D& d, const A& a, const B& b, SourceLine where = SourceLine::here()) { \
    elementwise<detail::Operation::method, is_float, is_integer>(d, where, a, b);          \
  }
#define MTIA_OPERATION_3(method, is_float, is_integer)                                                 \
  template <detail::HasTile D, typename A, typename B, typename C>                                     \
  void method(const D& d, const A& a, const B& b, const C& c, SourceLine where = SourceLine::here()) { \
    elementwise<detail::Operation::method, is_float, is_integer>(d, where, a, b, c);                   \
  }
#define MTIA_OPERATION(method, operands, float_name, signed_name, unsigned_name) \
  MTIA_OPERATION_##operands(method, detail::exists(#float_name), detail::exists(#signed_name))
#include "operations.def"
#undef MTIA_OPERATION
#undef MTIA_OPERATION_1
#undef MTIA_OPERATION_2
#undef MTIA_OPERATION_3

  // d (bool) = a <relation> b. Of floats, a NaN compares as false, but as not equal.
  template <detail::HasTile D, detail::HasTile A, typename B>
  void compare(Compare relation, const D& d, const A& a, const B& b, SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    static_assert(std::is_same_v<typename detail::type_of<D>::element_type, bool>,
                  "mtia_rule_a_comparison_gives_bool_elements");
    check_operand<detail::type_of<A>, A>();
    check_operand<detail::type_of<A>, B>();
    detail::check_broadcast<detail::type_of<D>, detail::type_of<A>>();
    const Operand second(*this, b, where);
    detail::api->compare(role_, static_cast<uint8_t>(relation), is_signed<A>(), &handle(d), &handle(a), &second.operand,
                         where.line);
  }
  // d = condition ? a : b, element by element.
  template <detail::HasTile D, detail::HasTile Condition, typename A, typename B>
  void select(const D& d, const Condition& condition, const A& a, const B& b, SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    static_assert(std::is_same_v<typename detail::type_of<Condition>::element_type, bool>,
                  "mtia_rule_a_condition_has_bool_elements");
    check_operand<detail::type_of<D>, A>();
    check_operand<detail::type_of<D>, B>();
    const Operand first(*this, a, where);
    const Operand second(*this, b, where);
    detail::api->select(role_, &handle(d), &handle(condition), &first.operand, &second.operand, where.line);
  }
  // d = a in d's type: floats to nearest even, floats to integers towards zero and saturating, NaN to 0.
  template <detail::HasTile D, detail::TileLike A>
  void convert(const D& d, const A& a, SourceLine where = SourceLine::here()) {
    convert_checked(d, read_tile(a, where), where);
  }
  template <detail::HasTile D, detail::HasTile A>
  void copy(const D& d, const A& a, SourceLine where = SourceLine::here()) {
    detail::check_same_elements<detail::type_of<D>, detail::type_of<A>>();
    convert_checked(d, a.tile(), where);
  }
  template <detail::HasTile D, detail::Number Value>
  void fill(const D& d, Value value, SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    detail::check_row_major<detail::type_of<D>>();
    const Operand number(*this, value, where);
    detail::api->fill(role_, &handle(d), &number.operand, where.line);
  }
  // d (dense, integers) = start, start + 1, ... row by row.
  template <detail::HasTile D>
  void iota(const D& d, int64_t start, SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    static_assert(!detail::Element<typename detail::type_of<D>::element_type>::is_float,
                  "mtia_rule_iota_counts_in_integers");
    detail::api->iota(role_, &handle(d), start, where.line);
  }
  // d (dense) = elements first, first + 1, ... of the Philox 4x32-10 sequence of (seed, stream); `first` is a multiple
  // of 4. Bits are int32_t or uint32_t, uniform [0, 1) and normal numbers float.
  template <detail::HasTile D>
  void random(Random kind, const D& d, uint64_t seed, uint64_t stream, uint64_t first,
              SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    detail::api->random(role_, static_cast<uint8_t>(kind), &handle(d), seed, stream, first, where.line);
  }

  // ---- reduction engine: d has one column (each row is reduced) or one row (each column is)
  template <detail::HasTile D, detail::TileLike A>
  void reduce(Reduce kind, const D& d, const A& a, SourceLine where = SourceLine::here()) {
    using Result = detail::type_of<D>;
    using Source = detail::type_of<A>;
    detail::check_destination<D>();
    detail::check_same_elements<Result, Source>();
    detail::check_row_major<Source>();
    static_assert(
        (detail::agree(Result::static_columns, 1) && detail::agree(Result::static_rows, Source::static_rows)) ||
            (detail::agree(Result::static_rows, 1) && detail::agree(Result::static_columns, Source::static_columns)),
        "mtia_rule_a_reduction_gives_one_column_or_one_row");
    const auto tile = read_tile(a, where);
    detail::api->reduce(role_, static_cast<uint8_t>(kind), is_signed<A>(), &handle(d), &tile.handle(), where.line);
  }

  // ---- memory layout unit: d[j, i] = a[i, j]
  template <detail::HasTile D, detail::HasTile A>
  void transpose(const D& d, const A& a, SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    detail::check_same_elements<detail::type_of<D>, detail::type_of<A>>();
    static_assert(detail::agree(detail::type_of<D>::static_rows, detail::type_of<A>::static_columns) &&
                      detail::agree(detail::type_of<D>::static_columns, detail::type_of<A>::static_rows),
                  "mtia_rule_a_transpose_exchanges_the_extents");
    detail::api->transpose(role_, &handle(d), &handle(a), where.line);
  }

  // ---- scalar core: waits for the tile and reads one element of it
  template <detail::HasTile A>
  auto read(const A& a, int64_t row, int64_t column, SourceLine where = SourceLine::here()) {
    using Wanted = typename detail::type_of<A>::element_type;
    if constexpr (detail::Element<Wanted>::is_float) {
      return detail::api->read(role_, &handle(a), row, column, where.line);
    } else {
      return static_cast<Wanted>(detail::api->read_integer(role_, &handle(a), row, column, where.line));
    }
  }
  // Tells the clock of `instructions` of the kernel's own arithmetic and control, which is free otherwise.
  void scalar_work(uint64_t instructions) { detail::api->scalar_work(role_, instructions); }

  // ---- among PEs
  // Every PE of the row (or column) calls it with the same region: memory is read once and all of them get it.
  template <detail::HasTile D, typename T, int Rank>
  void multicast(Along along, const D& destination, const Region<T, Rank>& source,
                 SourceLine where = SourceLine::here()) {
    const mtia_region region = region_for<D>(source);
    detail::api->multicast(role_, static_cast<uint8_t>(along), &handle(destination), &region, where.line);
  }
  // Each PE of the row (or column), in order, adds its tile to what the link brings from the one before and hands the
  // total on. True on the last one, whose tile then holds the result.
  template <detail::HasTile D>
  bool reduce_along(Along along, const D& tile, Reduce kind = Reduce::sum, SourceLine where = SourceLine::here()) {
    detail::check_destination<D>();
    detail::check_row_major<detail::type_of<D>>();
    return detail::api->reduce_along(role_, static_cast<uint8_t>(along), static_cast<uint8_t>(kind), is_signed<D>(),
                                     &handle(tile), where.line) != 0;
  }
  template <typename T, int64_t Rows, int64_t Columns>
  bool reduce_along(Along along, Accumulator<T, Rows, Columns>& sum, Reduce kind = Reduce::sum,
                    SourceLine where = SourceLine::here()) {
    return reduce_along(along, read_tile(sum, where), kind, where);
  }
  // Waits until this role of every PE has come here and what it did is done: memory written before is seen after.
  void barrier(SourceLine where = SourceLine::here()) { detail::api->barrier(role_, where.line); }

  // Stops here under a debugger (gdb); goes on with a message, once a kernel, where none is attached. For readable
  // variables load the kernel with load_kernel(path, debug=True).
  [[gnu::always_inline]] void breakpoint(SourceLine where = SourceLine::here()) {
    if (detail::debugger_is_attached()) {
      MTIA_STOP_FOR_DEBUGGER();
    } else {
      detail::say_no_debugger(where.line);
    }
  }

  // The next item of a work queue for this role: `while (WorkItem item = pe.next(arguments.items)) use(*item);`
  struct WorkItem {
    int64_t number;
    explicit operator bool() const { return number >= 0; }
    int64_t operator*() const { return number; }
  };
  WorkItem next(const WorkQueue& queue, SourceLine where = SourceLine::here()) {
    return {detail::api->next_item(role_, static_cast<uint32_t>(queue.number), queue.items, where.line)};
  }

  mtia_role* role() const { return role_; }

 private:
  struct Extents {
    int64_t extent[2];
    constexpr int64_t operator[](int i) const { return extent[i]; }
  };
  template <typename Wanted>
  static constexpr Extents extents_of() {
    using Of = detail::type_of<Wanted>;
    static_assert(Of::static_rows != dynamic && Of::static_columns != dynamic,
                  "mtia_rule_a_dynamic_tile_needs_its_extents: allocate<Tile<T>>(rows, columns)");
    return {{Of::static_rows, Of::static_columns}};
  }

  template <detail::HasTile X>
  static const mtia_tile& handle(const X& x) {
    if constexpr (requires { x.handle(); }) {
      return x.handle();
    } else {
      return x.window_handle();
    }
  }

  // What is read: an accumulator that holds nothing yet is zeros.
  template <detail::HasTile X>
  detail::type_of<X> read_tile(const X& x, SourceLine) {
    return x.tile();
  }
  template <typename T, int64_t Rows, int64_t Columns>
  Tile<T, Rows, Columns> read_tile(const Accumulator<T, Rows, Columns>& sum, SourceLine where) {
    const Tile<T, Rows, Columns> tile(sum.handle_);
    if (sum.empty_) {
      fill(tile, 0, where);
      sum.empty_ = false;
    }
    return tile;
  }

  template <typename X>
  static constexpr uint8_t is_signed() {
    return detail::Element<typename detail::type_of<X>::element_type>::is_signed ? 1 : 0;
  }

  // A tile or a number in the form of the binary interface.
  struct Operand {
    mtia_tile handle;
    mtia_operand operand;

    template <typename X>
    Operand(ProcessingElement& pe, const X& x, SourceLine where) {
      if constexpr (detail::TileLike<X>) {
        handle = pe.read_tile(x, where).handle();
        operand = {&handle, 0, 0};
      } else {
        operand = {nullptr, static_cast<double>(x), static_cast<int64_t>(x)};
      }
    }
    Operand(const Operand&) = delete;
    Operand& operator=(const Operand&) = delete;
  };

  template <typename D, typename X>
  static constexpr void check_operand() {
    if constexpr (detail::TileLike<X>) {
      detail::check_same_elements<D, detail::type_of<X>>();
      detail::check_row_major<detail::type_of<X>>();
    } else {
      static_assert(detail::Number<X>, "mtia_rule_an_operand_is_a_tile_or_a_number");
    }
  }

  template <detail::Operation operation, bool of_floats, bool of_integers, typename D, typename... Sources>
  void elementwise(const D& d, SourceLine where, const Sources&... sources) {
    using Result = detail::type_of<D>;
    static_assert((detail::TileLike<Sources> || ...), "mtia_rule_an_operation_needs_a_tile: use fill");
    static_assert(detail::Element<typename Result::element_type>::is_float ? of_floats : of_integers,
                  "mtia_rule_the_chip_has_no_such_operation_on_these_elements: convert first");
    detail::check_destination<D>();
    detail::check_row_major<Result>();
    (check_operand<Result, Sources>(), ...);
    (check_extents<Result, Sources>(), ...);
    const Operand operands[] = {{*this, sources, where}...};
    constexpr size_t count = sizeof...(Sources);
    detail::api->elementwise(role_, static_cast<uint32_t>(operation), is_signed<D>(), &handle(d), &operands[0].operand,
                             count > 1 ? &operands[count > 1 ? 1 : 0].operand : nullptr,
                             count > 2 ? &operands[count > 2 ? 2 : 0].operand : nullptr, where.line);
  }
  template <typename D, typename X>
  static constexpr void check_extents() {
    if constexpr (detail::TileLike<X>) detail::check_broadcast<D, detail::type_of<X>>();
  }

  template <typename D, typename A>
  void convert_checked(const D& d, const A& a, SourceLine where) {
    detail::check_destination<D>();
    detail::check_same_extents<detail::type_of<D>, A>();
    detail::api->convert(role_, &handle(d), &a.handle(), is_signed<A>(), where.line);
  }

  template <typename X, typename T, int Rank>
  static constexpr mtia_region region_for(const Region<T, Rank>& source) {
    using Moved = detail::type_of<X>;
    static_assert(std::is_same_v<typename Moved::element_type, std::remove_cv_t<T>>,
                  "mtia_rule_dma_does_not_convert: the tile has the tensor's elements");
    mtia_region region = source.description();
    if constexpr (Rank == 1) {
      static_assert(Moved::static_rows == 1 || Moved::static_columns == 1 || Moved::static_rows == dynamic,
                    "mtia_rule_a_tensor_of_one_dimension_moves_as_a_row_or_a_column");
      if constexpr (Moved::static_columns == 1 && Moved::static_rows != 1) {
        const mtia_region along = region;
        region.row_stride = along.column_stride;
        region.column_stride = 0;
        region.valid_rows = along.valid_columns;
        region.valid_columns = 1;
        region.row = along.column;
        region.column = 0;
      }
    }
    return region;
  }

  template <typename X, typename I, typename TileType, typename T>
  void indexed(uint8_t kind, const TileType& rows, const Region<T, 2>& table, const I& indices, SourceLine where) {
    using Index = detail::type_of<I>;
    static_assert(
        std::is_same_v<typename Index::element_type, int32_t> || std::is_same_v<typename Index::element_type, int64_t>,
        "mtia_rule_indices_are_int32_or_int64");
    static_assert(detail::agree(Index::static_rows, 1) || detail::agree(Index::static_columns, 1),
                  "mtia_rule_indices_are_one_row_or_one_column");
    const mtia_region region = region_for<TileType>(table);
    detail::api->indexed(role_, kind, &rows.handle(), &region, &handle(indices), where.line);
  }

  mtia_role* role_;
};

template <typename TileType, uint32_t Pages>
CircularBuffer<TileType, Pages>::CircularBuffer(ProcessingElement& pe, const char* name, SourceLine where)
    : CircularBuffer(pe.role(), name, TileType::static_rows, TileType::static_columns, Pages, where) {
  static_assert(TileType::static_rows != dynamic && TileType::static_columns != dynamic && Pages != dynamic_pages,
                "mtia_rule_a_circular_buffer_of_dynamic_tiles_needs_its_extents");
}

template <typename TileType, uint32_t Pages>
CircularBuffer<TileType, Pages>::CircularBuffer(ProcessingElement& pe, const char* name, int64_t rows, int64_t columns,
                                                uint32_t page_count, SourceLine where)
    : CircularBuffer(pe.role(), name, rows, columns, page_count, where) {}

}  // namespace mtia
