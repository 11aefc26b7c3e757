// Fused optimisers: one launch reads and writes the state of all parameters once.
#include <torch/library.h>

#include <utility>
#include <vector>

#include "torch_backend/launching/chunk_table.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

at::Tensor value_or_undefined(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() ? *tensor : at::Tensor();
}

// The first is the parameter.
void check_same_layout(const char* name, c10::ArrayRef<at::Tensor> tensors) {
  const at::Tensor& parameter = tensors.front();
  TORCH_CHECK(parameter.is_non_overlapping_and_dense(), name, ": a parameter of sizes ", parameter.sizes(),
              " and strides ", parameter.strides(), " is not dense; pass parameters made by contiguous()");
  for (const at::Tensor& other : tensors) {
    if (!other.defined()) continue;
    TORCH_CHECK(other.device() == parameter.device(), name, ": a parameter is on ", parameter.device(),
                ", but its gradient or state on ", other.device(), "; move both to one device");
    TORCH_CHECK(other.sizes() == parameter.sizes() && other.strides() == parameter.strides(), name,
                ": a parameter has sizes ", parameter.sizes(), " and strides ", parameter.strides(),
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

// A launch over all parameters whose tensors have the same dtypes; most lists are one such.
class FusedStep {
 public:
  FusedStep(const KernelId& kernel, std::vector<at::Tensor> single, std::vector<int64_t> sizes,
            std::vector<ScalarArgument> scalars)
      : kernel_(kernel), single_(std::move(single)), sizes_(std::move(sizes)), scalars_(std::move(scalars)) {}

  // `tensors` of the parameter, whose layout they have; undefined ones are absent from all parameters. `step` of it.
  void add(const char* name, c10::ArrayRef<at::Tensor> tensors, const at::Tensor& step) {
    check_same_layout(name, tensors);
    std::vector<at::Tensor> moving;
    std::vector<uint8_t> dtypes;
    for (const at::Tensor& tensor : tensors) {
      dtypes.push_back(tensor.defined() ? static_cast<uint8_t>(tensor.scalar_type()) : absent_dtype);
      if (tensor.defined()) moving.push_back(tensor);
    }
    std::vector<uint64_t> words;
    if (step.defined()) {
      dtypes.push_back(static_cast<uint8_t>(step.scalar_type()));
      words.push_back(address_to_read(step));
    }
    const c10::DeviceIndex device = moving.front().device().index();
    if (dtypes != dtypes_ || device != device_) launch();
    dtypes_ = dtypes;
    device_ = device;
    if (moving.front().numel() == 0) return;
    table_.add(moving, moving.size(), words);
    reached_.insert(reached_.end(), moving.begin(), moving.end());
    if (step.defined()) reached_.push_back(step);
  }

  void launch() {
    if (table_.rows() != 0) {
      KernelCall call(kernel_, device_);
      call.tensor(table_.on_device(device_));
      for (const at::Tensor& tensor : single_) call.tensor(tensor);
      for (const uint8_t dtype : dtypes_) call.dtype_code(dtype);
      for (const at::Tensor& tensor : reached_) call.reachable(tensor);
      call.size(table_.rows()).size(table_.chunk_elements()).sizes(sizes_);
      for (const ScalarArgument& scalar : scalars_) call.scalar(scalar);
      call.launch();
    }
    table_ = ChunkTable(ChunkTable::streamed_chunk());
    reached_.clear();
  }

 private:
  const KernelId& kernel_;
  std::vector<at::Tensor> single_;  // one element each, for all parameters
  std::vector<int64_t> sizes_;
  std::vector<ScalarArgument> scalars_;
  ChunkTable table_{ChunkTable::streamed_chunk()};
  std::vector<uint8_t> dtypes_;
  c10::DeviceIndex device_ = -1;
  std::vector<at::Tensor> reached_;
};

void fused_adam(const char* name, bool decoupled, at::TensorList parameters, at::TensorList gradients,
                at::TensorList averages, at::TensorList squares, at::TensorList largest_squares, at::TensorList steps,
                const LearningRate& rate, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
                bool maximize, const std::optional<at::Tensor>& grad_scale,
                const std::optional<at::Tensor>& found_inf) {
  static const KernelId kernel("fused_adam");
  FusedStep step(kernel, {value_or_undefined(grad_scale), value_or_undefined(found_inf), rate.tensor},
                 {decoupled, maximize}, {rate.number, 1 - beta1, 1 - beta2, weight_decay, eps});
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor largest = amsgrad ? largest_squares[i] : at::Tensor();
    step.add(name, {parameters[i], gradients[i], averages[i], squares[i], largest}, steps[i]);
  }
  step.launch();
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
  FusedStep step(kernel, {value_or_undefined(grad_scale), value_or_undefined(found_inf), rate.tensor},
                 {nesterov, maximize, is_first_step}, {rate.number, weight_decay, momentum, dampening});
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor buffer = momentum_buffers.empty() ? at::Tensor() : momentum_buffers[i];
    step.add("_fused_sgd_", {parameters[i], gradients[i], buffer}, at::Tensor());
  }
  step.launch();
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
  FusedStep step(kernel, {value_or_undefined(grad_scale), value_or_undefined(found_inf)}, {maximize},
                 {lr, lr_decay, weight_decay, eps});
  for (size_t i = 0; i < parameters.size(); ++i)
    step.add("_fused_adagrad_", {parameters[i], gradients[i], sums[i]}, steps[i]);
  step.launch();
}

// ---- GradScaler

void non_finite_check_and_unscale_(at::TensorList gradients, at::Tensor& found_inf, const at::Tensor& inverse_scale) {
  static const KernelId kernel("amp_unscale");
  ChunkTable table(ChunkTable::streamed_chunk());
  std::vector<at::Tensor> reached;
  const auto launch = [&] {
    if (table.rows() == 0) return;
    const c10::DeviceIndex device = reached.front().device().index();
    KernelCall call(kernel, device);
    call.tensor(table.on_device(device)).tensor(found_inf).tensor(inverse_scale);
    call.dtype(reached.front().scalar_type()).size(table.rows()).size(table.chunk_elements());
    for (const at::Tensor& tensor : reached) call.reachable(tensor);
    call.launch();
    table = ChunkTable(ChunkTable::streamed_chunk());
    reached.clear();
  };
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // where a gradient is not dense
  for (const at::Tensor& gradient : gradients) {
    if (gradient.numel() == 0) continue;
    const at::Tensor dense = gradient.is_non_overlapping_and_dense() ? gradient : gradient.contiguous();
    if (!dense.is_same(gradient)) copies.emplace_back(gradient, dense);
    if (!reached.empty() &&
        (reached.front().scalar_type() != dense.scalar_type() || reached.front().device() != dense.device()))
      launch();
    table.add({dense}, 1);
    reached.push_back(dense);
  }
  launch();
  for (const auto& [gradient, dense] : copies) gradient.copy_(dense);
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
