// Maximum and average pooling of two and three dimensions, plain and adaptive, forward and backward
// (kernels/triton/pooling.py). One dimension comes as two.
#include <ATen/native/AdaptivePooling.h>
#include <ATen/native/Pool.h>
#include <ATen/ops/_adaptive_avg_pool2d.h>
#include <ATen/ops/_adaptive_avg_pool3d.h>
#include <ATen/ops/adaptive_max_pool2d_backward_meta.h>
#include <ATen/ops/adaptive_max_pool2d_meta.h>
#include <ATen/ops/adaptive_max_pool3d_backward_meta.h>
#include <ATen/ops/adaptive_max_pool3d_meta.h>
#include <ATen/ops/avg_pool2d_backward_meta.h>
#include <ATen/ops/avg_pool2d_meta.h>
#include <ATen/ops/avg_pool3d_backward_meta.h>
#include <ATen/ops/avg_pool3d_meta.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/max_pool2d_with_indices_backward_meta.h>
#include <ATen/ops/max_pool2d_with_indices_meta.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/pooling_windows.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

using at::IntArrayRef;

void check_maximum(const char* operation, const at::Tensor& input) {
  const c10::ScalarType dtype = input.scalar_type();
  check_implemented(!c10::isComplexType(dtype) && dtype != c10::kBool, operation, dtype);
}

// Of averages and of what CPU torch has for real floating dtypes alone.
void check_real(const char* operation, const at::Tensor& input, bool with_long = false) {
  const c10::ScalarType dtype = input.scalar_type();
  check_implemented(c10::isFloatingType(dtype) || (with_long && dtype == c10::kLong), operation, dtype);
}

// Results of torch's 2-d operators lie as their input does, in the format that its strides suggest.
at::MemoryFormat format_of(const at::Tensor& input, size_t spatial) {
  const bool batched = input.dim() == static_cast<int64_t>(spatial) + 2;
  return batched ? input.suggest_memory_format() : at::MemoryFormat::Contiguous;
}

Windows windows_of(const at::Tensor& input, const at::Tensor& output, size_t spatial, IntArrayRef kernel,
                   IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation) {
  Windows windows;
  windows.size = sizes_of(input, spatial);
  windows.out = sizes_of(output, spatial);
  windows.kernel = three_of(kernel, spatial, 1);
  windows.stride = stride.empty() ? windows.kernel : three_of(stride, spatial, 1);
  windows.padding = three_of(padding, spatial, 0);
  windows.dilation = three_of(dilation, spatial, 1);
  return windows;
}

void max_pool(const at::Tensor& out, const at::Tensor& indices, const at::Tensor& input, const Windows& windows,
              size_t spatial, at::MemoryFormat format) {
  static const KernelId kernel("max_pool");
  if (out.numel() == 0) return;
  const Dense values(out, format), places(indices, format);
  const at::Tensor x = input.contiguous(format);
  launch_kernel(kernel, {values.tensor(), places.tensor(), x},
                window_sizes(windows, Planes::of(input, spatial, format)));
  values.finish();
  places.finish();
}

struct Average {
  bool counts_padding = false;
  int64_t divisor = 0;  // 0: the elements of a window
};

const KernelId& average_forward() {
  static const KernelId kernel("average_pool");
  return kernel;
}

const KernelId& average_backward() {
  static const KernelId kernel("average_pool_backward");
  return kernel;
}

void average_pool(const KernelId& kernel, const at::Tensor& out, const at::Tensor& in, const at::Tensor& input,
                  const Windows& windows, const Average& average, size_t spatial, at::MemoryFormat format) {
  if (out.numel() == 0) return;
  const Dense values(out, format);
  const at::Tensor x = in.contiguous(format), none;
  c10::SmallVector<int64_t, 24> sizes = window_sizes(windows, Planes::of(input, spatial, format));
  sizes.append({average.counts_padding, average.divisor});
  launch_kernel(kernel, {values.tensor(), none, x}, sizes);
  values.finish();
}

// ---- maximum

