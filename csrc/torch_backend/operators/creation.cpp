// Ranges, triangles, identity matrices and fills.
#include <ATen/ops/ones.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tril_meta.h>
#include <ATen/ops/triu_meta.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/structured.h"
#include "torch_backend/operators/type_rules.h"

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
    TORCH_CHECK_VALUE(step.toLong() != 0, "step must be nonzero");
    return (end.toLong() - start.toLong() + step.toLong() - sign) / step.toLong();
  }
  return static_cast<int64_t>(std::ceil((end.toDouble() - start.toDouble()) / step.toDouble()));
}

at::Tensor& write_range(const at::Scalar& start, const at::Scalar& step, int64_t length, at::Tensor& out) {
  static const KernelId kernel("arange");
  if (out.numel() != length) at::native::resize_output(out, {length});
  if (length == 0) return out;
  const at::Tensor dense = out.is_contiguous() ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  if (at::isFloatingType(out.scalar_type())) {
    launch_kernel(kernel, {dense}, {length}, {start.toDouble(), step.toDouble()});
  } else {
    launch_kernel(kernel, {dense}, {length}, {start.toLong(), step.toLong()});
  }
  if (!dense.is_same(out)) out.copy_(dense);
  return out;
}

at::Tensor& arange_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out) {
  check_numeric("arange", out.scalar_type());
  return write_range(start, step, range_length(start, end, step, out.scalar_type()), out);
}

// torch.range, arange's older form: the end belongs to it.
at::Tensor& range_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out) {
  check_numeric("range", out.scalar_type());
  const bool whole = at::isIntegralType(out.scalar_type(), false);
  const double first = whole ? static_cast<double>(start.toLong()) : start.toDouble();
  const double last = whole ? static_cast<double>(end.toLong()) : end.toDouble();
  const double stride = whole ? static_cast<double>(step.toLong()) : step.toDouble();
  TORCH_CHECK(stride != 0, "step must be nonzero");
  TORCH_CHECK(std::isfinite(first) && std::isfinite(last), "unsupported range: ", first, " -> ", last);
  TORCH_CHECK((stride > 0) == (last >= first) || last == first,
              "upper bound and lower bound inconsistent with step sign");
  return write_range(start, step, static_cast<int64_t>((last - first) / stride + 1), out);
}

// What torch makes of the ends of a range of integers: numbers of the dtype, cut towards zero; raises where they do not
// fit.
double end_of(const at::Scalar& end, c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kByte:
      return static_cast<double>(end.toByte());
    case c10::kChar:
      return static_cast<double>(end.toChar());
    case c10::kShort:
      return static_cast<double>(end.toShort());
    case c10::kInt:
      return static_cast<double>(end.toInt());
    case c10::kLong:
      return static_cast<double>(end.toLong());
    default:
      return end.toDouble();
  }
}

at::Tensor& linspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, at::Tensor& out) {
  static const KernelId kernel("linspace");
  check_numeric("linspace", out.scalar_type());
  check_fits(start, out.scalar_type());
  check_fits(end, out.scalar_type());
  TORCH_CHECK(steps >= 0, "number of steps must be non-negative");
  if (out.numel() != steps) at::native::resize_output(out, {steps});
  if (steps == 0) return out;
  if (out.is_complex()) {
    const c10::complex<double> first = start.toComplexDouble();
    const c10::complex<double> last = end.toComplexDouble();
    at::Tensor real = at::view_as_real(out).select(-1, 0);
    at::Tensor imaginary = at::view_as_real(out).select(-1, 1);
    linspace_out(first.real(), last.real(), steps, real);
    linspace_out(first.imag(), last.imag(), steps, imaginary);
    return out;
  }
  const double first = end_of(start, out.scalar_type());
  const double last = end_of(end, out.scalar_type());
  if (steps == 1) return out.fill_(first);
  const bool direct = out.is_contiguous() && at::isFloatingType(out.scalar_type());
  const at::Tensor dense =
      direct ? out
             : empty_device(out.sizes(), at::isFloatingType(out.scalar_type()) ? out.scalar_type() : c10::kDouble,
                            out.device());
  const double step = (last - first) / static_cast<double>(steps - 1);
  launch_kernel(kernel, {dense}, {steps}, {first, last, step});
  if (!direct) out.copy_(dense);
  return out;
}

// Powers of the numbers that linspace gives, in float64.
at::Tensor& logspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, double base, at::Tensor& out) {
  TORCH_CHECK(steps >= 0, "number of steps must be non-negative");
  if (out.numel() != steps) at::native::resize_output(out, {steps});
  if (steps == 0) return out;
  at::Tensor exponents = empty_device({steps}, out.is_complex() ? c10::kComplexDouble : c10::kDouble, out.device());
  if (steps == 1) {
    exponents.fill_(start);
  } else if (out.is_complex()) {
    linspace_out(start, end, steps, exponents);
  } else {
    linspace_out(end_of(start, out.scalar_type()), end_of(end, out.scalar_type()), steps, exponents);
  }
  return out.copy_(at::pow(base, exponents).view_as(out));
}

at::Tensor& eye_out_m(int64_t rows, int64_t columns, at::Tensor& out) {
  TORCH_CHECK(rows >= 0 && columns >= 0, "rows and columns must be non-negative, got ", rows, " and ", columns);
  out.resize_({rows, columns});
  out.zero_();
  out.diagonal().fill_(1);
  return out;
}

at::Tensor& eye_out(int64_t rows, at::Tensor& out) { return eye_out_m(rows, rows, out); }

