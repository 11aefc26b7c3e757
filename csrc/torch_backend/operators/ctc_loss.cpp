// Connectionist temporal classification and its gradient.
#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "torch_backend/launching/chunk_table.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

struct Sequences {
  int64_t batches = 0;
  int64_t steps = 0;
  int64_t states = 1;  // of the longest target
  at::Tensor lengths;  // int64 [3, batches]: of sequences, of targets, where these begin
  c10::SmallVector<int64_t, 9> sizes;
};

Sequences sequences_of(const at::Tensor& log_probs, const at::Tensor& targets, c10::IntArrayRef input_lengths,
                       c10::IntArrayRef target_lengths, int64_t blank) {
  check_same_device("ctc_loss", log_probs.device(), targets);
  TORCH_CHECK(log_probs.numel() > 0, "log_probs tensor must not be empty");
  TORCH_CHECK(log_probs.dim() == 3, "Expected 3-dimensional tensor, but got ", log_probs.dim(),
              "-dimensional tensor for argument #1 'log_probs' (while checking arguments for ctc_loss)");
  TORCH_CHECK(targets.scalar_type() == c10::kLong || targets.scalar_type() == c10::kInt,
              "ctc_loss: expected targets of int32 or int64, but got ", targets.scalar_type());
  TORCH_CHECK(targets.dim() == 1 || targets.dim() == 2, "ctc_loss: expected targets of 1 or 2 dimensions, but got ",
              targets.dim());
  Sequences sequences;
  sequences.steps = log_probs.size(0);
  sequences.batches = log_probs.size(1);
  const int64_t classes = log_probs.size(2);
  TORCH_CHECK(0 <= blank && blank < classes, "blank must be in label range");
  const auto batches = static_cast<size_t>(sequences.batches);
  TORCH_CHECK(input_lengths.size() == batches, "input_lengths must be of size batch_size");
  TORCH_CHECK(target_lengths.size() == batches, "target_lengths must be of size batch_size");
  int64_t longest = 0, begin = 0;
  std::vector<uint64_t> words(3 * batches);
  for (size_t i = 0; i < batches; ++i) {
    TORCH_CHECK(input_lengths[i] >= 0, "Expected input_lengths to have value at least 0, but got value ",
                input_lengths[i]);
    TORCH_CHECK(input_lengths[i] <= sequences.steps, "Expected input_lengths to have value at most ", sequences.steps,
                ", but got value ", input_lengths[i]);
    TORCH_CHECK(target_lengths[i] >= 0, "Expected target_lengths to have value at least 0, but got value ",
                target_lengths[i]);
    words[i] = static_cast<uint64_t>(input_lengths[i]);
    words[batches + i] = static_cast<uint64_t>(target_lengths[i]);
    words[2 * batches + i] = static_cast<uint64_t>(targets.dim() == 1 ? begin * targets.stride(0)
                                                                      : static_cast<int64_t>(i) * targets.stride(0));
    begin += target_lengths[i];
    longest = std::max(longest, target_lengths[i]);
  }
  if (targets.dim() == 1) {
    TORCH_CHECK(targets.size(0) == begin, "Expected tensor to have size ", begin, " at dimension 0, but got size ",
                targets.size(0), " for argument #2 'targets' (while checking arguments for ctc_loss)");
  } else {
    TORCH_CHECK(targets.size(0) == sequences.batches, "Expected tensor to have size ", sequences.batches,
                " at dimension 0, but got size ", targets.size(0), " for argument #2 'targets'");
    TORCH_CHECK(targets.size(1) >= longest, "Expected tensor to have size at least ", longest,
                " at dimension 1, but got size ", targets.size(1), " for argument #2 'targets'");
  }
  sequences.states = 2 * longest + 1;
  sequences.lengths =
      send_words(std::make_shared<const std::vector<uint64_t>>(std::move(words)), log_probs.device().index());
  sequences.sizes = {sequences.batches,   sequences.steps,     sequences.states,    classes, targets.stride(-1),
                     log_probs.stride(0), log_probs.stride(1), log_probs.stride(2), blank};
  return sequences;
}

