// Operators made of other operators of the device: no kernels of their own.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/add.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/glu_backward_jvp_native.h>
#include <ATen/ops/glu_meta.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>

#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// Of two dtypes, the values are compared, as on CUDA; kernel libraries rely on it.
bool equal(const at::Tensor& self, const at::Tensor& other) {
  TORCH_CHECK(self.device() == other.device(),
              "Expected all tensors to be on the same device, but found at least two devices, ", self.device(), " and ",
              other.device(), "!");
  if (!self.sizes().equals(other.sizes())) return false;
  return self.numel() == 0 || self.eq(other).all().item().toBool();
}

at::Tensor& glu_out(const at::Tensor& self, int64_t dim, at::Tensor& out) {
  WithOutputs<at::meta::structured_glu> call(out);
  call.meta(self, dim);
  check_floating("glu", self.scalar_type());
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  const int64_t half = self.size(axis) / 2;
  const at::Tensor gated = self.narrow(axis, 0, half).mul(self.narrow(axis, half, half).sigmoid());
  return write_output(out, gated);
}

at::Tensor glu_backward(const at::Tensor& grad, const at::Tensor& self, int64_t dim) {
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  const int64_t half = self.size(axis) / 2;
  const at::Tensor value = self.narrow(axis, 0, half);
  const at::Tensor gate = self.narrow(axis, half, half).sigmoid();
  const at::Tensor grad_value = grad.mul(gate);
  return at::cat({grad_value, grad_value.mul(value).mul(gate.neg().add(1))}, axis);
}

// The forward-mode derivative of glu.
at::Tensor glu_jvp(const at::Tensor& glu, const at::Tensor& x, const at::Tensor& dx, int64_t dim) {
  const int64_t axis = at::maybe_wrap_dim(dim, x.dim());
  const int64_t half = glu.size(axis);
  const at::Tensor gate = x.narrow(axis, half, half).sigmoid();
  const at::Tensor gate_derivative = gate.neg().add(1).mul(dx.narrow(axis, half, half));
  return dx.narrow(axis, 0, half).mul(gate).add(glu.mul(gate_derivative));
}

at::Tensor add_relu(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha) {
  return self.add(other, alpha).relu_();
}

at::Tensor& add_relu_(at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha) {
  return self.add_(other, alpha).relu_();
}

at::Tensor& add_relu_out(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha, at::Tensor& out) {
  return at::add_out(out, self, other, alpha).relu_();
}

at::Tensor& addmm_activation_out(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b,
                                 const at::Scalar& beta, const at::Scalar& alpha, bool use_gelu, at::Tensor& out) {
  at::addmm_out(out, self, a, b, beta, alpha);
  return use_gelu ? at::gelu_(out) : out.relu_();
}

std::tuple<at::Tensor, at::Tensor> prelu_backward(const at::Tensor& grad, const at::Tensor& self,
                                                  const at::Tensor& weight) {
  const at::Tensor is_positive = self.gt(0);
  const at::Tensor zero = at::zeros({}, grad.options());
  return {at::where(is_positive, grad, grad.mul(weight)), at::where(is_positive, zero, grad.mul(self))};
}

at::Tensor trace(const at::Tensor& self) {
  check_numeric("trace", self.scalar_type());
  TORCH_CHECK(self.dim() == 2, "trace: expected a matrix, but got tensor with dim ", self.dim());
  return self.diagonal().sum();
}

at::Tensor bincount(const at::Tensor& self, const std::optional<at::Tensor>& weights, int64_t minlength) {
  check_implemented(at::isIntegralType(self.scalar_type(), false), "bincount", self.scalar_type());
  TORCH_CHECK(self.dim() == 1 && at::isIntegralType(self.scalar_type(), false),
              "bincount only supports 1-d non-negative integral inputs.");
  TORCH_CHECK(minlength >= 0, "minlength should be >= 0");
  const bool weighted = weights.has_value() && weights->defined();
  const c10::ScalarType dtype = !weighted                               ? c10::kLong
                                : weights->scalar_type() == c10::kFloat ? c10::kFloat
                                                                        : c10::kDouble;
  if (self.numel() == 0) return at::zeros({minlength}, self.options().dtype(c10::kLong));
  TORCH_CHECK(self.min().item().toLong() >= 0, "bincount only supports 1-d non-negative integral inputs.");
  const int64_t bins = std::max(minlength, self.max().item().toLong() + 1);
  const at::Tensor amounts =
      weighted ? weights->to(dtype) : at::zeros({self.numel()}, self.options().dtype(dtype)).fill_(1);
  return at::zeros({bins}, self.options().dtype(dtype)).index_add_(0, self.to(c10::kLong), amounts);
}

// Elements outside of [low, high], NaN among them, are in no bin; `high` itself is in the last one. Integers are taken
// as on CUDA: mixtures of experts count their tokens so.
at::Tensor histc(const at::Tensor& self, int64_t bins, const at::Scalar& min, const at::Scalar& max) {
  check_numeric("histc", self.scalar_type());
  TORCH_CHECK(bins > 0, "histc: bins must be > 0, got ", bins);
  const at::TensorOptions options = self.options();
  if (self.numel() == 0) return at::zeros({bins}, options);
  const c10::ScalarType wide =
      at::isIntegralType(self.scalar_type(), true) || self.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat;
  const at::Tensor values = self.reshape({-1}).to(wide);
  double low = min.toDouble(), high = max.toDouble();
  if (low == high) {
    low = values.min().item().toDouble();
    high = values.max().item().toDouble();
  }
  if (low == high) {
    low -= 1;
    high += 1;
  }
  TORCH_CHECK(std::isfinite(low) && std::isfinite(high), "histc: range of [", low, ", ", high, "] is not finite");
  TORCH_CHECK(low < high, "histc: max must be larger than min, got [", low, ", ", high, "]");
  const at::Tensor inside = values.ge(low).logical_and(values.le(high));
  const at::Tensor bin = values.sub(low).mul(static_cast<double>(bins)).div(high - low).to(c10::kLong);
  return at::zeros({bins}, options.dtype(wide))
      .index_add_(0, bin.clamp(0, bins - 1), inside.to(wide))
      .to(self.scalar_type());
}

at::Tensor& histc_out(const at::Tensor& self, int64_t bins, const at::Scalar& min, const at::Scalar& max,
                      at::Tensor& out) {
  check_output("histc", out, self.scalar_type(), self.device());
  return write_output(out, histc(self, bins, min, max));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("equal", mtia::torch_backend::equal);
  library.impl("glu.out", glu_out);
  library.impl("glu_backward", mtia::torch_backend::glu_backward);
  library.impl("glu_jvp", mtia::torch_backend::glu_jvp);
  library.impl("glu_backward_jvp", TORCH_FN(at::native::glu_backward_jvp));
  library.impl("_add_relu.Tensor", add_relu);
  library.impl("_add_relu_.Tensor", add_relu_);
  library.impl("_add_relu.out", add_relu_out);
  library.impl("_addmm_activation.out", addmm_activation_out);
  library.impl("_prelu_kernel_backward", prelu_backward);
  library.impl("trace", mtia::torch_backend::trace);
  library.impl("bincount", mtia::torch_backend::bincount);
  library.impl("histc", mtia::torch_backend::histc);
  library.impl("histc.out", histc_out);
}
