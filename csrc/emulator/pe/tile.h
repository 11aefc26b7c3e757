// A tile as C++ kernels see it: a matrix in local memory (or a lazy view of device memory) and its entry on the
// scoreboard.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace mtia::emulator {

struct Tile {
  std::byte* data = nullptr;
  DType dtype = DType::F32;
  uint32_t page = 0;  // scoreboard entry whose readiness this tile shares
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;     // elements
  int64_t column_stride = 1;  // elements

  int64_t elements() const { return rows * columns; }
  bool contiguous() const { return column_stride == 1 && (row_stride == columns || rows == 1); }
  std::byte* at(int64_t row, int64_t column) const {
    return data + (row * row_stride + column * column_stride) * static_cast<int64_t>(size_of(dtype));
  }

  // The sub-matrix [row, row + count) x [column, column + width); the caller keeps it inside.
  Tile slice(int64_t row, int64_t count, int64_t column, int64_t width) const {
    return view(row * row_stride + column * column_stride, count, width, row_stride, column_stride);
  }
  Tile transposed() const { return view(0, columns, rows, column_stride, row_stride); }
  // Any matrix in this tile's memory: `first` counts elements from its first one on; the caller keeps it inside.
  Tile view(int64_t first, int64_t count, int64_t width, int64_t between_rows, int64_t between_columns = 1) const {
    Tile other = *this;
    other.data = data + first * static_cast<int64_t>(size_of(dtype));
    other.rows = count;
    other.columns = width;
    other.row_stride = between_rows;
    other.column_stride = between_columns;
    return other;
  }
  Tile reshaped(int64_t count, int64_t width) const { return view(0, count, width, width); }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

// A strided and clipped matrix in device memory. Element (i, j) lies at base + size * (i * row_stride + j *
// column_stride); only i < valid_rows and j < valid_columns exist: a load fills the rest of its tile, a store leaves it
// out.
struct DmaDescriptor {
  uint64_t base = 0;
  DType dtype = DType::F32;
  int64_t row_stride = 0;     // elements
  int64_t column_stride = 1;  // elements
  int64_t valid_rows = INT64_MAX;
  int64_t valid_columns = INT64_MAX;
  uint32_t readers = 1;  // PEs that take the same bytes from one read of the SRAM, this one among them
};

}  // namespace mtia::emulator
