// Fused optimisers: one launch a parameter reads and writes all of its state once.
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

at::Tensor value_or_undefined(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() ? *tensor : at::Tensor();
}

void check_same_layout(const char* name, const at::Tensor& parameter, std::initializer_list<at::Tensor> others) {
  TORCH_CHECK(parameter.is_non_overlapping_and_dense(), name, ": a parameter of sizes ", parameter.sizes(),
              " and strides ", parameter.strides(), " is not dense; pass parameters made by contiguous()");
  for (const at::Tensor& other : others) {
    TORCH_CHECK(!other.defined() || (other.sizes() == parameter.sizes() && other.strides() == parameter.strides()),
                name, ": a parameter has sizes ", parameter.sizes(), " and strides ", parameter.strides(),
                ", but its gradient or state has ", other.sizes(), " and ", other.strides(),
                "; give both the same layout");
  }
}

// The learning rate as a number, or as a one-element tensor on the device.
struct LearningRate {
  double number = 0;
  at::Tensor tensor;
};

LearningRate learning_rate_of(const at::Tensor& lr) {
  return lr.is_cpu() ? LearningRate{lr.item().toDouble(), {}} : LearningRate{0, lr};
}

void fused_adam(const char* name, bool decoupled, at::TensorList parameters, at::TensorList gradients,
                at::TensorList averages, at::TensorList squares, at::TensorList largest_squares, at::TensorList steps,
                const LearningRate& rate, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
                bool maximize, const std::optional<at::Tensor>& grad_scale,
                const std::optional<at::Tensor>& found_inf) {
  static const KernelId kernel("fused_adam");
  const at::Tensor scale = value_or_undefined(grad_scale);
  const at::Tensor found = value_or_undefined(found_inf);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i];
    const at::Tensor largest = amsgrad ? largest_squares[i] : at::Tensor();
    check_same_layout(name, parameter, {gradients[i], averages[i], squares[i], largest});
    if (parameter.numel() == 0) continue;
    launch_kernel(kernel,
                  {parameter, gradients[i], averages[i], squares[i], largest, steps[i], scale, found, rate.tensor},
                  {parameter.numel(), decoupled, maximize}, {rate.number, 1 - beta1, 1 - beta2, weight_decay, eps});
  }
}

template <bool decoupled>
void adam_(at::TensorList parameters, at::TensorList gradients, at::TensorList averages, at::TensorList squares,
           at::TensorList largest_squares, at::TensorList steps, double lr, double beta1, double beta2,
           double weight_decay, double eps, bool amsgrad, bool maximize, const std::optional<at::Tensor>& grad_scale,
           const std::optional<at::Tensor>& found_inf) {
  fused_adam(decoupled ? "_fused_adamw_" : "_fused_adam_", decoupled, parameters, gradients, averages, squares,
             largest_squares, steps, {lr, {}}, beta1, beta2, weight_decay, eps, amsgrad, maximize, grad_scale,
             found_inf);
}

template <bool decoupled>
void adam_tensor_lr_(at::TensorList parameters, at::TensorList gradients, at::TensorList averages,
                     at::TensorList squares, at::TensorList largest_squares, at::TensorList steps, const at::Tensor& lr,
                     double beta1, double beta2, double weight_decay, double eps, bool amsgrad, bool maximize,
                     const std::optional<at::Tensor>& grad_scale, const std::optional<at::Tensor>& found_inf) {
  fused_adam(decoupled ? "_fused_adamw_" : "_fused_adam_", decoupled, parameters, gradients, averages, squares,
             largest_squares, steps, learning_rate_of(lr), beta1, beta2, weight_decay, eps, amsgrad, maximize,
             grad_scale, found_inf);
}

