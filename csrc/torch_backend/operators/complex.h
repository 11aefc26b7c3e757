// Arithmetic of complex numbers, which no chip has: real operators on real and imaginary parts.
#pragma once

#include <string>

#include "torch_backend/operators/elementwise.h"

namespace mtia::torch_backend {

// aten::<name> of operands of which one is complex, as a new tensor of dtype `compute`; add and sub may have alpha as
// third operand. Raises for a name that has no complex form here.
at::Tensor complex_elementwise(const std::string& name, c10::ArrayRef<ElementwiseOperand> operands,
                               c10::ScalarType compute);

}  // namespace mtia::torch_backend
