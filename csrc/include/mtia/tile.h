// Tiles of local memory with their type: checked handles, views of them, and accumulators of products.
#pragma once

#include <type_traits>

#include "types.h"

namespace mtia {

inline constexpr int64_t dynamic = -1;  // an extent that is known when the kernel runs

// How a tile's elements follow each other: along rows, or along columns (what a transposed view has).
struct RowMajor {};
struct ColumnMajor {};

namespace detail {

template <typename Layout>
struct Flipped;
template <>
struct Flipped<RowMajor> {
  using type = ColumnMajor;
};
template <>
struct Flipped<ColumnMajor> {
  using type = RowMajor;
};

constexpr bool agree(int64_t first, int64_t second) { return first == dynamic || second == dynamic || first == second; }
constexpr bool broadcasts(int64_t source, int64_t result) { return source == 1 || agree(source, result); }

[[noreturn]] inline void refuse(const char* rule, int64_t first, int64_t second, int64_t third, SourceLine where) {
  api->refuse(nullptr, rule, first, second, third, where.line);
  __builtin_unreachable();
}

}  // namespace detail

// A matrix in local memory. It names a page of a PE, not a host address: the emulator checks every use of it.
template <typename T, int64_t Rows = dynamic, int64_t Columns = dynamic, typename Layout = RowMajor>
class Tile {
  static_assert(detail::Element<T>::known, "mtia_rule_elements_must_be_of_a_chip_type");
  static_assert((Rows > 0 || Rows == dynamic) && (Columns > 0 || Columns == dynamic),
                "mtia_rule_tile_extents_must_be_positive");

 public:
  using element_type = T;
  using tile_type = Tile;
  using layout = Layout;
  static constexpr int64_t static_rows = Rows;
  static constexpr int64_t static_columns = Columns;
  static constexpr uint8_t dtype = detail::Element<T>::dtype;
  static constexpr bool is_tile = true;

  explicit constexpr Tile(const mtia_tile& handle) : handle_(handle) {}

  constexpr int64_t rows() const { return handle_.rows; }
  constexpr int64_t columns() const { return handle_.columns; }
  constexpr const mtia_tile& handle() const { return handle_; }
  constexpr Tile tile() const { return *this; }

  // The same elements with rows and columns exchanged; nothing moves.
  constexpr Tile<T, Columns, Rows, typename detail::Flipped<Layout>::type> transposed() const {
    mtia_tile other = handle_;
    other.rows = handle_.columns;
    other.columns = handle_.rows;
    other.row_stride = handle_.column_stride;
    other.column_stride = handle_.row_stride;
    return Tile<T, Columns, Rows, typename detail::Flipped<Layout>::type>(other);
  }

  // The part of R x C elements from (row, column) on.
  template <int64_t R, int64_t C>
  constexpr Tile<T, R, C, Layout> slice(int64_t row, int64_t column, SourceLine where = SourceLine::here()) const {
    static_assert((Rows == dynamic || R <= Rows) && (Columns == dynamic || C <= Columns),
                  "mtia_rule_slice_must_lie_inside_its_tile");
    return Tile<T, R, C, Layout>(part(row, column, R, C, where));
  }
  constexpr Tile<T, dynamic, dynamic, Layout> slice(int64_t row, int64_t column, int64_t rows, int64_t columns,
                                                    SourceLine where = SourceLine::here()) const {
    return Tile<T, dynamic, dynamic, Layout>(part(row, column, rows, columns, where));
  }
  // The upper left corner, no larger than the tile: what exists of a tile at the edge of a matrix.
  constexpr Tile<T, dynamic, dynamic, Layout> clip(int64_t rows, int64_t columns,
                                                   SourceLine where = SourceLine::here()) const {
    return slice(0, 0, rows < handle_.rows ? rows : handle_.rows, columns < handle_.columns ? columns : handle_.columns,
                 where);
  }

  // The same elements in order under another shape; nothing moves.
  template <int64_t R, int64_t C>
  constexpr Tile<T, R, C, RowMajor> reshape(SourceLine where = SourceLine::here()) const {
    static_assert(std::is_same_v<Layout, RowMajor>, "mtia_rule_reshape_needs_a_row_major_tile");
    static_assert(Rows == dynamic || Columns == dynamic || Rows * Columns == R * C,
                  "mtia_rule_reshape_must_keep_the_number_of_elements");
    return Tile<T, R, C, RowMajor>(reshaped(R, C, where));
  }
  constexpr Tile<T> reshape(int64_t rows, int64_t columns, SourceLine where = SourceLine::here()) const {
    return Tile<T>(reshaped(rows, columns, where));
  }

 private:
  constexpr mtia_tile part(int64_t row, int64_t column, int64_t rows, int64_t columns, SourceLine where) const {
    if (row < 0 || rows < 0 || row > handle_.rows || rows > handle_.rows - row)
      detail::refuse("mtia_rule_slice_must_lie_inside_its_tile: first row, rows, rows of the tile", row, rows,
                     handle_.rows, where);
    if (column < 0 || columns < 0 || column > handle_.columns || columns > handle_.columns - column)
      detail::refuse("mtia_rule_slice_must_lie_inside_its_tile: first column, columns, columns of the tile", column,
                     columns, handle_.columns, where);
    mtia_tile other = handle_;
    other.offset += row * handle_.row_stride + column * handle_.column_stride;
    other.rows = rows;
    other.columns = columns;
    return other;
  }
  constexpr mtia_tile reshaped(int64_t rows, int64_t columns, SourceLine where) const {
    const bool dense = handle_.column_stride == 1 && (handle_.row_stride == handle_.columns || handle_.rows == 1);
    if (!dense || rows * columns != handle_.rows * handle_.columns)
      detail::refuse("mtia_rule_reshape_must_keep_the_number_of_elements: elements, rows, columns",
                     dense ? handle_.rows * handle_.columns : -1, rows, columns, where);
    mtia_tile other = handle_;
    other.rows = rows;
    other.columns = columns;
    other.row_stride = columns;
    return other;
  }

  mtia_tile handle_;
};

// A tile that sums products. Empty at first and after ProcessingElement::clear, which costs nothing: the first product
// overwrites, those that follow are added.
template <typename T, int64_t Rows = dynamic, int64_t Columns = dynamic>
class Accumulator {
 public:
  using element_type = T;
  using tile_type = Tile<T, Rows, Columns>;
  static constexpr bool is_accumulator = true;
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int32_t>,
                "mtia_rule_accumulators_are_float_double_or_int32");

  explicit constexpr Accumulator(const mtia_tile& handle) : handle_(handle) {}
  Accumulator(const Accumulator&) = delete;
  Accumulator& operator=(const Accumulator&) = delete;

  int64_t rows() const { return handle_.rows; }
  int64_t columns() const { return handle_.columns; }
  bool empty() const { return empty_; }

 private:
  friend class ProcessingElement;
  mtia_tile handle_;
  mutable bool empty_ = true;  // reading an empty sum makes it zeros
};

}  // namespace mtia
