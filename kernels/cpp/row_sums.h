// Arguments of the C++ kernel "row_sums": a table each of whose rows is the sum of the source's rows that an index
// sends to it: the gradient of an embedding, and of bags of them.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

// table[r] = the sum of source[i] over the i with indices[i] == r, in their order, from zero; of half-precision rows in
// float32, rounded once. The table [rows, length] is contiguous and wholly written. Indices outside of it, and
// `skipped`, go nowhere.
struct RowSumsArguments {
  static constexpr bool reads_contents = true;
  uint64_t table = 0;
  uint64_t source = 0;   // [count, length]
  uint64_t indices = 0;  // [count], contiguous
  int64_t rows = 0;
  int64_t count = 0;
  int64_t length = 0;
  int64_t source_row = 0;  // elements; those of a row are adjacent
  int64_t skipped = -1;
  uint64_t source_rows =
      0;  // not 0: [count], of the indices' dtype; row source_rows[i] stands for source[i], none where that is negative
  int64_t source_count = 0;  // of rows, where source_rows names them
  uint64_t factors = 0;      // not 0: [count] of the sums' dtype, by which the rows are multiplied
  DType dtype = DType::F32;
  DType index_dtype = DType::I64;
};

}  // namespace mtia::kernels
