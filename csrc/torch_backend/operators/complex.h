// Element-wise operators of complex numbers: rows of the table that have a complex expression.
#pragma once

#include "torch_backend/operators/elementwise.h"

namespace mtia::torch_backend {

// Runs kernel "complex.<name>" of operands of which one is complex. `compute` is the complex dtype of the arithmetic,
// `result` that of a new output. An output that is given is resized where `resizes`, else it must have the shape.
at::Tensor complex_elementwise(const KernelId& kernel, const at::Tensor& out, bool resizes,
                               c10::ArrayRef<ElementwiseOperand> operands, c10::ScalarType compute,
                               c10::ScalarType result);

}  // namespace mtia::torch_backend