std::tuple<at::Tensor&, at::Tensor&> max_pool2d_out(const at::Tensor& self, IntArrayRef kernel, IntArrayRef stride,
                                                    IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                                    at::Tensor& out, at::Tensor& indices) {
  const OperatorScope scope("max_pool2d");
  WithOutputs<at::meta::structured_max_pool2d_with_indices> call(out, indices);
  call.meta(self, kernel, stride, padding, dilation, ceil_mode);
  check_maximum("max_pool2d", self);
  max_pool(call.output(0), call.output(1), self, windows_of(self, call.output(0), 2, kernel, stride, padding, dilation),
           2, format_of(self, 2));
  call.finish();
  return {out, indices};
}

at::Tensor& max_pool2d_backward_out(const at::Tensor& grad_output, const at::Tensor& self, IntArrayRef kernel,
                                    IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                    const at::Tensor& indices, at::Tensor& grad_input) {
  const OperatorScope scope("max_pool2d_backward");
  WithOutputs<at::meta::structured_max_pool2d_with_indices_backward> call(grad_input);
  call.meta(grad_output, self, kernel, stride, padding, dilation, ceil_mode, indices);
  check_maximum("max_pool2d_backward", grad_output);
  scatter_planes(call.output(), grad_output, indices, 2, true);
  call.finish();
  return grad_input;
}

std::array<int64_t, 3> checked_three(const char* name, IntArrayRef list, bool may_be_empty = false) {
  TORCH_CHECK(list.size() == 1 || list.size() == 3 || (may_be_empty && list.empty()), "max_pool3d: ", name, " must ",
              may_be_empty ? "either be omitted, a single int, or a tuple of three ints"
                           : "either be a single int, or a tuple of three ints");
  return list.empty() ? Three{} : three_of(list, 3, 1);
}

// Checks as CPU torch, whose operator is no structured one; gives the sizes of the result.
c10::SmallVector<int64_t, 5> max_pool3d_sizes(const at::Tensor& self, IntArrayRef kernel_size, IntArrayRef strides,
                                              IntArrayRef paddings, IntArrayRef dilations, bool ceil_mode) {
  const Three kernel = checked_three("kernel_size", kernel_size);
  const Three given = checked_three("stride", strides, true);
  const Three stride = strides.empty() ? kernel : given;
  const Three padding = checked_three("padding", paddings);
  const Three dilation = checked_three("dilation", dilations);
  TORCH_CHECK(self.dim() == 4 || self.dim() == 5, "non-empty 4D or 5D (batch mode) tensor expected for input");
  const Three size = sizes_of(self, 3);
  Three out{};
  for (size_t i = 0; i < 3; ++i) {
    out[i] =
        at::native::pooling_output_shape<int64_t>(size[i], kernel[i], padding[i], stride[i], dilation[i], ceil_mode);
  }
  const auto narrow = [](int64_t value) { return static_cast<int>(value); };
  at::native::pool3d_shape_check(self, self.size(-4), narrow(kernel[0]), narrow(kernel[1]), narrow(kernel[2]),
                                 narrow(stride[0]), narrow(stride[1]), narrow(stride[2]), narrow(padding[0]),
                                 narrow(padding[1]), narrow(padding[2]), narrow(dilation[0]), narrow(dilation[1]),
                                 narrow(dilation[2]), size[0], size[1], size[2], out[0], out[1], out[2],
                                 "max_pool3d_with_indices_out_cpu_template()");
  c10::SmallVector<int64_t, 5> sizes(self.sizes().begin(), self.sizes().end() - 3);
  sizes.append(out.begin(), out.end());
  return sizes;
}

std::tuple<at::Tensor&, at::Tensor&> max_pool3d_out(const at::Tensor& self, IntArrayRef kernel, IntArrayRef stride,
                                                    IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                                    at::Tensor& out, at::Tensor& indices) {
  const OperatorScope scope("max_pool3d");
  const auto sizes = max_pool3d_sizes(self, kernel, stride, padding, dilation, ceil_mode);
  check_maximum("max_pool3d", self);
  check_output("max_pool3d", out, self.scalar_type(), self.device());
  check_output("max_pool3d", indices, c10::kLong, self.device());
  at::native::resize_output(out, sizes);
  at::native::resize_output(indices, sizes);
  max_pool(out, indices, self, windows_of(self, out, 3, kernel, stride, padding, dilation), 3, format_of(self, 3));
  return {out, indices};
}

