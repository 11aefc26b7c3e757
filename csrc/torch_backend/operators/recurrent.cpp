// The cells of LSTM and GRU behind their matrix products: torch's recurrent layers reach these at every step.
#include <ATen/ops/sum.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

at::Tensor contiguous_or_undefined(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() && tensor->defined() ? tensor->contiguous() : at::Tensor();
}

// Throws unless the gates are [rows, gates * hidden] for a state [rows, hidden], all of one dtype and device.
void check_cell(const char* name, int64_t gates, const at::Tensor& igates, const at::Tensor& hgates,
                const at::Tensor& state, const at::Tensor& input_bias, const at::Tensor& hidden_bias) {
  TORCH_CHECK(igates.dim() == 2 && igates.sizes().equals(hgates.sizes()), name,
              ": expected input and hidden gates of one size [batch, ", gates, " * hidden], but got ", igates.sizes(),
              " and ", hgates.sizes());
  TORCH_CHECK(state.dim() == 2 && state.size(0) == igates.size(0) && state.size(1) * gates == igates.size(1), name,
              ": expected a state [batch, hidden] for gates ", igates.sizes(), " = [batch, ", gates,
              " * hidden], but got ", state.sizes());
  TORCH_CHECK(input_bias.defined() == hidden_bias.defined(), name, ": expected both biases or none");
  for (const at::Tensor& bias : {input_bias, hidden_bias}) {
    TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == igates.size(1)), name, ": expected biases of ",
                igates.size(1), " elements, but got ", bias.defined() ? bias.sizes() : c10::IntArrayRef());
  }
  TORCH_CHECK(at::isFloatingType(igates.scalar_type()), name, ": expected floating-point gates, but got ",
              igates.scalar_type());
  for (const at::Tensor& tensor : {hgates, state, input_bias, hidden_bias}) {
    TORCH_CHECK(!tensor.defined() || tensor.scalar_type() == igates.scalar_type(), name, ": expected scalar type ",
                igates.scalar_type(), " but found ", tensor.scalar_type());
    TORCH_CHECK(!tensor.defined() || tensor.device() == igates.device(), name,
                ": expected all tensors to be on the same device, but found ", igates.device(), " and ",
                tensor.device());
  }
}

at::Tensor empty_rows(const at::Tensor& state, int64_t width) {
  return empty_device({state.size(0), state.size(1) * width}, state.scalar_type(), state.device());
}

at::Tensor sum_of_rows(const at::Tensor& gradient, bool wanted) {
  return wanted ? gradient.sum(0, /*keepdim=*/false) : at::Tensor();
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                                         const at::Tensor& cx,
                                                         const std::optional<at::Tensor>& input_bias_option,
                                                         const std::optional<at::Tensor>& hidden_bias_option) {
  static const KernelId kernel("lstm_cell_forward");
  const at::Tensor input_bias = contiguous_or_undefined(input_bias_option);
  const at::Tensor hidden_bias = contiguous_or_undefined(hidden_bias_option);
  check_cell("_thnn_fused_lstm_cell", 4, input_gates, hidden_gates, cx, input_bias, hidden_bias);
  const at::Tensor hy = empty_rows(cx, 1), cy = empty_rows(cx, 1), workspace = empty_rows(cx, 4);
  if (cx.numel() != 0) {
    const at::Tensor igates = input_gates.contiguous(), hgates = hidden_gates.contiguous(), state = cx.contiguous();
    launch_kernel(kernel, {hy, cy, workspace, igates, hgates, state, input_bias, hidden_bias}, state.sizes());
  }
  return {hy, cy, workspace};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const std::optional<at::Tensor>& grad_hy_option,
                                                                  const std::optional<at::Tensor>& grad_cy_option,
                                                                  const at::Tensor& cx, const at::Tensor& cy,
                                                                  const at::Tensor& workspace, bool has_bias) {
  static const KernelId kernel("lstm_cell_backward");
  const at::Tensor grad_hy = contiguous_or_undefined(grad_hy_option);
  const at::Tensor grad_cy = contiguous_or_undefined(grad_cy_option);
  if (!grad_hy.defined() && !grad_cy.defined()) return {};
  const at::Tensor grad_gates = empty_rows(cx, 4), grad_cx = empty_rows(cx, 1);
  if (cx.numel() != 0) {
    const at::Tensor former = cx.contiguous(), state = cy.contiguous(), gates = workspace.contiguous();
    launch_kernel(kernel, {grad_gates, grad_cx, grad_hy, grad_cy, former, state, gates}, state.sizes());
  }
  return {grad_gates, grad_cx, sum_of_rows(grad_gates, has_bias)};
}

std::tuple<at::Tensor, at::Tensor> gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                            const at::Tensor& hx, const std::optional<at::Tensor>& input_bias_option,
                                            const std::optional<at::Tensor>& hidden_bias_option) {
  static const KernelId kernel("gru_cell_forward");
  const at::Tensor input_bias = contiguous_or_undefined(input_bias_option);
  const at::Tensor hidden_bias = contiguous_or_undefined(hidden_bias_option);
  check_cell("_thnn_fused_gru_cell", 3, input_gates, hidden_gates, hx, input_bias, hidden_bias);
  const at::Tensor hy = empty_rows(hx, 1), workspace = empty_rows(hx, 5);
  if (hx.numel() != 0) {
    const at::Tensor igates = input_gates.contiguous(), hgates = hidden_gates.contiguous(), state = hx.contiguous();
    launch_kernel(kernel, {hy, workspace, igates, hgates, state, input_bias, hidden_bias}, state.sizes());
  }
  return {hy, workspace};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> gru_cell_backward(const at::Tensor& grad_hy,
                                                                                         const at::Tensor& workspace,
                                                                                         bool has_bias) {
  static const KernelId kernel("gru_cell_backward");
  const at::Tensor grad_igates = empty_rows(grad_hy, 3), grad_hgates = empty_rows(grad_hy, 3);
  const at::Tensor grad_hx = empty_rows(grad_hy, 1);
  if (grad_hy.numel() != 0) {
    const at::Tensor grad = grad_hy.contiguous(), saved = workspace.contiguous();
    launch_kernel(kernel, {grad_igates, grad_hgates, grad_hx, grad, saved}, grad.sizes());
  }
  return {grad_igates, grad_hgates, grad_hx, sum_of_rows(grad_igates, has_bias), sum_of_rows(grad_hgates, has_bias)};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_thnn_fused_lstm_cell", lstm_cell);
  library.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
  library.impl("_thnn_fused_gru_cell", gru_cell);
  library.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
}
