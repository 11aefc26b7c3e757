// Arguments of the C++ kernel "plane_scatter": planes whose elements are sent to where indices within a larger plane
// say: the backward of maximum pooling, and its inverse.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

// target[p, indices[p, i]] += source[p, i], in the order of i, or = where not `adds`; what no index names is 0. Sums of
// half precision are float32, rounded once. All tensors are contiguous, and the target is wholly written. An index
// outside of a plane is refused.
struct PlaneScatterArguments {
  uint64_t target = 0;   // [planes, size]
  uint64_t source = 0;   // [planes, count]
  uint64_t indices = 0;  // [planes, count] of i64
  int64_t planes = 0;
  int64_t size = 0;
  int64_t count = 0;
  DType dtype = DType::F32;
  bool adds = true;
};

}  // namespace mtia::kernels
