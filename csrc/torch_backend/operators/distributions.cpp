// Distributions that are drawn by rejection (kernels/triton/distributions.py).
#include <ATen/ExpandUtils.h>
#include <ATen/ops/special_gammainc.h>
#include <ATen/ops/special_gammaincc.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <limits>
#include <utility>
#include <vector>

#include "torch_backend/generator.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/checked_generator.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

using OptionalGenerator = std::optional<at::Generator>;

constexpr uint64_t counters_of_an_element = 64;  // COUNTERS of the kernel

at::Tensor drawn(const char* name, const KernelId& kernel, const at::Tensor& first, const at::Tensor& second,
                 const OptionalGenerator& generator) {
  check_implemented(c10::isFloatingType(first.scalar_type()), name, first.scalar_type());
  const at::Tensor parameter = first.contiguous();
  const at::Tensor other = second.defined() ? second.to(first.scalar_type()).contiguous() : at::Tensor();
  at::Tensor out = empty_device(parameter.sizes(), parameter.scalar_type(), parameter.device());
  if (out.numel() == 0) return out;
  const auto elements = static_cast<uint64_t>(out.numel());
  const PhiloxState philox = reserve_philox(generator, out.device().index(), elements * counters_of_an_element);
  if (other.defined()) {
    launch_kernel(kernel, {out, parameter, other}, {out.numel()}, {philox.seed, philox.offset});
  } else {
    launch_kernel(kernel, {out, parameter}, {out.numel()}, {philox.seed, philox.offset});
  }
  return out;
}

at::Tensor standard_gamma(const at::Tensor& alpha, OptionalGenerator generator) {
  static const KernelId kernel("gamma_numbers");
  const OperatorScope scope("_standard_gamma");
  return drawn("gamma", kernel, alpha, {}, generator);
}

at::Tensor poisson(const at::Tensor& rate, OptionalGenerator generator) {
  static const KernelId kernel("poisson_numbers");
  const OperatorScope scope("poisson");
  return drawn("poisson_cpu", kernel, rate, {}, generator);
}

at::Tensor binomial(const at::Tensor& count, const at::Tensor& chance, OptionalGenerator generator) {
  static const KernelId kernel("binomial_numbers");
  const OperatorScope scope("binomial");
  const std::vector<int64_t> sizes = at::infer_size(count.sizes(), chance.sizes());
  return drawn("binomial_cpu", kernel, count.expand(sizes), chance.expand(sizes), generator);
}

// How a gamma number moves with its shape while its place in the distribution stays: -(dP/da) / p, in float64. The
// derivative of the logarithm of whichever tail is the smaller one is a central difference, which keeps its digits
// however small the tail is (implicit reparameterisation: Figurnov et al., arXiv 1805.08498).
at::Tensor standard_gamma_grad(const at::Tensor& alpha, const at::Tensor& number) {
  const OperatorScope scope("_standard_gamma_grad");
  check_implemented(c10::isFloatingType(alpha.scalar_type()), "_standard_gamma_grad_cpu", alpha.scalar_type());
  const at::Tensor shape = alpha.to(c10::kDouble);
  const at::Tensor x = number.to(c10::kDouble);
  const at::Tensor step = shape.clamp_min(1).mul(1e-5).minimum(shape.mul(0.5));
  const at::Tensor above = shape.add(step);
  const at::Tensor below = shape.sub(step);
  const at::Tensor is_low = x.le(shape);
  const auto log_tail = [&](const at::Tensor& at_shape) {
    return at::where(is_low, at::special_gammainc(at_shape, x), at::special_gammaincc(at_shape, x)).log();
  };
  const at::Tensor slope = log_tail(above).sub(log_tail(below)).div(step.mul(2));
  const at::Tensor log_density = shape.sub(1).mul(x.log()).sub(x).sub(shape.lgamma());
  const at::Tensor ratio = log_tail(shape).sub(log_density).exp();
  return slope.mul(ratio).mul(at::where(is_low, shape.new_full({}, -1), shape.new_full({}, 1))).to(alpha.scalar_type());
}

// Gamma numbers by their sum.
at::Tensor sample_dirichlet(const at::Tensor& alpha, OptionalGenerator generator) {
  const OperatorScope scope("_sample_dirichlet");
  const at::Tensor wide = alpha.scalar_type() == c10::kDouble ? alpha : alpha.to(c10::kFloat);
  const at::Tensor numbers = standard_gamma(wide, std::move(generator)).clamp_min_(std::numeric_limits<float>::min());
  return numbers.div(numbers.sum(-1, /*keepdim=*/true)).to(alpha.scalar_type());
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_standard_gamma", WithCheckedGenerator<standard_gamma>::call);
  library.impl("_standard_gamma_grad", standard_gamma_grad);
  library.impl("poisson", WithCheckedGenerator<poisson>::call);
  library.impl("binomial", WithCheckedGenerator<binomial>::call);
  library.impl("_sample_dirichlet", WithCheckedGenerator<sample_dirichlet>::call);
}