std::tuple<at::Tensor, at::Tensor> max_pool3d(const at::Tensor& self, IntArrayRef kernel, IntArrayRef stride,
                                              IntArrayRef padding, IntArrayRef dilation, bool ceil_mode) {
  const auto sizes = max_pool3d_sizes(self, kernel, stride, padding, dilation, ceil_mode);
  const at::TensorOptions options = self.options().memory_format(format_of(self, 3));
  at::Tensor out = at::empty(sizes, options), indices = at::empty(sizes, options.dtype(c10::kLong));
  max_pool3d_out(self, kernel, stride, padding, dilation, ceil_mode, out, indices);
  return {out, indices};
}

at::Tensor& max_pool3d_backward_out(const at::Tensor& grad_output, const at::Tensor& self, IntArrayRef kernel,
                                    IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                                    const at::Tensor& indices, at::Tensor& grad_input) {
  const OperatorScope scope("max_pool3d_backward");
  const auto sizes = max_pool3d_sizes(self, kernel, stride, padding, dilation, ceil_mode);
  for (const at::Tensor& tensor : {grad_output, indices}) {
    TORCH_CHECK(tensor.sizes() == IntArrayRef(sizes), "max_pool3d_with_indices_backward: expected sizes ",
                IntArrayRef(sizes), ", but got ", tensor.sizes());
  }
  check_maximum("max_pool3d_backward", grad_output);
  check_output("max_pool3d_backward", grad_input, self.scalar_type(), self.device());
  at::native::resize_output(grad_input, self.sizes());
  scatter_planes(grad_input, grad_output, indices, 3, true);
  return grad_input;
}

at::Tensor max_pool3d_backward(const at::Tensor& grad_output, const at::Tensor& self, IntArrayRef kernel,
                               IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, bool ceil_mode,
                               const at::Tensor& indices) {
  at::Tensor grad_input = at::empty_like(self, format_of(self, 3));
  return max_pool3d_backward_out(grad_output, self, kernel, stride, padding, dilation, ceil_mode, indices, grad_input);
}

template <typename Meta, size_t spatial>
std::tuple<at::Tensor&, at::Tensor&> adaptive_max_pool_out(const at::Tensor& self, IntArrayRef output_size,
                                                           at::Tensor& out, at::Tensor& indices) {
  const OperatorScope scope(spatial == 2 ? "adaptive_max_pool2d" : "adaptive_max_pool3d");
  WithOutputs<Meta> call(out, indices);
  call.meta(self, output_size);
  check_real(spatial == 2 ? "adaptive_max_pool2d" : "adaptive_max_pool3d_cpu", self);
  if (call.output(0).numel() != 0) {
    const Windows windows = Windows::adaptive_of(sizes_of(self, spatial), sizes_of(call.output(0), spatial));
    max_pool(call.output(0), call.output(1), self, windows, spatial,
             spatial == 2 ? format_of(self, 2) : at::MemoryFormat::Contiguous);
  }
  call.finish();
  return {out, indices};
}

template <typename Meta, size_t spatial>
at::Tensor& adaptive_max_pool_backward_out(const at::Tensor& grad_output, const at::Tensor& self,
                                           const at::Tensor& indices, at::Tensor& grad_input) {
  const OperatorScope scope(spatial == 2 ? "adaptive_max_pool2d_backward" : "adaptive_max_pool3d_backward");
  WithOutputs<Meta> call(grad_input);
  call.meta(grad_output, self, indices);
  check_real(spatial == 2 ? "adaptive_max_pool2d_backward" : "adaptive_max_pool3d_backward", grad_output);
  scatter_planes(call.output(), grad_output, indices, spatial, true);
  call.finish();
  return grad_input;
}

// ---- average

Average average_of(bool counts_padding, std::optional<int64_t> divisor) {
  return {counts_padding, divisor.value_or(0)};
}

template <typename Meta, size_t spatial>
at::Tensor& avg_pool_out(const at::Tensor& self, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                         bool ceil_mode, bool count_include_pad, std::optional<int64_t> divisor, at::Tensor& out) {
  const OperatorScope scope(spatial == 2 ? "avg_pool2d" : "avg_pool3d");
  WithOutputs<Meta> call(out);
  call.meta(self, kernel, stride, padding, ceil_mode, count_include_pad, divisor);
  check_real(spatial == 2 ? "avg_pool2d" : "avg_pool3d_out_frame", self, true);
  average_pool(average_forward(), call.output(), self, self,
               windows_of(self, call.output(), spatial, kernel, stride, padding, {1}),
               average_of(count_include_pad, divisor), spatial,
               spatial == 2 ? format_of(self, 2) : at::MemoryFormat::Contiguous);
  call.finish();
  return out;
}

