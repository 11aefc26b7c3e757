// Batch normalisation in training and evaluation, backward, and the steps of it that SyncBatchNorm takes apart
// (kernels/triton/batch_norm.py).
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <torch/library.h>

#include <optional>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

using Optional = const std::optional<at::Tensor>&;

at::Tensor tensor_of(Optional option) { return option.has_value() ? *option : at::Tensor(); }

at::Tensor contiguous_of(Optional option) {
  return option.has_value() && option->defined() ? option->contiguous() : at::Tensor();
}

// Inputs of one layout as [outer, channels, positions]: the positions or the channels lie side by side.
struct Batch {
  at::MemoryFormat format;
  int64_t channels;
  int64_t elements;  // of a channel
  std::array<int64_t, 6> sizes;
};

Batch batch_of(const at::Tensor& input) {
  const at::MemoryFormat format = input.suggest_memory_format();
  const int64_t channels = input.size(1);
  const int64_t outer = input.size(0);
  const int64_t positions = outer * channels == 0 ? 0 : input.numel() / (outer * channels);
  const int64_t elements = outer * positions;
  if (format != at::MemoryFormat::Contiguous || positions == 1) {
    return {format, channels, elements, {1, channels, elements, 0, 1, channels}};
  }
  return {format, channels, elements, {outer, channels, positions, channels * positions, positions, 1}};
}

c10::SmallVector<int64_t, 8> with_mode(bool mode, const Batch& batch) {
  c10::SmallVector<int64_t, 8> sizes{mode};
  sizes.append(batch.sizes.begin(), batch.sizes.end());
  return sizes;
}

// CPU torch's dtype of statistics and parameters' gradients: the input's, or float32 where the parameters beside half
// precision are float32.
c10::ScalarType parameter_dtype(const at::Tensor& input, std::initializer_list<at::Tensor> parameters) {
  const c10::ScalarType dtype = input.scalar_type();
  std::optional<c10::ScalarType> common;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.defined()) continue;
    const c10::ScalarType own = parameter.scalar_type();
    if (!common) {
      common = own;
      TORCH_CHECK(own == dtype || (c10::isReducedFloatingType(dtype) && own == c10::kFloat),
                  "mixed dtype: the input is ", dtype, " and a parameter ", own,
                  "; expected parameters of the input's dtype, or Float beside half precision");
    }
    TORCH_CHECK(own == *common, "batch_norm: expected scalar type ", *common, " but found ", own);
  }
  return common.value_or(dtype);
}

void check_channels(const char* name, const at::Tensor& parameter, int64_t channels) {
  TORCH_CHECK(!parameter.defined() || parameter.numel() == channels, name, " should contain ", channels,
              " elements not ", parameter.defined() ? parameter.numel() : 0);
}

void check_statistics(const char* name, const at::Tensor& statistics, int64_t channels) {
  check_channels(name, statistics, channels);
  TORCH_CHECK(!statistics.defined() || statistics.dim() == 1, name, " should have 1 dimension, but has ",
              statistics.defined() ? statistics.dim() : 0);
}

void check_input(const char* operation, const at::Tensor& input) {
  check_implemented(c10::isFloatingType(input.scalar_type()), operation, input.scalar_type());
  TORCH_CHECK_INDEX(input.dim() >= 2, "Dimension out of range (expected to be in range of [-", input.dim(), ", ",
                    input.dim() - 1, "], but got 1)");
}

// Running statistics are moved in place: through a copy where they are not contiguous.
class Running {
 public:
  explicit Running(const at::Tensor& tensor)
      : tensor_(tensor), dense_(tensor.defined() ? tensor.contiguous() : tensor) {}
  const at::Tensor& dense() const { return dense_; }
  void finish() const {
    if (tensor_.defined() && !dense_.is_same(tensor_)) tensor_.copy_(dense_);
  }

 private:
  at::Tensor tensor_;
  at::Tensor dense_;
};

// Writes the mean and the inverse deviation, or the variance, of each channel; moves the running statistics.
void moments(const at::Tensor& mean, const at::Tensor& spread, bool inverse, const at::Tensor& input,
             const at::Tensor& running_mean, const at::Tensor& running_var, double momentum, double eps) {
  static const KernelId kernel("batch_norm_moments");
  TORCH_CHECK(input.numel() != 0, "input tensor must have at least one element, but got input_sizes = ", input.sizes());
  const Batch batch = batch_of(input);
  const Running average(running_mean), variance(running_var);
  const at::Tensor x = input.contiguous(batch.format);
  launch_kernel(kernel, {mean, spread, average.dense(), variance.dense(), x}, with_mode(inverse, batch),
                {momentum, eps});
  average.finish();
  variance.finish();
}

