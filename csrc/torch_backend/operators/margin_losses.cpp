// Losses of margins between scores, of one target a row and of several: made of other operators.
#include <ATen/core/Reduction.h>
#include <ATen/native/LossMulti.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/elementwise.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

void check_dtypes(const char* name, const at::Tensor& self, const at::Tensor& target) {
  const c10::ScalarType dtype = self.scalar_type();
  check_implemented(dtype == c10::kFloat || dtype == c10::kDouble, name, dtype);
  TORCH_CHECK(target.scalar_type() == c10::kLong, "expected scalar type Long but found ", target.scalar_type());
  check_same_device(name, self.device(), target);
}

at::Tensor reduced(const at::Tensor& losses, int64_t reduction) {
  return reduction == at::Reduction::Mean ? losses.mean() : losses.sum();
}

// The gradient of each row's loss, as a column.
at::Tensor row_gradients(const at::Tensor& grad, int64_t rows, int64_t reduction) {
  const at::Tensor column = grad.reshape({-1, 1});
  return reduction == at::Reduction::Mean ? column.div(static_cast<double>(rows)) : column;
}

struct Margins {
  at::Tensor scores;   // [rows, classes]
  at::Tensor target;   // [rows, 1]
  at::Tensor margins;  // how far each score comes too near the target's; 0 at the target
  at::Tensor factors;  // of a row: its weight a class
  int64_t p = 1;
};

Margins margins_of(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p, const at::Scalar& margin,
                   const std::optional<at::Tensor>& weight) {
  int64_t rows = 0, classes = 0;
  at::native::multi_margin_loss_shape_check(rows, classes, self.dim(), self, target, weight);
  TORCH_CHECK(p.toLong() == 1 || p.toLong() == 2, "only p == 1 and p == 2 supported");
  check_dtypes("multi_margin_loss", self, target);
  Margins result;
  result.p = p.toLong();
  result.scores = self.reshape({rows, classes});
  result.target = target.reshape({rows, 1});
  const at::Tensor gap = result.scores.sub(result.scores.gather(1, result.target)).add(margin);
  const at::Tensor counts = gap.gt(0).scatter_(1, result.target, 0);
  result.margins = at::where(counts, gap, 0.0);
  result.factors = at::zeros({rows, 1}, self.options()).fill_(1.0 / static_cast<double>(classes));
  if (weight.has_value() && weight->defined())
    result.factors = result.factors.mul(weight->reshape({-1}).index_select(0, result.target.view({-1})).unsqueeze(1));
  return result;
}

at::Tensor multi_margin_loss(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p,
                             const at::Scalar& margin, const std::optional<at::Tensor>& weight, int64_t reduction) {
  const OperatorScope scope("multi_margin_loss");
  const Margins margins = margins_of(self, target, p, margin, weight);
  const at::Tensor powers = margins.p == 1 ? margins.margins : margins.margins.square();
  const at::Tensor losses = powers.mul(margins.factors).sum({1});
  if (reduction == at::Reduction::None && target.dim() > 0) return losses;
  return reduced(losses, reduction);
}

at::Tensor& multi_margin_loss_out(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p,
                                  const at::Scalar& margin, const std::optional<at::Tensor>& weight, int64_t reduction,
                                  at::Tensor& out) {
  check_output("multi_margin_loss", out, self.scalar_type(), self.device());
  return write_output(out, torch_backend::multi_margin_loss(self, target, p, margin, weight, reduction));
}

at::Tensor multi_margin_loss_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target,
                                      const at::Scalar& p, const at::Scalar& margin,
                                      const std::optional<at::Tensor>& weight, int64_t reduction) {
  const OperatorScope scope("multi_margin_loss_backward");
  const Margins margins = margins_of(self, target, p, margin, weight);
  const at::Tensor slopes = margins.p == 1 ? margins.margins.gt(0).to(self.scalar_type()) : margins.margins.mul(2.0);
  at::Tensor result = slopes.mul(margins.factors).mul(row_gradients(grad, margins.scores.size(0), reduction));
  result.scatter_(1, margins.target, result.sum({1}, true).neg());
  return result.view(self.sizes());
}

at::Tensor& multi_margin_loss_backward_out(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target,
                                           const at::Scalar& p, const at::Scalar& margin,
                                           const std::optional<at::Tensor>& weight, int64_t reduction,
                                           at::Tensor& grad_input) {
  check_output("multi_margin_loss_backward", grad_input, self.scalar_type(), self.device());
  return write_output(grad_input,
                      torch_backend::multi_margin_loss_backward(grad, self, target, p, margin, weight, reduction));
}

// Rows of targets end at the first -1.
struct Labels {
  at::Tensor scores;     // [rows, classes]
  at::Tensor target;     // [rows, classes], 0 behind the end
  at::Tensor is_listed;  // whether a place of target names one
};

