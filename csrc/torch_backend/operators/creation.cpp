// Ranges, triangles, identity matrices and fills.
#include <ATen/ScalarOps.h>
#include <ATen/native/RangeUtils.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tril_meta.h>
#include <ATen/ops/triu_meta.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <cmath>

#include "torch_backend/launch.h"
#include "torch_backend/operators/elementwise.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

void check_range(double start, double end, double step) {
  TORCH_CHECK(step != 0, "step must be nonzero");
  TORCH_CHECK(std::isfinite(start) && std::isfinite(end), "unsupported range: ", start, " -> ", end);
  TORCH_CHECK(step > 0 ? end >= start : end <= start, "upper bound and lower bound inconsistent with step sign");
}

int64_t range_length(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, c10::ScalarType dtype) {
  check_range(start.toDouble(), end.toDouble(), step.toDouble());
  if (dtype == c10::kLong) {
    // Exact where doubles are not.
    const int64_t sign = step.toLong() > 0 ? 1 : -1;
    TORCH_CHECK(step.toLong() != 0, "step must be nonzero");
    return (end.toLong() - start.toLong() + step.toLong() - sign) / step.toLong();
  }
  return static_cast<int64_t>(std::ceil((end.toDouble() - start.toDouble()) / step.toDouble()));
}

at::Tensor& arange_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out) {
  static const KernelId kernel("arange");
  const int64_t length = range_length(start, end, step, out.scalar_type());
  if (out.numel() != length) at::native::resize_output(out, {length});
  if (length == 0) return out;
  const at::Tensor dense = out.is_contiguous() ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  launch_kernel(kernel, {dense}, {length}, {start, step});
  if (!dense.is_same(out)) out.copy_(dense);
  return out;
}

// Both ends exactly: the upper half counts down from the end, as torch does.
at::Tensor& linspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, at::Tensor& out) {
  TORCH_CHECK(steps >= 0, "number of steps must be non-negative");
  if (out.numel() != steps) at::native::resize_output(out, {steps});
  if (steps == 0) return out;
  if (steps == 1) return out.fill_(start);
  const c10::ScalarType wide = out.scalar_type() == c10::kDouble || c10::isIntegralType(out.scalar_type(), false) ? c10::kDouble : c10::kFloat;
  const at::Tensor position = at::arange(steps, out.options().dtype(wide));
  const double step = (end.toDouble() - start.toDouble()) / static_cast<double>(steps - 1);
  const at::Tensor up = position.mul(step).add(start.toDouble());
  const at::Tensor down = position.neg().add(steps - 1).mul(-step).add(end.toDouble());
  return out.copy_(at::where(position.lt(steps / 2), up, down));
}

at::Tensor& eye_out_m(int64_t rows, int64_t columns, at::Tensor& out) {
  TORCH_CHECK(rows >= 0 && columns >= 0, "rows and columns must be non-negative, got ", rows, " and ", columns);
  out.resize_({rows, columns});
  out.zero_();
  out.diagonal().fill_(1);
  return out;
}

at::Tensor& eye_out(int64_t rows, at::Tensor& out) { return eye_out_m(rows, rows, out); }

// The strides of the batch dimensions as one, or a dense copy.
void triangle(bool upper, int64_t diagonal, const at::Tensor& self, const at::Tensor& out) {
  static const KernelId kernel("triangle");
  if (out.numel() == 0) return;
  const int64_t rows = self.size(-2);
  const int64_t columns = self.size(-1);
  const int64_t batch = self.numel() / (rows * columns);
  const auto flat = [&](const at::Tensor& tensor) {
    return tensor.dim() == 2 ? tensor.unsqueeze(0) : tensor.dim() == 3 ? tensor : tensor.reshape({batch, rows, columns});
  };
  const at::Tensor source = flat(self);
  const bool direct = out.dim() <= 3 || out.is_contiguous();
  const at::Tensor target = direct ? flat(out) : empty_device({batch, rows, columns}, out.scalar_type(), out.device());
  launch_kernel(kernel, {target, source},
                {upper, diagonal, batch, rows, columns, source.stride(0), source.stride(1), source.stride(2), target.stride(0), target.stride(1),
                 target.stride(2)});
  if (!direct) out.copy_(target.view(out.sizes()));
}

at::Tensor& tril_out(const at::Tensor& self, int64_t diagonal, at::Tensor& out) {
  WithOutputs<at::meta::structured_tril> call(out);
  call.meta(self, diagonal);
  triangle(false, diagonal, self, call.output());
  call.finish();
  return out;
}

at::Tensor& triu_out(const at::Tensor& self, int64_t diagonal, at::Tensor& out) {
  WithOutputs<at::meta::structured_triu> call(out);
  call.meta(self, diagonal);
  triangle(true, diagonal, self, call.output());
  call.finish();
  return out;
}

at::TensorOptions flags_on(std::optional<c10::Device> device) { return at::TensorOptions().dtype(c10::kBool).device(device); }

at::Tensor tril_indices(int64_t rows, int64_t columns, int64_t offset, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                        std::optional<c10::Device> device, std::optional<bool>) {
  return at::ones({rows, columns}, flags_on(device)).tril(offset).nonzero().t().contiguous().to(dtype.value_or(c10::kLong));
}

at::Tensor triu_indices(int64_t rows, int64_t columns, int64_t offset, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                        std::optional<c10::Device> device, std::optional<bool>) {
  return at::ones({rows, columns}, flags_on(device)).triu(offset).nonzero().t().contiguous().to(dtype.value_or(c10::kLong));
}

at::Tensor& fill_tensor_(at::Tensor& self, const at::Tensor& value) {
  TORCH_CHECK(value.dim() == 0, "fill_ only supports 0-dimension value tensor but got tensor with ", value.dim(), " dimensions.");
  return value.is_cpu() ? self.fill_(value.item()) : self.copy_(value.expand_as(self));
}

at::Tensor& zero_(at::Tensor& self) { return self.fill_(0); }

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("arange.start_out", arange_out);
  library.impl("linspace.out", linspace_out);
  library.impl("eye.out", eye_out);
  library.impl("eye.m_out", eye_out_m);
  library.impl("tril.out", tril_out);
  library.impl("triu.out", triu_out);
  library.impl("tril_indices", tril_indices);
  library.impl("triu_indices", triu_indices);
  library.impl("fill_.Tensor", fill_tensor_);
  library.impl("zero_", zero_);
}
