// RMSNorm and LayerNorm over the trailing dimensions and GroupNorm over groups of channels, forward and backward.
#include <c10/util/accumulate.h>
#include <torch/library.h>

#include <limits>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"

namespace mtia::torch_backend {
namespace {

struct Rows {
  int64_t count;
  int64_t length;
  c10::SmallVector<int64_t, 8> statistics;  // the leading sizes, then a 1 for each normalized dimension
};

Rows rows_of(const at::Tensor& input, c10::IntArrayRef normalized_shape) {
  const size_t normalized = normalized_shape.size();
  TORCH_CHECK(normalized > 0 && normalized <= static_cast<size_t>(input.dim()) &&
                  input.sizes().slice(input.sizes().size() - normalized) == normalized_shape,
              "Given normalized_shape=", normalized_shape, ", expected input with shape [*, ", normalized_shape,
              "], but got input of size", input.sizes());
  const size_t leading = static_cast<size_t>(input.dim()) - normalized;
  Rows rows{1, c10::multiply_integers(normalized_shape), {}};
  for (size_t i = 0; i < leading; ++i) {
    rows.count *= input.size(static_cast<int64_t>(i));
    rows.statistics.push_back(input.size(static_cast<int64_t>(i)));
  }
  rows.statistics.resize(static_cast<size_t>(input.dim()), 1);
  return rows;
}

// torch's mixed precision: parameters of the input's dtype, or float32 beside half precision.
void check_parameter_dtype(const char* operation, const at::Tensor& input, const at::Tensor& parameter) {
  const bool fits = !parameter.defined() || parameter.scalar_type() == input.scalar_type() ||
                    (c10::isReducedFloatingType(input.scalar_type()) && parameter.scalar_type() == c10::kFloat);
  TORCH_CHECK(fits, operation, ": mixed dtype: the input is ", input.scalar_type(), " and a parameter ",
              parameter.defined() ? parameter.scalar_type() : c10::kFloat,
              "; expected a parameter of the input's dtype, or Float beside half precision");
}

void check_parameter(const at::Tensor& parameter, const char* name, c10::IntArrayRef normalized_shape) {
  TORCH_CHECK(!parameter.defined() || parameter.sizes() == normalized_shape, "Expected ", name,
              " to be of same shape as normalized_shape, but got ", name, " of shape ",
              parameter.defined() ? parameter.sizes() : c10::IntArrayRef(),
              " and normalized_shape = ", normalized_shape);
}

// [rows, length] with contiguous rows: a view where the layout allows it.
struct Matrix {
  at::Tensor storage;
  int64_t row_stride;
};

Matrix matrix_of(const at::Tensor& tensor, const Rows& rows) {
  if (tensor.is_contiguous()) return {tensor, rows.length};
  const at::Tensor matrix = tensor.reshape({rows.count, rows.length});
  if (rows.length == 1 || matrix.stride(1) == 1) return {matrix, matrix.stride(0)};
  return {matrix.contiguous(), rows.length};
}

at::Tensor contiguous_or_undefined(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() && tensor->defined() ? tensor->contiguous() : at::Tensor();
}

c10::ScalarType statistics_dtype(const at::Tensor& input) {
  return input.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat;
}

at::Tensor empty_contiguous(const at::Tensor& like) {
  return empty_device(like.sizes(), like.scalar_type(), like.device());
}

double default_epsilon(const at::Tensor& input) {
  return input.scalar_type() == c10::kDouble ? std::numeric_limits<double>::epsilon()
                                             : std::numeric_limits<float>::epsilon();
}

std::tuple<at::Tensor, at::Tensor> rms_norm(const at::Tensor& input, c10::IntArrayRef normalized_shape,
                                            const std::optional<at::Tensor>& weight_option, std::optional<double> eps) {
  static const KernelId kernel("rms_norm_forward");
  check_floating("rms_norm", input.scalar_type());
  const at::Tensor weight = contiguous_or_undefined(weight_option);
  check_parameter(weight, "weight", normalized_shape);
  const Rows rows = rows_of(input, normalized_shape);
  const at::Tensor out = empty_contiguous(input);
  const at::Tensor rstd = empty_device(rows.statistics, statistics_dtype(input), input.device());
  if (out.numel() != 0) {
    const Matrix x = matrix_of(input, rows);
    launch_kernel(kernel, {out, rstd, x.storage, weight}, {rows.count, rows.length, x.row_stride},
                  {eps.value_or(default_epsilon(input))});
  }
  return {out, rstd};
}

std::tuple<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& grad_out, const at::Tensor& input,
                                                     c10::IntArrayRef normalized_shape, const at::Tensor& rstd,
                                                     const std::optional<at::Tensor>& weight_option,
                                                     std::array<bool, 2> output_mask) {
  static const KernelId kernel("rms_norm_backward");
  const at::Tensor weight = contiguous_or_undefined(weight_option);
  const Rows rows = rows_of(input, normalized_shape);
  const at::Tensor grad_input = output_mask[0] ? empty_contiguous(input) : at::Tensor();
  const at::Tensor grad_weight = output_mask[1] && weight.defined() ? empty_contiguous(weight) : at::Tensor();
  if (input.numel() == 0) {
    if (grad_weight.defined()) grad_weight.fill_(0);
    return {grad_input, grad_weight};
  }
  const Matrix x = matrix_of(input, rows);
  const Matrix grad = matrix_of(grad_out, rows);
  KernelCall call(kernel, input.device().index());
  call.tensor(grad_input).tensor(grad_weight).tensor(grad.storage).tensor(x.storage).tensor(rstd).tensor(weight);
  call.sizes({rows.count, rows.length, x.row_stride, grad.row_stride});
  call.launch();
  return {grad_input, grad_weight};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> layer_norm(const at::Tensor& input, c10::IntArrayRef normalized_shape,
                                                          const std::optional<at::Tensor>& weight_option,
                                                          const std::optional<at::Tensor>& bias_option, double eps) {
  static const KernelId kernel("layer_norm_forward");
  check_floating("layer_norm", input.scalar_type());
  const at::Tensor weight = contiguous_or_undefined(weight_option);
  const at::Tensor bias = contiguous_or_undefined(bias_option);
  for (const at::Tensor& parameter : {weight, bias}) check_parameter_dtype("layer_norm", input, parameter);
  check_parameter(weight, "weight", normalized_shape);
  check_parameter(bias, "bias", normalized_shape);
  const Rows rows = rows_of(input, normalized_shape);
  const at::Tensor out = empty_contiguous(input);
  const at::Tensor mean = empty_device(rows.statistics, statistics_dtype(input), input.device());
  const at::Tensor rstd = empty_device(rows.statistics, statistics_dtype(input), input.device());
  if (out.numel() != 0) {
    const Matrix x = matrix_of(input, rows);
    launch_kernel(kernel, {out, mean, rstd, x.storage, weight, bias}, {rows.count, rows.length, x.row_stride}, {eps});
  } else {
    mean.fill_(0);
    rstd.fill_(0);
  }
  return {out, mean, rstd};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> layer_norm_backward(const at::Tensor& grad_out, const at::Tensor& input,
                                                                   c10::IntArrayRef normalized_shape,
                                                                   const at::Tensor& mean, const at::Tensor& rstd,
                                                                   const std::optional<at::Tensor>& weight_option,
                                                                   const std::optional<at::Tensor>& bias_option,
                                                                   std::array<bool, 3> output_mask) {
  static const KernelId kernel("layer_norm_backward");
  const at::Tensor weight = contiguous_or_undefined(weight_option);
  const at::Tensor bias = contiguous_or_undefined(bias_option);
  const Rows rows = rows_of(input, normalized_shape);
  const at::Tensor grad_input = output_mask[0] ? empty_contiguous(input) : at::Tensor();
  const at::Tensor grad_weight = output_mask[1] && weight.defined() ? empty_contiguous(weight) : at::Tensor();
  const at::Tensor grad_bias = output_mask[2] && bias.defined() ? empty_contiguous(bias) : at::Tensor();
  if (input.numel() == 0) {
    if (grad_weight.defined()) grad_weight.fill_(0);
    if (grad_bias.defined()) grad_bias.fill_(0);
    return {grad_input, grad_weight, grad_bias};
  }
  const Matrix x = matrix_of(input, rows);
  const Matrix grad = matrix_of(grad_out, rows);
  KernelCall call(kernel, input.device().index());
  call.tensor(grad_input)
      .tensor(grad_weight)
      .tensor(grad_bias)
      .tensor(grad.storage)
      .tensor(x.storage)
      .tensor(mean)
      .tensor(rstd)
      .tensor(weight);
  call.sizes({rows.count, rows.length, x.row_stride, grad.row_stride});
  call.launch();
  return {grad_input, grad_weight, grad_bias};
}

struct Groups {
  int64_t batch;
  int64_t channels;
  int64_t positions;
  int64_t count;

  bool empty() const { return batch * channels * positions == 0; }
  std::array<int64_t, 4> sizes() const { return {batch, channels, positions, count}; }
};

Groups groups_of(const at::Tensor& input, int64_t batch, int64_t channels, int64_t positions, int64_t count) {
  TORCH_CHECK(count > 0, "Expected num groups to be greater than 0, got ", count);
  TORCH_CHECK(channels % count == 0,
              "Expected number of channels in input to be divisible by num_groups, but got input of shape ",
              input.sizes(), " and num_groups=", count);
  TORCH_CHECK(input.numel() == batch * channels * positions, "Expected an input of ", batch, " x ", channels, " x ",
              positions, " elements, but got input of shape ", input.sizes());
  return {batch, channels, positions, count};
}

void check_channels(const at::Tensor& parameter, const char* name, int64_t channels) {
  TORCH_CHECK(!parameter.defined() || (parameter.dim() == 1 && parameter.numel() == channels), "Expected ", name,
              " to be a vector of size equal to the number of channels in input, but got ", name, " of shape ",
              parameter.defined() ? parameter.sizes() : c10::IntArrayRef(), " and ", channels, " channels");
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> group_norm(const at::Tensor& input,
                                                          const std::optional<at::Tensor>& weight_option,
                                                          const std::optional<at::Tensor>& bias_option, int64_t batch,
                                                          int64_t channels, int64_t positions, int64_t count,
                                                          double eps) {
  static const KernelId kernel("group_norm_forward");
  check_floating("group_norm", input.scalar_type());
  const at::Tensor weight = contiguous_or_undefined(weight_option);
  const at::Tensor bias = contiguous_or_undefined(bias_option);
  const Groups groups = groups_of(input, batch, channels, positions, count);
  for (const at::Tensor& parameter : {weight, bias}) check_parameter_dtype("group_norm", input, parameter);
  check_channels(weight, "weight", channels);
  check_channels(bias, "bias", channels);
  const at::Tensor out = empty_contiguous(input);
  const at::Tensor mean = empty_device({batch, count}, statistics_dtype(input), input.device());
  const at::Tensor rstd = empty_device({batch, count}, statistics_dtype(input), input.device());
  if (groups.empty()) {
    mean.fill_(0);
    rstd.fill_(std::numeric_limits<double>::quiet_NaN());
  } else {
    const at::Tensor x = input.contiguous();
    launch_kernel(kernel, {out, mean, rstd, x, weight, bias}, groups.sizes(), {eps});
  }
  return {out, mean, rstd};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> group_norm_backward(const at::Tensor& grad_out, const at::Tensor& input,
                                                                   const at::Tensor& mean, const at::Tensor& rstd,
                                                                   const std::optional<at::Tensor>& weight_option,
                                                                   int64_t batch, int64_t channels, int64_t positions,
                                                                   int64_t count, std::array<bool, 3> output_mask) {
  static const KernelId kernel("group_norm_backward");
  const at::Tensor weight = contiguous_or_undefined(weight_option);
  const Groups groups = groups_of(input, batch, channels, positions, count);
  const auto parameter = [&] {
    return empty_device({channels}, weight.defined() ? weight.scalar_type() : input.scalar_type(), input.device());
  };
  const at::Tensor grad_input = output_mask[0] ? empty_contiguous(input) : at::Tensor();
  const at::Tensor grad_weight = output_mask[1] ? parameter() : at::Tensor();
  const at::Tensor grad_bias = output_mask[2] ? parameter() : at::Tensor();
  if (groups.empty()) {
    if (grad_weight.defined()) grad_weight.fill_(0);
    if (grad_bias.defined()) grad_bias.fill_(0);
    return {grad_input, grad_weight, grad_bias};
  }
  KernelCall call(kernel, input.device().index());
  const at::Tensor x = input.contiguous(), grad = grad_out.contiguous();
  call.tensor(grad_input).tensor(grad_weight).tensor(grad_bias).tensor(grad).tensor(x).tensor(mean.contiguous());
  call.tensor(rstd.contiguous()).tensor(weight);
  call.sizes(groups.sizes());
  call.launch();
  return {grad_input, grad_weight, grad_bias};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_fused_rms_norm", rms_norm);
  library.impl("_fused_rms_norm_backward", rms_norm_backward);
  library.impl("native_group_norm", group_norm);
  library.impl("native_group_norm_backward", group_norm_backward);
  library.impl("native_layer_norm", layer_norm);
  library.impl("native_layer_norm_backward", layer_norm_backward);
}
