// Arguments of the C++ kernel "search": the place of each value in a sorted row.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

enum class SearchResult : uint8_t {
  place64,  // i64: how many of the row stand before the value
  place32,  // i32
  is_found  // i1: whether the row has the value
};

// Value v of row r is searched for in row r of `sorted`, or in its only row. Results and values have the shape [rows,
// row_values], sorted has [rows or 1, length]; all are contiguous. Places are torch.searchsorted's, also where the row
// is not sorted or has NaNs. To be found, a row is sorted with its NaNs last, which equal nothing.
struct SearchArguments {
  static constexpr bool reads_contents = true;
  uint64_t results = 0;
  uint64_t values = 0;
  uint64_t sorted = 0;
  int64_t rows = 1;
  int64_t row_values = 0;
  int64_t length = 0;
  bool has_one_row = false;  // of `sorted`
  DType dtype = DType::F32;
  bool is_unsigned = false;  // I8 holds 0 to 255
  SearchResult result = SearchResult::place64;
  bool upper = false;   // equal elements stand before the value
  bool invert = false;  // is_found: whether the row has not
};

}  // namespace mtia::kernels
