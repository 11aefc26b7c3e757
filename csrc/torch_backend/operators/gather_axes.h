// Results whose dimensions are gathered from a tensor's by tables of taps (kernels/triton/gather_axes.py).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "torch_backend/operators/tap_table.h"

namespace mtia::torch_backend {

// out = x gathered along its last rules.size() dimensions, of batch and channels if there are more; rules of equal
// input and output that change nothing cost nothing. Both in one memory format is fastest; out may have any strides.
void gather_axes(const at::Tensor& out, const at::Tensor& x, c10::ArrayRef<TapRule> rules);

}  // namespace mtia::torch_backend