void fused_sgd(at::TensorList parameters, at::TensorList gradients, at::TensorList momentum_buffers,
               double weight_decay, double momentum, const LearningRate& rate, double dampening, bool nesterov,
               bool maximize, bool is_first_step, const std::optional<at::Tensor>& grad_scale,
               const std::optional<at::Tensor>& found_inf) {
  static const KernelId kernel("fused_sgd");
  const at::Tensor scale = value_or_undefined(grad_scale);
  const at::Tensor found = value_or_undefined(found_inf);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i];
    const at::Tensor buffer = momentum_buffers.empty() ? at::Tensor() : momentum_buffers[i];
    check_same_layout("_fused_sgd_", parameter, {gradients[i], buffer});
    if (parameter.numel() == 0) continue;
    launch_kernel(kernel, {parameter, gradients[i], buffer, scale, found, rate.tensor},
                  {parameter.numel(), nesterov, maximize, is_first_step},
                  {rate.number, weight_decay, momentum, dampening});
  }
}

void sgd_(at::TensorList parameters, at::TensorList gradients, at::TensorList momentum_buffers, double weight_decay,
          double momentum, double lr, double dampening, bool nesterov, bool maximize, bool is_first_step,
          const std::optional<at::Tensor>& grad_scale, const std::optional<at::Tensor>& found_inf) {
  fused_sgd(parameters, gradients, momentum_buffers, weight_decay, momentum, {lr, {}}, dampening, nesterov, maximize,
            is_first_step, grad_scale, found_inf);
}

void sgd_tensor_lr_(at::TensorList parameters, at::TensorList gradients, at::TensorList momentum_buffers,
                    double weight_decay, double momentum, const at::Tensor& lr, double dampening, bool nesterov,
                    bool maximize, bool is_first_step, const std::optional<at::Tensor>& grad_scale,
                    const std::optional<at::Tensor>& found_inf) {
  fused_sgd(parameters, gradients, momentum_buffers, weight_decay, momentum, learning_rate_of(lr), dampening, nesterov,
            maximize, is_first_step, grad_scale, found_inf);
}

void adagrad_(at::TensorList parameters, at::TensorList gradients, at::TensorList sums, at::TensorList steps, double lr,
              double lr_decay, double weight_decay, double eps, bool maximize,
              const std::optional<at::Tensor>& grad_scale, const std::optional<at::Tensor>& found_inf) {
  static const KernelId kernel("fused_adagrad");
  const at::Tensor scale = value_or_undefined(grad_scale);
  const at::Tensor found = value_or_undefined(found_inf);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& parameter = parameters[i];
    check_same_layout("_fused_adagrad_", parameter, {gradients[i], sums[i]});
    if (parameter.numel() == 0) continue;
    launch_kernel(kernel, {parameter, gradients[i], sums[i], steps[i], scale, found}, {parameter.numel(), maximize},
                  {lr, lr_decay, weight_decay, eps});
  }
}

// ---- GradScaler

void non_finite_check_and_unscale_(at::TensorList gradients, at::Tensor& found_inf, const at::Tensor& inverse_scale) {
  static const KernelId kernel("amp_unscale");
  for (const at::Tensor& gradient : gradients) {
    if (gradient.numel() == 0) continue;
    const at::Tensor dense = gradient.is_non_overlapping_and_dense() ? gradient : gradient.contiguous();
    launch_kernel(kernel, {dense, found_inf, inverse_scale}, {dense.numel()});
    if (!dense.is_same(gradient)) gradient.copy_(dense);
  }
}

at::Tensor& update_scale_(at::Tensor& scale, at::Tensor& growth_tracker, const at::Tensor& found_inf,
                          double growth_factor, double backoff_factor, int64_t growth_interval) {
  static const KernelId kernel("amp_update_scale");
  launch_kernel(kernel, {scale, growth_tracker, found_inf}, {}, {growth_factor, backoff_factor, growth_interval});
  return scale;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_fused_adam_", adam_<false>);
  library.impl("_fused_adamw_", adam_<true>);
  library.impl("_fused_adam_.tensor_lr", adam_tensor_lr_<false>);
  library.impl("_fused_adamw_.tensor_lr", adam_tensor_lr_<true>);
  library.impl("_fused_sgd_", sgd_);
  library.impl("_fused_sgd_.tensor_lr", sgd_tensor_lr_);
  library.impl("_fused_adagrad_", adagrad_);
  library.impl("_amp_foreach_non_finite_check_and_unscale_", non_finite_check_and_unscale_);
  library.impl("_amp_update_scale_", update_scale_);
}
