// Arguments of the C++ kernels "sort" and "merge_runs". "sort" cuts rows into runs that fit local memory and sorts
// each; "merge_runs" merges neighbouring runs in device memory. Both keep the order of equal elements; NaN counts as
// the largest.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/dtype.h"

namespace mtia {
struct ChipSpec;
}

namespace mtia::kernels {

// A row as runs of `run` elements, the last one shorter.
struct RunLayout {
  int64_t length = 0;
  int64_t run = 1;

  int64_t count() const { return (length + run - 1) / run; }
  int64_t width(int64_t number) const { return std::min(run, length - number * run); }
  // The layout that is left of the first `kept` elements of each run.
  RunLayout cut(int64_t kept) const {
    return {(count() - 1) * std::min(kept, run) + std::min(kept, width(count() - 1)), std::min(kept, run)};
  }
  // The layout after runs 0 and 1, 2 and 3, ... were merged, and the first `kept` elements of each result are left.
  RunLayout merged(int64_t kept) const { return RunLayout{length, 2 * run}.cut(kept); }
};

// The longest run of a dtype that "sort" has room for in a PE's local memory.
int64_t longest_sort_run(const ChipSpec& chip, DType dtype);

// Row r of values and indices: for each run of the source's row in turn, its first `kept` elements in order, and where
// they stand in the row, or their source_indices. The results have the shape [rows, runs.cut(kept).length] and are
// contiguous, indices are int64.
struct SortArguments {
  static constexpr bool reads_contents = true;
  uint64_t values = 0;
  uint64_t indices = 0;
  uint64_t source = 0;
  uint64_t source_indices = 0;  // int64, strides as the source; 0: positions in the row
  int64_t rows = 0;
  RunLayout runs;          // run <= longest_sort_run
  int64_t kept = 0;        // runs.run: all
  int64_t row_stride = 0;  // elements; those of a row are adjacent
  DType dtype = DType::F32;
  bool is_unsigned = false;  // I8 holds 0 to 255
  bool descending = false;
};

// Row r of values and indices: for each pair of neighbouring sorted runs of the source's row, the first `kept` elements
// of both in order, those of the earlier run first where they are equal. The source has the shape [rows, runs.length],
// the results [rows, runs.merged(kept).length]; all are contiguous, indices are int64.
struct MergeArguments {
  static constexpr bool reads_contents = true;
  uint64_t values = 0;
  uint64_t indices = 0;
  uint64_t source_values = 0;
  uint64_t source_indices = 0;
  int64_t rows = 0;
  RunLayout runs;
  int64_t kept = 0;
  DType dtype = DType::F32;
  bool is_unsigned = false;
  bool descending = false;
};

}  // namespace mtia::kernels
