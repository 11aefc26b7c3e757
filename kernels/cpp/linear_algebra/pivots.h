// Pivots that a kernel's caller may have made himself: the kernel refuses what is no row.
#pragma once

#include "base/error.h"
#include "emulator/refusal.h"
#include "kernels/cpp/linear_algebra/columns.h"

namespace mtia::kernels {

// Whether pivots were read that have to be rows; what stands in for them in timing mode need not be.
inline bool knows_pivots(const ColumnWork& work) { return work.computes() && !work.is_unknown(); }

// `row`, counted from 1, has to be one of `rows`.
inline void check_pivot(const char* operation, int64_t row, int64_t rows) {
  if (row >= 1 && row <= rows) return;
  throw emulator::Refusal(ErrorCategory::InvalidArgument, concat("pivot ", row, " is not a row of ", rows), operation,
                          concat("give 1 to ", rows, ", as the factorisation returns them"));
}

}  // namespace mtia::kernels
