// Arguments of the C++ kernels "count_flags" and "take_flagged": the elements, or the positions, that flags select.
// Each PE has a part of the flags, the same one in both; the first writes how many are set in its own, and from these
// numbers the second knows where its results begin.
#pragma once

#include <array>
#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

struct CountFlagsArguments {
  static constexpr bool reads_contents = true;
  uint64_t counts = 0;  // int64, one a PE of the launch
  uint64_t flags = 0;   // bool [count]
  int64_t count = 0;
};

// In the flags' order: the elements of `source` [count], or where there is none the position of each flag in `shape`,
// as rows of `rank` int64.
struct TakeFlaggedArguments {
  static constexpr bool reads_contents = true;
  static constexpr size_t max_rank = 64;  // torch's own

  uint64_t results = 0;
  uint64_t flags = 0;
  uint64_t counts = 0;  // of count_flags
  uint64_t source = 0;
  int64_t count = 0;
  DType dtype = DType::I64;
  int64_t rank = 0;
  std::array<int64_t, max_rank> shape{};
};

}  // namespace mtia::kernels
