// Special functions beside the rows of the element-wise table: frexp is two of them, mvlgamma is made of lgamma.
#include <ATen/native/Resize.h>
#include <ATen/ops/mvlgamma.h>
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

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("frexp.Tensor_out", mtia::torch_backend::frexp_out);
  library.impl("mvlgamma.out", mtia::torch_backend::mvlgamma_out);
}
