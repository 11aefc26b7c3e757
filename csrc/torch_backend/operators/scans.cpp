// Scans with a memory along one dimension: running extremes with their indices, running log-sum-exp.
#include <ATen/WrapDimUtils.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/complex_reductions.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

std::vector<int64_t> scan_sizes(const AxisView& from, const AxisView& to) {
  return {from.outer,        from.axis,       from.inner,     from.outer_stride, from.axis_stride,
          from.inner_stride, to.outer_stride, to.axis_stride, to.inner_stride};
}

// torch's cummax and cummin call it with outputs of self's sizes, of self's dtype and of int64.
void running_extreme(const char* name, const KernelId& kernel, const at::Tensor& self, const at::Tensor& values,
                     const at::Tensor& indices, int64_t dim) {
  check_implemented(!self.is_complex(), name, self.scalar_type());
  if (self.numel() == 0) return;
  const Dense dense(values), places(indices);
  const AxisView view = axis_view(self, dim);
  launch_kernel(kernel, {dense.tensor(), places.tensor(), view.storage},
                scan_sizes(view, axis_view(dense.tensor(), dim)));
  dense.finish();
  places.finish();
}

void cummax_helper(const at::Tensor& self, at::Tensor& values, at::Tensor& indices, int64_t dim) {
  static const KernelId kernel("running_maximum");
  running_extreme("cummax_cpu", kernel, self, values, indices, dim);
}

void cummin_helper(const at::Tensor& self, at::Tensor& values, at::Tensor& indices, int64_t dim) {
  static const KernelId kernel("running_minimum");
  running_extreme("cummin_cpu", kernel, self, values, indices, dim);
}

at::Tensor& logcumsumexp_out(const at::Tensor& self, int64_t dim, at::Tensor& out) {
  static const KernelId kernel("running_logsumexp");
  check_floating("logcumsumexp_out_cpu", self.scalar_type());
  check_output("logcumsumexp", out, self.scalar_type(), self.device());
  at::maybe_wrap_dim(dim, self.dim());
  at::native::resize_output(out, self.sizes());
  if (self.numel() == 0) return out;
  check_separate(out, {self});
  if (self.is_complex()) return out.copy_(complex_running_logsumexp(self, dim));
  const Dense dense(out);
  const AxisView view = axis_view(self, dim);
  launch_kernel(kernel, {dense.tensor(), view.storage}, scan_sizes(view, axis_view(dense.tensor(), dim)));
  dense.finish();
  return out;
}

at::Tensor logcumsumexp(const at::Tensor& self, int64_t dim) {
  at::Tensor out = empty_device({0}, self.scalar_type(), self.device());
  return logcumsumexp_out(self, dim, out);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_cummax_helper", cummax_helper);
  library.impl("_cummin_helper", cummin_helper);
  library.impl("_logcumsumexp.out", logcumsumexp_out);
  library.impl("_logcumsumexp", logcumsumexp);
}