// `is_variance`: of which the kernel takes the inverse deviation.
void apply(const at::Tensor& out, const at::Tensor& input, const at::Tensor& mean, const at::Tensor& spread,
           bool is_variance, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  static const KernelId kernel("batch_norm_apply");
  if (input.numel() == 0) return;
  const Batch batch = batch_of(input);
  const Dense dense(out, batch.format);
  const at::Tensor x = input.contiguous(batch.format), average = mean.contiguous(), dense_spread = spread.contiguous();
  const at::Tensor scale = contiguous_of(weight), offset = contiguous_of(bias);
  launch_kernel(kernel, {dense.tensor(), x, average, dense_spread, scale, offset}, with_mode(is_variance, batch),
                {eps});
  dense.finish();
}

at::Tensor result_like(const at::Tensor& input) { return at::empty_like(input, input.suggest_memory_format()); }

struct Parameters {
  at::Tensor weight, bias, running_mean, running_var;
  c10::ScalarType dtype;

  Parameters(const at::Tensor& input, Optional weight_option, Optional bias_option, Optional mean, Optional variance)
      : weight(tensor_of(weight_option)),
        bias(tensor_of(bias_option)),
        running_mean(tensor_of(mean)),
        running_var(tensor_of(variance)) {
    check_input("batch_norm", input);
    dtype = parameter_dtype(input, {weight, bias, running_mean, running_var});
    const int64_t channels = input.size(1);
    check_channels("weight", weight, channels);
    check_channels("bias", bias, channels);
    check_statistics("running_mean", running_mean, channels);
    check_statistics("running_var", running_var, channels);
  }
};

