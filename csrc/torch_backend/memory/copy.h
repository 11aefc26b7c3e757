// Copies between tensors of one device, where no host memory is involved.
#pragma once

#include <ATen/core/Tensor.h>

namespace mtia::torch_backend {

// destination[i] = source[i] in the destination's dtype; same device, same sizes, any strides and dtypes. A DMA where
// the two have one dtype and one dense layout, a kernel otherwise.
void copy_on_device(const at::Tensor& destination, const at::Tensor& source);

// Whether both are dense and order their elements alike, so that a copy moves one run of bytes.
bool have_same_dense_layout(const at::Tensor& a, const at::Tensor& b);

}  // namespace mtia::torch_backend
