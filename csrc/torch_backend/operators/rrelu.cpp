// Leaky rectified units of random slopes, which `noise` keeps for the gradient.
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

at::Tensor rrelu_with_noise(const at::Tensor& self, at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper,
                            bool training, std::optional<at::Generator> generator) {
  const OperatorScope scope("rrelu_with_noise");
  TORCH_CHECK(self.sym_sizes() == noise.sym_sizes(),
              "noise tensor shape must match self tensor shape. Got self.shape = ", self.sizes(),
              ", noise.shape = ", noise.sizes());
  const double low = lower.toDouble(), high = upper.toDouble();
  TORCH_CHECK(low <= high, "Lower bound should be less than or equal to the upper bound");
  const c10::ScalarType dtype = self.scalar_type();
  check_implemented(c10::isFloatingType(dtype) && !(training && dtype == c10::kHalf), "rrelu_with_noise", dtype);
  if (!training) return at::leaky_relu(self, (low + high) / 2);
  const at::Tensor slopes = empty_device(self.sizes(), dtype, self.device()).uniform_(low, high, std::move(generator));
  noise.copy_(at::where(self.le(0), slopes, 1.0));
  return self.mul(noise.to(dtype));
}

at::Tensor& rrelu_with_noise_out(const at::Tensor& self, at::Tensor& noise, const at::Scalar& lower,
                                 const at::Scalar& upper, bool training, std::optional<at::Generator> generator,
                                 at::Tensor& out) {
  check_output("rrelu_with_noise", out, self.scalar_type(), self.device());
  return write_output(out, torch_backend::rrelu_with_noise(self, noise, lower, upper, training, std::move(generator)));
}

at::Tensor& rrelu_with_noise_(at::Tensor& self, at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper,
                              bool training, std::optional<at::Generator> generator) {
  return self.copy_(torch_backend::rrelu_with_noise(self, noise, lower, upper, training, std::move(generator)));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("rrelu_with_noise", mtia::torch_backend::rrelu_with_noise);
  library.impl("rrelu_with_noise.out", rrelu_with_noise_out);
  library.impl("rrelu_with_noise_", mtia::torch_backend::rrelu_with_noise_);
}