template <typename Meta, size_t spatial>
at::Tensor& avg_pool_backward_out(const at::Tensor& grad_output, const at::Tensor& self, IntArrayRef kernel,
                                  IntArrayRef stride, IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                                  std::optional<int64_t> divisor, at::Tensor& grad_input) {
  const OperatorScope scope(spatial == 2 ? "avg_pool2d_backward" : "avg_pool3d_backward");
  WithOutputs<Meta> call(grad_input);
  call.meta(grad_output, self, kernel, stride, padding, ceil_mode, count_include_pad, divisor);
  check_real(spatial == 2 ? "avg_pool2d_backward_out_frame" : "avg_pool3d_backward_out_frame", grad_output, true);
  average_pool(average_backward(), call.output(), grad_output, self,
               windows_of(self, grad_output, spatial, kernel, stride, padding, {1}),
               average_of(count_include_pad, divisor), spatial,
               spatial == 2 ? format_of(self, 2) : at::MemoryFormat::Contiguous);
  call.finish();
  return grad_input;
}

template <size_t spatial>
c10::SmallVector<int64_t, 5> adaptive_sizes(const at::Tensor& self, IntArrayRef output_size) {
  const char* name = spatial == 2 ? "adaptive_avg_pool2d" : "adaptive_avg_pool3d";
  TORCH_CHECK(output_size.size() == spatial, name, ": output_size must be ", spatial);
  const auto rank = static_cast<int64_t>(spatial);
  TORCH_CHECK(self.dim() == rank + 1 || self.dim() == rank + 2, name, "(): Expected ", rank + 1, "D or ", rank + 2,
              "D tensor, but got ", self.sizes());
  for (int64_t i = 1; i <= rank; ++i) {
    TORCH_CHECK(self.size(-i) > 0, name, "(): Expected input to have non-zero size for non-batch dimensions, but input",
                " has sizes ", self.sizes(), " with dimension ", self.dim() - i, " being empty");
  }
  for (const int64_t size : output_size) {
    TORCH_CHECK(size >= 0, name, ": elements of output_size must be greater than or equal to 0 but received {",
                output_size, "}");
  }
  c10::SmallVector<int64_t, 5> sizes(self.sizes().begin(), self.sizes().end() - rank);
  sizes.append(output_size.begin(), output_size.end());
  return sizes;
}

template <size_t spatial>
at::Tensor& adaptive_avg_pool_out(const at::Tensor& self, IntArrayRef output_size, at::Tensor& out) {
  const OperatorScope scope(spatial == 2 ? "adaptive_avg_pool2d" : "adaptive_avg_pool3d");
  const auto sizes = adaptive_sizes<spatial>(self, output_size);
  check_real(spatial == 2 ? "adaptive_avg_pool2d" : "adaptive_avg_pool3d_cpu", self);
  TORCH_CHECK(self.scalar_type() == out.scalar_type(), "expected dtype ", self.scalar_type(),
              " for `output` but got dtype ", out.scalar_type());
  check_output("adaptive_avg_pool", out, self.scalar_type(), self.device());
  at::native::resize_output(out, sizes);
  if (out.numel() == 0) return out;
  average_pool(average_forward(), out, self, self,
               Windows::adaptive_of(sizes_of(self, spatial), sizes_of(out, spatial)), {}, spatial,
               spatial == 2 ? format_of(self, 2) : at::MemoryFormat::Contiguous);
  return out;
}

template <size_t spatial>
at::Tensor adaptive_avg_pool(const at::Tensor& self, IntArrayRef output_size) {
  const auto sizes = adaptive_sizes<spatial>(self, output_size);
  const at::MemoryFormat format = spatial == 2 ? format_of(self, 2) : at::MemoryFormat::Contiguous;
  at::Tensor out = at::empty(sizes, self.options().memory_format(format));
  return adaptive_avg_pool_out<spatial>(self, output_size, out);
}

