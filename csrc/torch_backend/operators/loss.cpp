// Negative log likelihood, what cross_entropy ends in: of rows, and of images by way of rows.
#include <ATen/core/Reduction.h>
#include <ATen/ops/nll_loss_backward.h>
#include <ATen/ops/nll_loss_backward_meta.h>
#include <ATen/ops/nll_loss_forward.h>
#include <ATen/ops/nll_loss_forward_meta.h>
#include <torch/library.h>

#include <cmath>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// One row of scores is a batch of one.
struct Scores {
  at::Tensor matrix;  // [rows, classes]
  at::Tensor target;  // [rows], contiguous
};

Scores scores_of(const at::Tensor& self, const at::Tensor& target) {
  return {self.dim() == 1 ? self.unsqueeze(0) : self, target.contiguous().view({-1})};
}

at::Tensor weight_of(const at::Tensor& self, const at::OptionalTensorRef& weight) {
  if (weight.has_value() && weight->defined())
    TORCH_CHECK(weight->scalar_type() == self.scalar_type(), "nll_loss: expected a weight of scalar type ",
                self.scalar_type(), " but found ", weight->scalar_type());
  return weight.has_value() && weight->defined() ? weight->contiguous() : at::Tensor();
}

std::tuple<at::Tensor&, at::Tensor&> nll_loss_forward_out(const at::Tensor& self, const at::Tensor& target,
                                                          const std::optional<at::Tensor>& weight_option,
                                                          int64_t reduction, int64_t ignore_index, at::Tensor& output,
                                                          at::Tensor& total_weight) {
  const OperatorScope scope("nll_loss");
  static const KernelId kernel("nll_loss_forward");
  const at::OptionalTensorRef weight_ref = weight_option.has_value() && weight_option->defined()
                                               ? at::OptionalTensorRef(*weight_option)
                                               : at::OptionalTensorRef();
  WithOutputs<at::meta::structured_nll_loss_forward> call(output, total_weight);
  call.meta(self, target, weight_ref, reduction, ignore_index);
  check_floating("nll_loss", self.scalar_type());
  const at::Tensor& result = call.output(0);
  const at::Tensor& total = call.output(1);
  const Scores scores = scores_of(self, target);
  if (scores.target.numel() == 0) {
    if (result.numel() != 0) result.fill_(reduction == at::Reduction::Mean ? NAN : 0.0);
    total.fill_(0);
  } else {
    const Dense dense(result);
    const at::Tensor weight = weight_of(self, weight_ref);
    launch_kernel(
        kernel, {dense.tensor(), total, scores.matrix, scores.target, weight},
        {scores.matrix.size(0), scores.matrix.size(1), scores.matrix.stride(0), scores.matrix.stride(1), reduction},
        {ignore_index});
    dense.finish();
  }
  call.finish();
  return {output, total_weight};
}

at::Tensor& nll_loss_backward_out(const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
                                  const std::optional<at::Tensor>& weight_option, int64_t reduction,
                                  int64_t ignore_index, const at::Tensor& total_weight, at::Tensor& grad_input) {
  const OperatorScope scope("nll_loss_backward");
  static const KernelId kernel("nll_loss_backward");
  const at::OptionalTensorRef weight_ref = weight_option.has_value() && weight_option->defined()
                                               ? at::OptionalTensorRef(*weight_option)
                                               : at::OptionalTensorRef();
  WithOutputs<at::meta::structured_nll_loss_backward> call(grad_input);
  call.meta(grad_output, self, target, weight_ref, reduction, ignore_index, total_weight);
  const at::Tensor& result = call.output();
  const Scores scores = scores_of(self, target);
  if (result.numel() != 0) {
    const Dense dense(result);
    const int64_t grad_row = grad_output.dim() == 0 ? 0 : grad_output.stride(0);
    const at::Tensor weight = weight_of(self, weight_ref);
    launch_kernel(kernel, {dense.tensor(), grad_output, scores.target, weight, total_weight},
                  {scores.matrix.size(0), scores.matrix.size(1), grad_row, reduction}, {ignore_index});
    dense.finish();
  }
  call.finish();
  return grad_input;
}

// [N, C, H, W] as [N * H * W, C].
at::Tensor pixels_as_rows(const at::Tensor& images) { return images.movedim(1, -1).reshape({-1, images.size(1)}); }

std::tuple<at::Tensor, at::Tensor> nll_loss2d_forward(const at::Tensor& self, const at::Tensor& target,
                                                      const std::optional<at::Tensor>& weight, int64_t reduction,
                                                      int64_t ignore_index) {
  const OperatorScope scope("nll_loss2d");
  TORCH_CHECK(self.dim() == 4 && target.dim() == 3,
              "only batches of spatial inputs supported (4D tensors), but got input of size ", self.sizes(),
              " and targets of size ", target.sizes());
  const auto [output, total_weight] =
      at::nll_loss_forward(pixels_as_rows(self), target.reshape({-1}), weight, reduction, ignore_index);
  return {reduction == at::Reduction::None ? output.view(target.sizes()) : output, total_weight};
}

at::Tensor nll_loss2d_backward(const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
                               const std::optional<at::Tensor>& weight, int64_t reduction, int64_t ignore_index,
                               const at::Tensor& total_weight) {
  const OperatorScope scope("nll_loss2d_backward");
  const at::Tensor grad = grad_output.dim() == 0 ? grad_output : grad_output.reshape({-1});
  const at::Tensor grad_rows = at::nll_loss_backward(grad, pixels_as_rows(self), target.reshape({-1}), weight,
                                                     reduction, ignore_index, total_weight);
  return grad_rows.view({self.size(0), self.size(2), self.size(3), self.size(1)}).movedim(-1, 1).contiguous();
}

std::tuple<at::Tensor&, at::Tensor&> nll_loss2d_forward_out(const at::Tensor& self, const at::Tensor& target,
                                                            const std::optional<at::Tensor>& weight, int64_t reduction,
                                                            int64_t ignore_index, at::Tensor& output,
                                                            at::Tensor& total_weight) {
  for (const at::Tensor* out : {&output, &total_weight})
    check_output("nll_loss2d", *out, self.scalar_type(), self.device());
  const auto [losses, total] = torch_backend::nll_loss2d_forward(self, target, weight, reduction, ignore_index);
  return {write_output(output, losses), write_output(total_weight, total)};
}

at::Tensor& nll_loss2d_backward_out(const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
                                    const std::optional<at::Tensor>& weight, int64_t reduction, int64_t ignore_index,
                                    const at::Tensor& total_weight, at::Tensor& grad_input) {
  check_output("nll_loss2d_backward", grad_input, self.scalar_type(), self.device());
  return write_output(grad_input, torch_backend::nll_loss2d_backward(grad_output, self, target, weight, reduction,
                                                                     ignore_index, total_weight));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("nll_loss_forward.output", nll_loss_forward_out);
  library.impl("nll_loss_backward.grad_input", nll_loss_backward_out);
  library.impl("nll_loss2d_forward", nll_loss2d_forward);
  library.impl("nll_loss2d_forward.output", nll_loss2d_forward_out);
  library.impl("nll_loss2d_backward", nll_loss2d_backward);
  library.impl("nll_loss2d_backward.grad_input", nll_loss2d_backward_out);
}
