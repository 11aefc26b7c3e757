// Complex add, sub, mul, div, neg, conj and fill of real and imaginary parts: what rotary embeddings and their
// gradients need.
#include "torch_backend/operators/complex.h"

#include <ATen/ExpandUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/add.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

// Numbers are tensors of no dimension on the CPU, which count as numbers in every operator.
struct Parts {
  at::Tensor real;
  at::Tensor imaginary;  // undefined: zero
};

Parts parts_of(const ElementwiseOperand& operand, c10::ScalarType dtype) {
  const bool is_number = operand.tensor == nullptr || operand.tensor->is_cpu();
  if (is_number) {
    const c10::Scalar number = operand.tensor != nullptr ? operand.tensor->item() : operand.number;
    const auto value = number.toComplexDouble();
    const auto options = at::TensorOptions().dtype(dtype);
    if (value.imag() == 0) return {at::scalar_tensor(value.real(), options), {}};
    return {at::scalar_tensor(value.real(), options), at::scalar_tensor(value.imag(), options)};
  }
  if (!operand.tensor->is_complex()) return {operand.tensor->to(dtype), {}};
  const at::Tensor parts = at::view_as_real(*operand.tensor);
  return {parts.select(-1, 0).to(dtype), parts.select(-1, 1).to(dtype)};
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && b.defined() ? at::mul(a, b) : at::Tensor();
}

at::Tensor sum(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? at::add(a, b) : a;
}

at::Tensor negated(const at::Tensor& a) { return a.defined() ? at::neg(a) : a; }

Parts multiply(const Parts& a, const Parts& b) {
  return {sum(product(a.real, b.real), negated(product(a.imaginary, b.imaginary))),
          sum(product(a.real, b.imaginary), product(a.imaginary, b.real))};
}

at::Tensor quotient(const at::Tensor& a, const at::Tensor& b) { return a.defined() ? a.div(b) : a; }

// By the conjugate of b over its square, with b scaled to its larger part first, so that the square does not overflow.
Parts divide(const Parts& a, const Parts& b) {
  if (!b.imaginary.defined()) return {quotient(a.real, b.real), quotient(a.imaginary, b.real)};
  const at::Tensor scale = at::maximum(b.real.abs(), b.imaginary.abs());
  const Parts scaled{b.real.div(scale), b.imaginary.div(scale)};
  const at::Tensor square = sum(product(scaled.real, scaled.real), product(scaled.imaginary, scaled.imaginary));
  const Parts numerator = multiply(a, {scaled.real, negated(scaled.imaginary)});
  return {quotient(numerator.real, square).div(scale), quotient(numerator.imaginary, square).div(scale)};
}

at::Tensor or_zero(const Parts& parts) {
  return parts.imaginary.defined() ? parts.imaginary : at::zeros_like(parts.real);
}

std::string base_of(const std::string& name) {
  std::string base = name.substr(name.find("::") == std::string::npos ? 0 : name.find("::") + 2);
  base = base.substr(0, base.find('.'));
  return base.ends_with('_') ? base.substr(0, base.size() - 1) : base;
}

at::Tensor& conj_physical_out(const at::Tensor& self, at::Tensor& out) {
  check_output("conj_physical", out, self.scalar_type(), self.device());
  check_separate(out, {self});
  at::native::resize_output(out, self.sizes());
  if (!self.is_complex()) return out.copy_(self);
  const at::Tensor from = at::view_as_real(self);
  const at::Tensor to = at::view_as_real(out);
  to.select(-1, 0).copy_(from.select(-1, 0));
  to.select(-1, 1).copy_(at::neg(from.select(-1, 1)));
  return out;
}

}  // namespace

at::Tensor complex_elementwise(const std::string& name, c10::ArrayRef<ElementwiseOperand> operands,
                               c10::ScalarType compute) {
  const std::string base = base_of(name);
  const c10::ScalarType dtype = c10::toRealValueType(compute);
  const bool is_sum = base == "add" || base == "sub";
  const bool is_comparison = base == "eq" || base == "ne";
  TORCH_CHECK_NOT_IMPLEMENTED(
      (dtype == c10::kFloat || dtype == c10::kDouble) &&
          (is_sum || is_comparison || base == "mul" || base == "div" || base == "neg" || base == "fill"),
      name, " of ", compute,
      " has no kernel on mtia_sim: complex numbers are added, subtracted, multiplied, divided, "
      "compared, negated, conjugated and filled; compute with torch.view_as_real, or on the CPU: tensor.cpu()");
  const Parts a = parts_of(operands[0], dtype);
  if (is_comparison) {
    const Parts b = parts_of(operands[1], dtype);
    const at::Tensor real = a.real.eq(b.real);
    const at::Tensor equal = real.logical_and(or_zero(a).eq(or_zero(b)));
    return base == "eq" ? equal : equal.logical_not();
  }
  Parts result;
  if (base == "fill") {
    result = a;
  } else if (base == "neg") {
    result = {negated(a.real), negated(a.imaginary)};
  } else if (base == "mul") {
    result = multiply(a, parts_of(operands[1], dtype));
  } else if (base == "div") {
    result = divide(a, parts_of(operands[1], dtype));
  } else {
    Parts b = parts_of(operands[1], dtype);
    if (operands.size() > 2) b = multiply(b, parts_of(operands[2], dtype));
    if (base == "sub") b = {negated(b.real), negated(b.imaginary)};
    result = {sum(a.real, b.real), sum(a.imaginary, b.imaginary)};
  }
  if (!result.imaginary.defined()) result.imaginary = at::zeros_like(result.real);
  const std::vector<at::Tensor> both = at::expand_outplace({result.real, result.imaginary});
  return at::view_as_complex(at::stack(both, -1));
}

}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("conj_physical.out", conj_physical_out);
}