Labels labels_of(const at::Tensor& self, const at::Tensor& target) {
  int64_t rows = 0, classes = 0;
  at::native::multilabel_margin_loss_shape_check(rows, classes, self.dim(), self, target);
  check_dtypes("multilabel_margin_loss", self, target);
  Labels labels;
  labels.scores = self.reshape({rows, classes});
  static const KernelId kernel("elementwise.label");
  const at::Tensor given = elementwise(kernel, at::Tensor(), {target.reshape({rows, classes}), c10::Scalar(classes)},
                                       c10::kLong, c10::kLong);
  labels.is_listed = given.lt(0).to(c10::kLong).cumsum(1).eq(0);
  labels.target = at::where(labels.is_listed, given, 0);
  return labels;
}

// [rows, targets, classes]: by how much a score comes too near that of a target.
at::Tensor pair_margins(const Labels& labels, const at::Tensor& is_target) {
  const at::Tensor of_targets = labels.scores.gather(1, labels.target);
  const at::Tensor gap = labels.scores.unsqueeze(1).sub(of_targets.unsqueeze(2)).add(1.0);
  const at::Tensor counts =
      gap.gt(0).logical_and_(labels.is_listed.unsqueeze(2)).logical_and_(is_target.eq(0).unsqueeze(1));
  return at::where(counts, gap, 0.0);
}

std::tuple<at::Tensor, at::Tensor> multilabel_margin_loss(const at::Tensor& self, const at::Tensor& target,
                                                          int64_t reduction) {
  const OperatorScope scope("multilabel_margin_loss");
  const Labels labels = labels_of(self, target);
  const int64_t rows = labels.scores.size(0), classes = labels.scores.size(1);
  // What is not listed goes into a column behind the classes.
  const at::Tensor places = at::where(labels.is_listed, labels.target, classes);
  const at::Tensor is_target =
      at::zeros({rows, classes + 1}, self.options()).scatter_(1, places, 1).narrow(1, 0, classes).contiguous();
  const at::Tensor losses = pair_margins(labels, is_target).sum({1, 2}).div(static_cast<double>(classes));
  const bool by_row = reduction == at::Reduction::None && target.dim() > 1;
  return {by_row ? losses : reduced(losses, reduction), is_target.view(target.sizes())};
}

std::tuple<at::Tensor&, at::Tensor&> multilabel_margin_loss_out(const at::Tensor& self, const at::Tensor& target,
                                                                int64_t reduction, at::Tensor& output,
                                                                at::Tensor& is_target) {
  check_output("multilabel_margin_loss", output, self.scalar_type(), self.device());
  check_output("multilabel_margin_loss", is_target, self.scalar_type(), self.device());
  const auto [loss, flags] = torch_backend::multilabel_margin_loss(self, target, reduction);
  write_output(output, loss);
  write_output(is_target, flags);
  return {output, is_target};
}

at::Tensor multilabel_margin_loss_backward(const at::Tensor& grad, const at::Tensor& self, const at::Tensor& target,
                                           int64_t reduction, const at::Tensor& is_target) {
  const OperatorScope scope("multilabel_margin_loss_backward");
  const Labels labels = labels_of(self, target);
  TORCH_CHECK(is_target.sizes().equals(target.sizes()), "inconsistent is_target size: ", is_target.sizes(),
              " for target of size ", target.sizes());
  const int64_t rows = labels.scores.size(0), classes = labels.scores.size(1);
  const at::Tensor pairs = pair_margins(labels, is_target.reshape({rows, classes})).gt(0).to(self.scalar_type());
  at::Tensor result = pairs.sum({1}).scatter_add_(1, labels.target, pairs.sum({2}).neg());
  result = result.mul(row_gradients(grad, rows, reduction)).div(static_cast<double>(classes));
  return result.view(self.sizes());
}

at::Tensor& multilabel_margin_loss_backward_out(const at::Tensor& grad, const at::Tensor& self,
                                                const at::Tensor& target, int64_t reduction,
                                                const at::Tensor& is_target, at::Tensor& grad_input) {
  check_output("multilabel_margin_loss_backward", grad_input, self.scalar_type(), self.device());
  return write_output(grad_input,
                      torch_backend::multilabel_margin_loss_backward(grad, self, target, reduction, is_target));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("multi_margin_loss", mtia::torch_backend::multi_margin_loss);
  library.impl("multi_margin_loss.out", multi_margin_loss_out);
  library.impl("multi_margin_loss_backward", mtia::torch_backend::multi_margin_loss_backward);
  library.impl("multi_margin_loss_backward.grad_input", multi_margin_loss_backward_out);
  library.impl("multilabel_margin_loss_forward", mtia::torch_backend::multilabel_margin_loss);
  library.impl("multilabel_margin_loss_forward.output", multilabel_margin_loss_out);
  library.impl("multilabel_margin_loss_backward", mtia::torch_backend::multilabel_margin_loss_backward);
  library.impl("multilabel_margin_loss_backward.grad_input", multilabel_margin_loss_backward_out);
}
