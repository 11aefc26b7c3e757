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
    Tile part = *this;
    part.data = at(row, column);
    part.rows = count;
    part.columns = width;
    return part;
  }
  Tile transposed() const {
    Tile other = *this;
    other.rows = columns;
    other.columns = rows;
    other.row_stride = column_stride;
    other.column_stride = row_stride;
    return other;
  }
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
