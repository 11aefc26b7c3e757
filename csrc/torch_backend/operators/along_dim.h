// One index tensor along a dimension of another tensor, as torch.gather and torch.scatter have it.
#pragma once

#include <ATen/core/Tensor.h>

namespace mtia::torch_backend {

at::Tensor at_least_1d(const at::Tensor& tensor);

// An index vector along `dim` of a box, seen through the box.
at::Tensor along(const at::Tensor& index, c10::IntArrayRef box, int64_t dim);

// `kernel` as launch_index has it, for an index tensor of the rank of `indexed`. `fixed` undefined: `value` (one
// element) is written. A scalar is a vector of one.
void launch_along_dim(const char* kernel, const at::Tensor& fixed, const at::Tensor& indexed, int64_t dim,
                      const at::Tensor& index, const at::Tensor& value = {});

// The dtype in which elements of one index are joined: float32 for half precision, whose sums would stand still where
// each addition is rounded; the chip has no atomics of narrower integers. Integers of 32 bits that wrap around are
// those of 8 and 16 bits in their low bits; a sum of bool is true unless 0.
c10::ScalarType accumulated_in(c10::ScalarType dtype);

}  // namespace mtia::torch_backend
