// Arguments of the C++ kernels "strided_copy", "strided_copy_wide" and "strided_fill": copies with another dtype or
// layout, and fills.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

constexpr uint32_t max_rank = 8;
constexpr uint32_t widest_rank = 64;  // torch's own limit

// destination[i...] = source[i...] in the destination's dtype. Strides in elements, outermost dimension first; a source
// stride of 0 repeats. Numbers convert as in torch: to I1 is != 0, from I1 gives 0 or 1, floats round to nearest even,
// floats go to integers toward zero. Neither overlaps the other.
struct StridedCopySides {
  uint64_t destination = 0;
  uint64_t source = 0;
  uint32_t rank = 0;  // 0: one element
  DType destination_dtype = DType::F32;
  DType source_dtype = DType::F32;
  bool source_is_unsigned = false;  // torch uint8: I8 read as 0 to 255
  bool destination_is_unsigned = false;
};

// A launch carries its arguments: few copies need more than a few dimensions.
template <uint32_t rank_limit>
struct StridedCopyArgumentsUpTo : StridedCopySides {
  int64_t shape[rank_limit] = {};
  int64_t destination_strides[rank_limit] = {};
  int64_t source_strides[rank_limit] = {};
};
using StridedCopyArguments = StridedCopyArgumentsUpTo<max_rank>;
using WideStridedCopyArguments = StridedCopyArgumentsUpTo<widest_rank>;

// destination[i...] = the element with these bits (in the low bytes).
struct StridedFillArguments {
  uint64_t destination = 0;
  uint64_t bits = 0;
  uint32_t rank = 0;
  DType dtype = DType::F32;
  int64_t shape[max_rank] = {};
  int64_t strides[max_rank] = {};
};

}  // namespace mtia::kernels
