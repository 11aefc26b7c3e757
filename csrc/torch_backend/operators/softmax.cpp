// Softmax and log-softmax along one dimension, forward and backward.
#include <ATen/ops/_log_softmax_backward_data_meta.h>
#include <ATen/ops/_log_softmax_meta.h>
#include <ATen/ops/_softmax_backward_data_meta.h>
#include <ATen/ops/_softmax_meta.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// All tensors have one shape; sizes = (outer, length, inner, then the three strides of each tensor).
void launch_along(const KernelId& kernel, int64_t dim, const at::Tensor& out,
                  std::initializer_list<std::reference_wrapper<const at::Tensor>> inputs) {
  if (out.numel() == 0) return;
  const AxisView target = axis_view(out, dim);  // a copy when the dimensions of `out` do not merge
  KernelCall call(kernel, out.device().index());
  call.tensor(target.storage)
      .sizes({target.outer, target.axis, target.inner, target.outer_stride, target.axis_stride, target.inner_stride});
  std::vector<at::Tensor> alive;
  for (const at::Tensor& input : inputs) {
    const AxisView view = axis_view(input, dim);
    call.tensor(view.storage).sizes({view.outer_stride, view.axis_stride, view.inner_stride});
    alive.push_back(view.storage);
  }
  call.launch();
  if (!target.storage.is_same(out)) out.copy_(target.storage);
}

at::Tensor& softmax_out(const at::Tensor& self, int64_t dim, bool half_to_float, at::Tensor& out) {
  static const KernelId kernel("softmax_forward");
  WithOutputs<at::meta::structured__softmax> call(out);
  call.meta(self, dim, half_to_float);
  check_floating("softmax", self.scalar_type());
  launch_along(kernel, dim, call.output(), {self});
  call.finish();
  return out;
}

at::Tensor& log_softmax_out(const at::Tensor& self, int64_t dim, bool half_to_float, at::Tensor& out) {
  static const KernelId kernel("log_softmax_forward");
  WithOutputs<at::meta::structured__log_softmax> call(out);
  call.meta(self, dim, half_to_float);
  check_floating("log_softmax", self.scalar_type());
  launch_along(kernel, dim, call.output(), {self});
  call.finish();
  return out;
}

at::Tensor& softmax_backward_out(const at::Tensor& grad, const at::Tensor& output, int64_t dim,
                                 at::ScalarType input_dtype, at::Tensor& grad_input) {
  static const KernelId kernel("softmax_backward");
  WithOutputs<at::meta::structured__softmax_backward_data> call(grad_input);
  call.meta(grad, output, dim, input_dtype);
  check_floating("softmax_backward", grad.scalar_type());
  launch_along(kernel, dim, call.output(), {grad, output});
  call.finish();
  return grad_input;
}

at::Tensor& log_softmax_backward_out(const at::Tensor& grad, const at::Tensor& output, int64_t dim,
                                     at::ScalarType input_dtype, at::Tensor& out) {
  static const KernelId kernel("log_softmax_backward");
  WithOutputs<at::meta::structured__log_softmax_backward_data> call(out);
  call.meta(grad, output, dim, input_dtype);
  check_floating("log_softmax_backward", grad.scalar_type());
  launch_along(kernel, dim, call.output(), {grad, output});
  call.finish();
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_softmax.out", softmax_out);
  library.impl("_log_softmax.out", log_softmax_out);
  library.impl("_softmax_backward_data.out", softmax_backward_out);
  library.impl("_log_softmax_backward_data.out", log_softmax_backward_out);
}
