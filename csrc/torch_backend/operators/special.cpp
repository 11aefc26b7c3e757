// Special functions beside the rows of the element-wise table: frexp is two of them, mvlgamma is made of lgamma,
// Kaiser's window of Bessel functions.
#include <ATen/OpMathType.h>
#include <ATen/TensorIterator.h>
#include <ATen/native/Resize.h>
#include <ATen/native/UnaryOps.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mvlgamma.h>
#include <ATen/ops/special_i0.h>
#include <torch/library.h>

#include <tuple>

#include "torch_backend/operators/elementwise.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

std::tuple<at::Tensor&, at::Tensor&> frexp_out(const at::Tensor& self, at::Tensor& mantissa, at::Tensor& exponent) {
  static const KernelId mantissa_kernel("elementwise.frexp_mantissa");
  static const KernelId exponent_kernel("elementwise.frexp_exponent");
  TORCH_CHECK(self.is_floating_point(),
              "torch.frexp() only supports floating-point dtypes; convert with tensor.to(torch.float32)");
  TORCH_CHECK(mantissa.dtype() == self.dtype(), "torch.frexp() expects mantissa to have dtype ", self.dtype(),
              " but got ", mantissa.dtype());
  TORCH_CHECK(exponent.scalar_type() == c10::kInt, "torch.frexp() expects exponent to have int dtype but got ",
              exponent.dtype());
  check_same_device("frexp", self.device(), mantissa);
  check_same_device("frexp", self.device(), exponent);
  check_separate(mantissa, {self});
  check_apart(exponent, {self, mantissa});
  at::native::resize_output(mantissa, self.sizes());
  at::native::resize_output(exponent, self.sizes());
  elementwise(exponent_kernel, exponent, {self}, self.scalar_type(), c10::kInt);
  elementwise(mantissa_kernel, mantissa, {self}, self.scalar_type(), self.scalar_type());
  return {mantissa, exponent};
}

at::Tensor& mvlgamma_out(const at::Tensor& self, int64_t p, at::Tensor& out) {
  const at::Tensor result = at::mvlgamma(self, p);
  check_convertible("mvlgamma", out, result.scalar_type(), self.device());
  return write_output(out, result);
}

// The positions are made here: those of the iterator are of the window's dtype, which may not hold them.
void kaiser_window_kernel(at::TensorIteratorBase& iterator, int64_t length, double beta) {
  const at::Tensor& window = iterator.tensor(0);
  const at::TensorOptions options = window.options().dtype(at::toOpMathType(window.scalar_type()));
  const double middle = static_cast<double>(length - 1) / 2;
  const at::Tensor square = at::arange(length, options).sub_(middle).div_(middle).square_();
  const at::Tensor arguments = square.neg_().add_(1).sqrt_().mul_(beta);
  window.copy_(at::special_i0(arguments).div_(at::special_i0(at::full({}, beta, options))));
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(kaiser_window_stub, &mtia::torch_backend::kaiser_window_kernel)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("frexp.Tensor_out", mtia::torch_backend::frexp_out);
  library.impl("mvlgamma.out", mtia::torch_backend::mvlgamma_out);
}