// Empty statistics are not wanted: of given running ones nothing is saved.
void normalise(const at::Tensor& out, const at::Tensor& save_mean, const at::Tensor& save_invstd,
               const at::Tensor& input, const Parameters& given, bool train, double momentum, double eps) {
  const OperatorScope scope("batch_norm");
  if (train) {
    moments(save_mean, save_invstd, true, input, given.running_mean, given.running_var, momentum, eps);
    apply(out, input, save_mean, save_invstd, false, given.weight, given.bias, eps);
    return;
  }
  TORCH_CHECK(given.running_mean.defined(), "running_mean must be defined in evaluation mode");
  TORCH_CHECK(given.running_var.defined(), "running_var must be defined in evaluation mode");
  apply(out, input, given.running_mean, given.running_var, true, given.weight, given.bias, eps);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm(const at::Tensor& input, Optional weight, Optional bias,
                                                          Optional running_mean, Optional running_var, bool train,
                                                          double momentum, double eps) {
  const Parameters given(input, weight, bias, running_mean, running_var);
  const int64_t saved = train ? input.size(1) : 0;
  const at::Tensor out = result_like(input);
  const at::Tensor mean = empty_device({saved}, given.dtype, input.device());
  const at::Tensor invstd = empty_device({saved}, given.dtype, input.device());
  normalise(out, mean, invstd, input, given, train, momentum, eps);
  return {out, mean, invstd};
}

std::tuple<at::Tensor&, at::Tensor&, at::Tensor&> batch_norm_out(const at::Tensor& input, Optional weight,
                                                                 Optional bias, Optional running_mean,
                                                                 Optional running_var, bool train, double momentum,
                                                                 double eps, at::Tensor& out, at::Tensor& save_mean,
                                                                 at::Tensor& save_invstd) {
  const Parameters given(input, weight, bias, running_mean, running_var);
  check_output("batch_norm", out, input.scalar_type(), input.device());
  check_output("batch_norm", save_mean, given.dtype, input.device());
  check_output("batch_norm", save_invstd, given.dtype, input.device());
  at::native::resize_output(out, input.sizes());
  if (train) {
    at::native::resize_output(save_mean, {input.size(1)});
    at::native::resize_output(save_invstd, {input.size(1)});
  }
  const bool dense = save_mean.is_contiguous() && save_invstd.is_contiguous();
  const at::Tensor mean = dense ? save_mean : save_mean.contiguous();
  const at::Tensor invstd = dense ? save_invstd : save_invstd.contiguous();
  normalise(out, mean, invstd, input, given, train, momentum, eps);
  if (!dense && train) {
    save_mean.copy_(mean);
    save_invstd.copy_(invstd);
  }
  return {out, save_mean, save_invstd};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> legit(const at::Tensor& input, Optional weight, Optional bias,
                                                     at::Tensor& running_mean, at::Tensor& running_var, bool train,
                                                     double momentum, double eps) {
  return batch_norm(input, weight, bias, running_mean, running_var, train, momentum, eps);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> legit_no_stats(const at::Tensor& input, Optional weight, Optional bias,
                                                              bool train, double momentum, double eps) {
  return batch_norm(input, weight, bias, std::nullopt, std::nullopt, train, momentum, eps);
}

std::tuple<at::Tensor&, at::Tensor&, at::Tensor&> legit_out(const at::Tensor& input, Optional weight, Optional bias,
                                                            at::Tensor& running_mean, at::Tensor& running_var,
                                                            bool train, double momentum, double eps, at::Tensor& out,
                                                            at::Tensor& save_mean, at::Tensor& save_invstd) {
  return batch_norm_out(input, weight, bias, running_mean, running_var, train, momentum, eps, out, save_mean,
                        save_invstd);
}

std::tuple<at::Tensor&, at::Tensor&, at::Tensor&> legit_no_stats_out(const at::Tensor& input, Optional weight,
                                                                     Optional bias, bool train, double momentum,
                                                                     double eps, at::Tensor& out, at::Tensor& save_mean,
                                                                     at::Tensor& save_invstd) {
  return batch_norm_out(input, weight, bias, std::nullopt, std::nullopt, train, momentum, eps, out, save_mean,
                        save_invstd);
}

// The fourth result is what cuDNN reserves.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> with_update(const at::Tensor& input, Optional weight,
                                                                       Optional bias, at::Tensor& running_mean,
                                                                       at::Tensor& running_var, double momentum,
                                                                       double eps) {
  const auto [out, mean, invstd] = batch_norm(input, weight, bias, running_mean, running_var, true, momentum, eps);
  return {out, mean, invstd, empty_device({0}, c10::kByte, input.device())};
}

std::tuple<at::Tensor&, at::Tensor&, at::Tensor&, at::Tensor&> with_update_out(
    const at::Tensor& input, Optional weight, Optional bias, at::Tensor& running_mean, at::Tensor& running_var,
    double momentum, double eps, at::Tensor& out, at::Tensor& save_mean, at::Tensor& save_invstd, at::Tensor& reserve) {
  batch_norm_out(input, weight, bias, running_mean, running_var, true, momentum, eps, out, save_mean, save_invstd);
  return {out, save_mean, save_invstd, reserve};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> no_update(const at::Tensor& input, Optional weight,
                                                                     Optional bias, Optional running_mean,
                                                                     Optional running_var, double momentum,
                                                                     double eps) {
  const auto [out, mean, invstd] = batch_norm(input, weight, bias, running_mean, running_var, false, momentum, eps);
  return {out, mean, invstd, empty_device({0}, c10::kByte, input.device())};
}

struct GradientSums {
  at::Tensor gradient;  // of each channel
  at::Tensor product;   // of the gradient and x - mean
};

// Undefined outputs are not wanted.
void gradient_sums(const GradientSums& sums, const at::Tensor& grad_weight, const at::Tensor& grad_bias,
                   const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean,
                   const at::Tensor& spread, bool is_variance, double eps) {
  static const KernelId kernel("batch_norm_gradient_sums");
  const Batch batch = batch_of(input);
  KernelCall call(kernel, input.device().index());
  const at::Tensor x = input.contiguous(batch.format), grad = grad_out.contiguous(batch.format);
  call.tensor(sums.gradient).tensor(sums.product).tensor(grad_weight).tensor(grad_bias).tensor(grad).tensor(x);
  call.tensor(mean).tensor(spread).sizes(with_mode(is_variance, batch)).scalar(eps);
  call.launch();
}

at::Tensor input_gradient(const GradientSums& sums, const at::Tensor& grad_out, const at::Tensor& input,
                          const at::Tensor& mean, const at::Tensor& spread, bool is_variance, const at::Tensor& weight,
                          double eps, int64_t count) {
  static const KernelId kernel("batch_norm_input_gradient");
  const Batch batch = batch_of(input);
  const at::Tensor grad_input = result_like(input);
  if (input.numel() == 0) return grad_input;
  KernelCall call(kernel, input.device().index());
  const at::Tensor x = input.contiguous(batch.format), grad = grad_out.contiguous(batch.format);
  const at::Tensor scale = contiguous_of(weight);
  call.tensor(grad_input).tensor(grad).tensor(x).tensor(mean).tensor(spread).tensor(scale);
  call.tensor(sums.gradient).tensor(sums.product).sizes(with_mode(is_variance, batch));
  call.scalar(eps).scalar(static_cast<double>(count));
  call.launch();
  return grad_input;
}

c10::ScalarType sum_dtype(const at::Tensor& input) {
  return input.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm_backward(const at::Tensor& grad_out, const at::Tensor& input,
                                                                   Optional weight_option, Optional running_mean,
                                                                   Optional running_var, Optional save_mean,
                                                                   Optional save_invstd, bool train, double eps,
                                                                   std::array<bool, 3> wanted) {
  const OperatorScope scope("batch_norm_backward");
  check_input("batch_norm_backward", input);
  const at::Tensor weight = contiguous_of(weight_option);
  const at::Tensor mean = contiguous_of(train ? save_mean : running_mean);
  const at::Tensor spread = contiguous_of(train ? save_invstd : running_var);
  TORCH_CHECK(mean.defined() && spread.defined(), "batch_norm_backward: expected ",
              train ? "save_mean and save_invstd" : "running_mean and running_var in evaluation mode");
  const int64_t channels = input.size(1);
  const c10::ScalarType dtype =
      parameter_dtype(input, {weight, tensor_of(running_mean), tensor_of(running_var),
                              train && save_mean->numel() == channels ? *save_mean : at::Tensor()});
  const auto vector = [&](bool is_wanted, c10::ScalarType of) {
    return is_wanted ? empty_device({channels}, of, input.device()) : at::Tensor();
  };
  const at::Tensor grad_weight = vector(wanted[1], dtype), grad_bias = vector(wanted[2], dtype);
  const bool needs_sums = train && wanted[0];
  const GradientSums sums{vector(needs_sums, sum_dtype(input)), vector(needs_sums, sum_dtype(input))};
  if (input.numel() == 0) {
    if (grad_weight.defined()) grad_weight.fill_(0);
    if (grad_bias.defined()) grad_bias.fill_(0);
    return {wanted[0] ? result_like(input) : at::Tensor(), grad_weight, grad_bias};
  }
  if (needs_sums || wanted[1] || wanted[2]) {
    gradient_sums(sums, grad_weight, grad_bias, grad_out, input, mean, spread, !train, eps);
  }
  const int64_t count = input.numel() / channels;
  return {wanted[0] ? input_gradient(sums, grad_out, input, mean, spread, !train, weight, eps, count) : at::Tensor(),
          grad_weight, grad_bias};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward_with_reserve(const at::Tensor& grad_out,
                                                                     const at::Tensor& input, const at::Tensor& weight,
                                                                     Optional running_mean, Optional running_var,
                                                                     Optional save_mean, Optional save_invstd,
                                                                     bool train, double eps, std::array<bool, 3> wanted,
                                                                     const at::Tensor&) {
  return batch_norm_backward(grad_out, input, weight, running_mean, running_var, save_mean, save_invstd, train, eps,
                             wanted);
}

std::tuple<at::Tensor, at::Tensor> update_stats(const at::Tensor& input, Optional running_mean, Optional running_var,
                                                double momentum) {
  const Parameters given(input, std::nullopt, std::nullopt, running_mean, running_var);
  const at::Tensor mean = empty_device({input.size(1)}, given.dtype, input.device());
  const at::Tensor variance = empty_device({input.size(1)}, given.dtype, input.device());
  moments(mean, variance, false, input, given.running_mean, given.running_var, momentum, 0);
  return {mean, variance};
}

// ---- What SyncBatchNorm calls, whose statistics are float32 as on CUDA.

std::tuple<at::Tensor, at::Tensor> stats(const at::Tensor& input, double eps) {
  check_input("batch_norm_stats", input);
  const at::Tensor mean = empty_device({input.size(1)}, sum_dtype(input), input.device());
  const at::Tensor invstd = empty_device({input.size(1)}, sum_dtype(input), input.device());
  moments(mean, invstd, true, input, {}, {}, 0, eps);
  return {mean, invstd};
}

at::Tensor elementwise(const at::Tensor& input, Optional weight, Optional bias, const at::Tensor& mean,
                       const at::Tensor& invstd, double eps) {
  check_input("batch_norm_elemt", input);
  const at::Tensor out = result_like(input);
  apply(out, input, mean, invstd, false, tensor_of(weight), tensor_of(bias), eps);
  return out;
}

at::Tensor& elementwise_out(const at::Tensor& input, Optional weight, Optional bias, const at::Tensor& mean,
                            const at::Tensor& invstd, double eps, at::Tensor& out) {
  check_output("batch_norm_elemt", out, input.scalar_type(), input.device());
  return write_output(out, elementwise(input, weight, bias, mean, invstd, eps));
}

// Joins the moments of processes, [processes, channels], by Chan's formula.
std::tuple<at::Tensor, at::Tensor> gather_with_counts(const at::Tensor&, const at::Tensor& mean,
                                                      const at::Tensor& invstd, Optional running_mean,
                                                      Optional running_var, double momentum, double eps,
                                                      const at::Tensor& counts) {
  const at::Tensor weights = counts.to(mean.scalar_type()).view({-1, 1});
  const at::Tensor total = weights.sum();
  const at::Tensor whole = mean.mul(weights).sum(0).div(total);
  const at::Tensor variances = invstd.pow(-2).sub(eps).add(mean.sub(whole).square());
  const at::Tensor squares = variances.mul(weights).sum(0);
  const auto move = [&](Optional running, const at::Tensor& amount) {
    if (running.has_value() && running->defined()) running->mul_(1 - momentum).add_(amount, momentum);
  };
  move(running_mean, whole);
  move(running_var, squares.div(total.sub(1)));
  return {whole, squares.div(total).add(eps).rsqrt()};
}

std::tuple<at::Tensor, at::Tensor> gather(const at::Tensor& input, const at::Tensor& mean, const at::Tensor& invstd,
                                          Optional running_mean, Optional running_var, double momentum, double eps,
                                          int64_t count) {
  const at::Tensor counts = at::ones({mean.size(0)}, mean.options()).mul_(static_cast<double>(count));
  return gather_with_counts(input, mean, invstd, running_mean, running_var, momentum, eps, counts);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> backward_reduce(
    const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean, const at::Tensor& invstd,
    Optional weight, bool input_wanted, bool weight_wanted, bool bias_wanted) {
  check_input("batch_norm_backward_reduce", input);
  const bool has_weight = weight.has_value() && weight->defined();
  const c10::ScalarType dtype = has_weight ? weight->scalar_type() : sum_dtype(input);
  const auto vector = [&](bool is_wanted, c10::ScalarType of) {
    return is_wanted ? empty_device({input.size(1)}, of, input.device()) : at::Tensor();
  };
  const GradientSums sums{vector(input_wanted, sum_dtype(input)), vector(input_wanted, sum_dtype(input))};
  const at::Tensor grad_weight = vector(weight_wanted, dtype), grad_bias = vector(bias_wanted, dtype);
  gradient_sums(sums, grad_weight, grad_bias, grad_out, input, mean.contiguous(), invstd.contiguous(), false, 0);
  return {sums.gradient, sums.product, grad_weight, grad_bias};
}

at::Tensor backward_elementwise(const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean,
                                const at::Tensor& invstd, Optional weight, const at::Tensor& gradient_sum,
                                const at::Tensor& product_sum, const at::Tensor& counts) {
  check_input("batch_norm_backward_elemt", input);
  const at::Tensor total = counts.sum().to(sum_dtype(input));
  const GradientSums means{gradient_sum.div(total).contiguous(), product_sum.div(total).contiguous()};
  return input_gradient(means, grad_out, input, mean.contiguous(), invstd.contiguous(), false, tensor_of(weight), 0, 1);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("native_batch_norm", mtia::torch_backend::batch_norm);
  library.impl("native_batch_norm.out", mtia::torch_backend::batch_norm_out);
  library.impl("native_batch_norm_backward", mtia::torch_backend::batch_norm_backward);
  library.impl("_native_batch_norm_legit", legit);
  library.impl("_native_batch_norm_legit.out", legit_out);
  library.impl("_native_batch_norm_legit.no_stats", legit_no_stats);
  library.impl("_native_batch_norm_legit.no_stats_out", legit_no_stats_out);
  library.impl("_batch_norm_with_update", with_update);
  library.impl("_batch_norm_with_update.out", with_update_out);
  library.impl("_batch_norm_no_update", no_update);
  library.impl("batch_norm_backward", backward_with_reserve);
  library.impl("batch_norm_update_stats", update_stats);
  library.impl("batch_norm_stats", mtia::torch_backend::stats);
  library.impl("batch_norm_elemt", elementwise);
  library.impl("batch_norm_elemt.out", elementwise_out);
  library.impl("batch_norm_gather_stats", mtia::torch_backend::gather);
  library.impl("batch_norm_gather_stats_with_counts", gather_with_counts);
  library.impl("batch_norm_backward_reduce", backward_reduce);
  library.impl("batch_norm_backward_elemt", backward_elementwise);
}