void triangle(const KernelId& kernel, int64_t diagonal, const at::Tensor& self, const at::Tensor& out) {
  if (out.numel() == 0) return;
  if (self.is_complex()) {
    const at::Tensor from = at::view_as_real(self.resolve_conj());
    const at::Tensor to = at::view_as_real(out);
    for (int64_t part = 0; part < 2; ++part)
      triangle(kernel, diagonal, from.select(-1, part).contiguous(), to.select(-1, part));
    return;
  }
  const int64_t rows = self.size(-2);
  const int64_t columns = self.size(-1);
  const int64_t batch = self.numel() / (rows * columns);
  const at::Tensor source = self.reshape({batch, rows, columns});
  const at::Tensor dense = out.is_contiguous() && !out.is_alias_of(source)
                               ? out
                               : empty_device(out.sizes(), out.scalar_type(), out.device());
  launch_kernel(kernel, {dense, source},
                {batch, rows, columns, diagonal, source.stride(0), source.stride(1), source.stride(2)});
  if (!dense.is_same(out)) out.copy_(dense);
}

at::Tensor& tril_out(const at::Tensor& self, int64_t diagonal, at::Tensor& out) {
  static const KernelId kernel("tril");
  WithOutputs<at::meta::structured_tril> call(out);
  call.meta(self, diagonal);
  triangle(kernel, diagonal, self, call.output());
  call.finish();
  return out;
}

at::Tensor& triu_out(const at::Tensor& self, int64_t diagonal, at::Tensor& out) {
  static const KernelId kernel("triu");
  WithOutputs<at::meta::structured_triu> call(out);
  call.meta(self, diagonal);
  triangle(kernel, diagonal, self, call.output());
  call.finish();
  return out;
}

at::TensorOptions flags_on(std::optional<c10::Device> device) {
  return at::TensorOptions().dtype(c10::kBool).device(device);
}

void check_index_dtype(const char* operation, std::optional<c10::ScalarType> dtype) {
  const c10::ScalarType chosen = dtype.value_or(c10::kLong);
  check_implemented(chosen == c10::kLong || chosen == c10::kInt, operation, chosen);
}

at::Tensor tril_indices(int64_t rows, int64_t columns, int64_t offset, std::optional<c10::ScalarType> dtype,
                        std::optional<c10::Layout>, std::optional<c10::Device> device, std::optional<bool>) {
  check_index_dtype("tril_indices", dtype);
  return at::ones({rows, columns}, flags_on(device))
      .tril(offset)
      .nonzero()
      .t()
      .contiguous()
      .to(dtype.value_or(c10::kLong));
}

at::Tensor triu_indices(int64_t rows, int64_t columns, int64_t offset, std::optional<c10::ScalarType> dtype,
                        std::optional<c10::Layout>, std::optional<c10::Device> device, std::optional<bool>) {
  check_index_dtype("triu_indices", dtype);
  return at::ones({rows, columns}, flags_on(device))
      .triu(offset)
      .nonzero()
      .t()
      .contiguous()
      .to(dtype.value_or(c10::kLong));
}

// Index i as often as the i-th number says: where a repeated index ends, the next one begins.
at::Tensor repeat_interleave(const at::Tensor& repeats, std::optional<int64_t> output_size) {
  TORCH_CHECK(repeats.dim() == 1, "repeat_interleave only accept 1D vector as repeat");
  TORCH_CHECK_NOT_IMPLEMENTED(repeats.scalar_type() == c10::kLong || repeats.scalar_type() == c10::kInt,
                              "\"repeat_interleave\" not implemented for '", repeats.scalar_type(),
                              "': repeats has to be Long or Int tensor");
  if (repeats.numel() == 0) return empty_device({0}, repeats.scalar_type(), repeats.device());
  const at::Tensor ends = repeats.to(c10::kLong).cumsum(0);
  const at::Tensor facts = at::stack({ends.select(0, -1), repeats.min().to(c10::kLong)}).cpu();
  const int64_t total = facts[0].item().toLong();
  TORCH_CHECK(facts[1].item().toLong() >= 0, "repeats can not be negative");
  TORCH_CHECK(output_size.value_or(total) == total, "allocated size does not match required size");
  const at::Tensor ones = at::ones({repeats.numel()}, ends.options());
  at::Tensor marks = at::zeros({total + 1}, ends.options());
  return marks.index_add_(0, ends, ones).narrow(0, 0, total).cumsum(0).to(repeats.scalar_type());
}

at::Tensor& fill_tensor_(at::Tensor& self, const at::Tensor& value) {
  TORCH_CHECK(value.dim() == 0, "fill_ only supports 0-dimension value tensor but got tensor with ", value.dim(),
              " dimensions.");
  return value.is_cpu() ? self.fill_(value.item()) : self.copy_(value.expand_as(self));
}

at::Tensor& zero_(at::Tensor& self) { return self.fill_(0); }

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("arange.start_out", arange_out);
  library.impl("range.out", range_out);
  library.impl("linspace.out", linspace_out);
  library.impl("logspace.out", logspace_out);
  library.impl("repeat_interleave.Tensor", mtia::torch_backend::repeat_interleave);
  library.impl("eye.out", eye_out);
  library.impl("eye.m_out", eye_out_m);
  library.impl("tril.out", tril_out);
  library.impl("triu.out", triu_out);
  library.impl("tril_indices", tril_indices);
  library.impl("triu_indices", triu_indices);
  library.impl("fill_.Tensor", fill_tensor_);
  library.impl("zero_", zero_);
}