template <size_t spatial>
at::Tensor& adaptive_avg_pool_backward_out(const at::Tensor& grad_output, const at::Tensor& self,
                                           at::Tensor& grad_input) {
  const char* name = spatial == 2 ? "adaptive_avg_pool2d_backward" : "adaptive_avg_pool3d_backward";
  const OperatorScope scope(name);
  at::native::adaptive_pool_empty_output_check(grad_output, name);
  const auto rank = static_cast<int64_t>(spatial);
  TORCH_CHECK((self.dim() == rank + 1 || self.dim() == rank + 2) && grad_output.dim() == self.dim(), name,
              "(): Expected ", rank + 1, "D or ", rank + 2, "D tensor, but got ", self.sizes(), " and a gradient of ",
              grad_output.sizes());
  TORCH_CHECK(self.scalar_type() == grad_output.scalar_type(), "expected dtype ", self.scalar_type(),
              " for `grad_output` but got dtype ", grad_output.scalar_type());
  check_real(spatial == 2 ? "adaptive_avg_pool2d_backward" : "adaptive_avg_pool3d_backward_cpu", grad_output);
  check_output(name, grad_input, self.scalar_type(), self.device());
  at::native::resize_output(grad_input, self.sizes());
  if (grad_input.numel() == 0) return grad_input;
  const Windows windows = Windows::adaptive_of(sizes_of(self, spatial), sizes_of(grad_output, spatial));
  average_pool(average_backward(), grad_input, grad_output, self, windows, {}, spatial,
               spatial == 2 && !windows.adaptive ? format_of(self, 2) : at::MemoryFormat::Contiguous);
  return grad_input;
}

template <size_t spatial>
at::Tensor adaptive_avg_pool_backward(const at::Tensor& grad_output, const at::Tensor& self) {
  at::Tensor grad_input = at::empty_like(self, spatial == 2 ? format_of(self, 2) : at::MemoryFormat::Contiguous);
  return adaptive_avg_pool_backward_out<spatial>(grad_output, self, grad_input);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  namespace meta = at::meta;
  library.impl("max_pool2d_with_indices.out", max_pool2d_out);
  library.impl("max_pool2d_with_indices_backward.grad_input", max_pool2d_backward_out);
  library.impl("max_pool3d_with_indices", mtia::torch_backend::max_pool3d);
  library.impl("max_pool3d_with_indices.out", max_pool3d_out);
  library.impl("max_pool3d_with_indices_backward", max_pool3d_backward);
  library.impl("max_pool3d_with_indices_backward.grad_input", max_pool3d_backward_out);
  library.impl("adaptive_max_pool2d.out", adaptive_max_pool_out<meta::structured_adaptive_max_pool2d, 2>);
  library.impl("adaptive_max_pool3d.out", adaptive_max_pool_out<meta::structured_adaptive_max_pool3d, 3>);
  library.impl("adaptive_max_pool2d_backward.grad_input",
               adaptive_max_pool_backward_out<meta::structured_adaptive_max_pool2d_backward, 2>);
  library.impl("adaptive_max_pool3d_backward.grad_input",
               adaptive_max_pool_backward_out<meta::structured_adaptive_max_pool3d_backward, 3>);
  library.impl("avg_pool2d.out", avg_pool_out<meta::structured_avg_pool2d, 2>);
  library.impl("avg_pool3d.out", avg_pool_out<meta::structured_avg_pool3d, 3>);
  library.impl("avg_pool2d_backward.grad_input", avg_pool_backward_out<meta::structured_avg_pool2d_backward, 2>);
  library.impl("avg_pool3d_backward.grad_input", avg_pool_backward_out<meta::structured_avg_pool3d_backward, 3>);
  library.impl("_adaptive_avg_pool2d", adaptive_avg_pool<2>);
  library.impl("_adaptive_avg_pool3d", adaptive_avg_pool<3>);
  library.impl("adaptive_avg_pool2d.out", adaptive_avg_pool_out<2>);
  library.impl("adaptive_avg_pool3d.out", adaptive_avg_pool_out<3>);
  library.impl("_adaptive_avg_pool2d_backward", adaptive_avg_pool_backward<2>);
  library.impl("_adaptive_avg_pool3d_backward", adaptive_avg_pool_backward<3>);
  library.impl("adaptive_avg_pool3d_backward.grad_input", adaptive_avg_pool_backward_out<3>);
}
