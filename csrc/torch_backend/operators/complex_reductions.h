// Products, scans, norms and moments of complex numbers, made of element-wise operators and real reductions.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

namespace mtia::torch_backend {

// The product over the masked dimensions, which are dropped.
at::Tensor complex_product_of(const at::Tensor& self, const c10::SmallVector<bool, 8>& mask);

// Running products along a dimension.
at::Tensor complex_running_product(const at::Tensor& self, int64_t dim);

// The logarithm of running sums of exponentials along a dimension.
at::Tensor complex_running_logsumexp(const at::Tensor& self, int64_t dim);

}  // namespace mtia::torch_backend
