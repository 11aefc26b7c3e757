// Arguments of the C++ kernel "sort": rows sorted, with the positions their elements came from.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

// values[row][i], indices[row][i] = the i-th of source's row in order and where it stood, for i < kept. Equal elements
// keep their order; NaN counts as the largest. values [rows, kept] and indices int64 [rows, kept] are contiguous. A row
// of the source has the element strides below.
struct SortArguments {
  uint64_t values = 0;
  uint64_t indices = 0;
  uint64_t source = 0;
  int64_t rows = 0;
  int64_t length = 0;
  int64_t kept = 0;  // length: a whole sort; fewer: the first of it (top k)
  int64_t row_stride = 0;
  int64_t column_stride = 1;
  DType dtype = DType::F32;
  bool is_unsigned = false;  // I8 holds 0 to 255
  bool descending = false;
};

}  // namespace mtia::kernels
