// Element-wise operators: one boxed kernel serves every row of the table kernels/triton/elementwise_table.py.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "torch_backend/launching/launch.h"

namespace mtia::torch_backend {

// One row of the table, as Python hands it over.
struct ElementwiseRow {
  std::string name;                    // launched as "elementwise.<name>"
  std::vector<std::string> operands;   // names of ATen schema arguments, in the kernel's order
  std::vector<std::string> operators;  // ATen overloads in functional form, perhaps narrowed: "gelu[approximate=tanh]"
  bool promote_to_float = false;       // integers and bool are computed in the default float
  bool result_is_bool = false;
  std::vector<std::string> unpromoted;  // operands that keep their dtype: conditions and masks
  bool has_complex = false;             // launched as "complex.<name>" where the promoted dtype is complex
  bool complex_result_is_real = false;
};

// Registers every overload that the rows name (functional, in-place and out= forms) for PrivateUse1, but those for
// which the program has registered a kernel of its own. Called once, at the device's first use. Returns the names of
// the operators that the table serves. Throws InvalidArgument for an overload that this torch does not have.
std::vector<std::string> register_elementwise(std::vector<ElementwiseRow> rows);

// Remembers which operators have a kernel of this extension, to tell them from a program's. Called at import.
void note_own_operators();

// Registers the table's kernel of an operator whose kernel was the program's until now; false where there is none.
bool restore_displaced(const std::string& name);

// An operand of a call from C++: a device tensor, a 0-dim CPU tensor (becomes a number) or a number.
struct ElementwiseOperand {
  ElementwiseOperand(const at::Tensor& operand) : tensor(&operand) {}
  ElementwiseOperand(const c10::Scalar& operand) : number(operand) {}
  const at::Tensor* tensor = nullptr;
  c10::Scalar number;
  bool keeps_dtype = false;  // a condition or mask, beside complex numbers
};

// A view with each element of a tensor once, where dimensions repeat elements (stride 0) or runs overlap (windows):
// what is filled fills it through this, so that no two programs of a launch write the same bytes.
at::Tensor without_repeats(const at::Tensor& tensor);

// Runs kernel "elementwise.<name>" with broadcasting; `out` is allocated where undefined, else its shape must be the
// broadcast one. `compute` is the dtype of the arithmetic, `result` that of a new output.
at::Tensor elementwise(const KernelId& kernel, const at::Tensor& out, c10::ArrayRef<ElementwiseOperand> operands,
                       c10::ScalarType compute, c10::ScalarType result);

}  // namespace mtia::torch_backend