std::tuple<at::Tensor, at::Tensor> ctc_loss(const at::Tensor& log_probs, const at::Tensor& targets,
                                            c10::IntArrayRef input_lengths, c10::IntArrayRef target_lengths,
                                            int64_t blank, bool) {
  const OperatorScope scope("ctc_loss");
  static const KernelId kernel("ctc_forward");
  const c10::ScalarType dtype = log_probs.scalar_type();
  check_implemented(dtype == c10::kFloat || dtype == c10::kDouble, "ctc_loss_cpu", dtype);
  const Sequences sequences = sequences_of(log_probs, targets, input_lengths, target_lengths, blank);
  const at::Tensor loss = empty_device({sequences.batches}, dtype, log_probs.device());
  const at::Tensor log_alpha =
      empty_device({sequences.batches, sequences.steps, sequences.states}, dtype, log_probs.device());
  launch_kernel(kernel, {loss, log_alpha, log_probs, targets, sequences.lengths}, sequences.sizes);
  return {loss, log_alpha};
}

at::Tensor ctc_loss_backward(const at::Tensor& grad, const at::Tensor& log_probs, const at::Tensor& targets,
                             c10::IntArrayRef input_lengths, c10::IntArrayRef target_lengths, const at::Tensor& loss,
                             const at::Tensor& log_alpha, int64_t blank, bool zero_infinity) {
  const OperatorScope scope("_ctc_loss_backward");
  static const KernelId kernel("ctc_states");
  const Sequences sequences = sequences_of(log_probs, targets, input_lengths, target_lengths, blank);
  const c10::TensorOptions options = log_probs.options();
  const at::Tensor posterior = at::zeros(log_alpha.sizes(), options);
  const at::Tensor labels = empty_device({sequences.batches, sequences.states}, c10::kLong, log_probs.device());
  const at::Tensor alpha = log_alpha.contiguous(), nll = loss.contiguous();
  launch_kernel(kernel, {posterior, labels, alpha, nll, log_probs, targets, sequences.lengths}, sequences.sizes);
  const at::Tensor of_classes = at::zeros({sequences.batches, sequences.steps, log_probs.size(2)}, options)
                                    .scatter_add_(2, labels.unsqueeze(1).expand(posterior.sizes()), posterior);
  const at::Tensor is_infinite = loss.eq(std::numeric_limits<double>::infinity());
  // A target that cannot be reached has no probabilities.
  const at::Tensor bad = is_infinite.view({1, -1, 1});
  at::Tensor result = log_probs.exp().sub(of_classes.transpose(0, 1)).mul(grad.view({1, -1, 1}));
  result = at::where(bad, zero_infinity ? 0.0 : std::nan(""), result);
  const at::Tensor step = at::arange(sequences.steps, options.dtype(c10::kLong)).view({-1, 1, 1});
  return at::where(step.lt(sequences.lengths.narrow(0, 0, sequences.batches).view({1, -1, 1})), result, 0.0);
}

// The lengths are asked for.
std::vector<int64_t> lengths_of(const at::Tensor& lengths) {
  TORCH_CHECK(at::isIntegralType(lengths.scalar_type(), false), "input_lengths and target_lengths must be integral");
  const at::Tensor host = lengths.to(c10::kCPU, c10::kLong).contiguous();
  return {host.const_data_ptr<int64_t>(), host.const_data_ptr<int64_t>() + host.numel()};
}

std::tuple<at::Tensor, at::Tensor> ctc_loss_of_tensors(const at::Tensor& log_probs, const at::Tensor& targets,
                                                       const at::Tensor& input_lengths,
                                                       const at::Tensor& target_lengths, int64_t blank,
                                                       bool zero_infinity) {
  return torch_backend::ctc_loss(log_probs, targets, lengths_of(input_lengths), lengths_of(target_lengths), blank,
                                 zero_infinity);
}

at::Tensor ctc_loss_of_tensors_backward(const at::Tensor& grad, const at::Tensor& log_probs, const at::Tensor& targets,
                                        const at::Tensor& input_lengths, const at::Tensor& target_lengths,
                                        const at::Tensor& loss, const at::Tensor& log_alpha, int64_t blank,
                                        bool zero_infinity) {
  return ctc_loss_backward(grad, log_probs, targets, lengths_of(input_lengths), lengths_of(target_lengths), loss,
                           log_alpha, blank, zero_infinity);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_ctc_loss", mtia::torch_backend::ctc_loss);
  library.impl("_ctc_loss.Tensor", ctc_loss_of_tensors);
  library.impl("_ctc_loss_backward", ctc_loss_backward);
  library.impl("_ctc_loss_backward.Tensor", ctc_loss_of_tensors_backward);
}
