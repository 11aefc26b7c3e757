// Fractional maximum pooling, forward and backward, and the inverse of maximum pooling.
#include <ATen/native/FractionalMaxPooling.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/fractional_max_pool2d_backward_meta.h>
#include <ATen/ops/fractional_max_pool2d_meta.h>
#include <ATen/ops/fractional_max_pool3d_meta.h>
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

constexpr at::MemoryFormat contiguous = at::MemoryFormat::Contiguous;

template <typename Meta, int64_t spatial>
std::tuple<at::Tensor&, at::Tensor&> fractional_max_pool_out(const at::Tensor& self, IntArrayRef kernel_size,
                                                             IntArrayRef output_size, const at::Tensor& samples,
                                                             at::Tensor& out, at::Tensor& indices) {
  static const KernelId kernel("fractional_max_pool");
  const OperatorScope scope(spatial == 2 ? "fractional_max_pool2d" : "fractional_max_pool3d");
  WithOutputs<Meta> call(out, indices);
  call.meta(self, kernel_size, output_size, samples);
  at::native::fractional_max_pool_check_shape<spatial>(self, samples);
  check_implemented(c10::isFloatingType(self.scalar_type()),
                    spatial == 2 ? "fractional_max_pool2d_out_frame" : "fractional_max_pool3d_out_frame",
                    self.scalar_type());
  const Dense values(call.output(0), contiguous), places(call.output(1), contiguous);
  if (values.tensor().numel() != 0) {
    const at::Tensor x = self.contiguous(), numbers = samples.contiguous();
    c10::SmallVector<int64_t, 12> sizes{spatial, Planes::of(self, spatial, contiguous).outers};
    for (const Three& three :
         {sizes_of(self, spatial), sizes_of(values.tensor(), spatial), three_of(kernel_size, spatial, 1)}) {
      sizes.append(three.begin(), three.end());
    }
    launch_kernel(kernel, {values.tensor(), places.tensor(), x, numbers}, sizes);
  }
  values.finish();
  places.finish();
  call.finish();
  return {out, indices};
}

void check_gradient(const at::Tensor& grad_output, const at::Tensor& self, size_t spatial, IntArrayRef output_size) {
  TORCH_CHECK(grad_output.dim() == self.dim() && sizes_of(grad_output, spatial) == three_of(output_size, spatial, 1),
              "fractional_max_pool_backward(): gradOutput sizes unexpected: ", grad_output.sizes());
  check_implemented(
      c10::isFloatingType(grad_output.scalar_type()),
      spatial == 2 ? "fractional_max_pool2d_backward_out_frame" : "fractional_max_pool3d_backward_out_frame",
      grad_output.scalar_type());
}

at::Tensor& fractional_max_pool2d_backward_out(const at::Tensor& grad_output, const at::Tensor& self,
                                               IntArrayRef kernel_size, IntArrayRef output_size,
                                               const at::Tensor& indices, at::Tensor& grad_input) {
  const OperatorScope scope("fractional_max_pool2d_backward");
  WithOutputs<at::meta::structured_fractional_max_pool2d_backward> call(grad_input);
  call.meta(grad_output, self, kernel_size, output_size, indices);
  check_gradient(grad_output, self, 2, output_size);
  scatter_planes(call.output(), grad_output, indices, 2, true);
  call.finish();
  return grad_input;
}

at::Tensor& fractional_max_pool3d_backward_out(const at::Tensor& grad_output, const at::Tensor& self, IntArrayRef,
                                               IntArrayRef output_size, const at::Tensor& indices,
                                               at::Tensor& grad_input) {
  const OperatorScope scope("fractional_max_pool3d_backward");
  check_gradient(grad_output, self, 3, output_size);
  check_output("fractional_max_pool3d_backward", grad_input, self.scalar_type(), self.device());
  at::native::resize_output(grad_input, self.sizes());
  scatter_planes(grad_input, grad_output, indices, 3, true);
  return grad_input;
}

at::Tensor fractional_max_pool3d_backward(const at::Tensor& grad_output, const at::Tensor& self, IntArrayRef kernel,
                                          IntArrayRef output_size, const at::Tensor& indices) {
  at::Tensor grad_input = at::empty_like(self, contiguous);
  return fractional_max_pool3d_backward_out(grad_output, self, kernel, output_size, indices, grad_input);
}

void check_unpooled(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size, size_t spatial) {
  const bool flat = spatial == 2;
  const auto rank = static_cast<int64_t>(spatial);
  TORCH_CHECK(indices.scalar_type() == c10::kLong,
              "elements in indices should be type int64 but got: ", indices.scalar_type());
  TORCH_CHECK(output_size.size() == spatial, "There should be exactly ",
              flat ? "two elements (height, width)" : "three elements (depth, height, width)",
              " in output_size, but got ", output_size.size(), " elements.");
  TORCH_CHECK(self.dim() == rank + 1 || self.dim() == rank + 2, "Input to max_unpooling", rank, "d should be a ",
              rank + 1, "d or ", rank + 2, "d Tensor, but got a tensor with ", self.dim(), " dimensions.");
  TORCH_CHECK(self.sizes() == indices.sizes(), "Expected shape of indices to be same as that of the input tensor (",
              self.sizes(), ") but got indices tensor with shape: ", indices.sizes());
  for (int64_t i = 1; i < self.dim(); ++i) {
    TORCH_CHECK(self.size(i) > 0, "max_unpooling", rank,
                "d_forward_out(): Expected input to have non-zero size for non-batch dimensions, but got ",
                self.sizes(), " with dimension ", i, " being empty.");
  }
  check_implemented(c10::isFloatingType(self.scalar_type()), flat ? "max_unpool2d" : "max_unpool3d",
                    self.scalar_type());
}

at::Tensor& unpool_out(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size, size_t spatial,
                       at::Tensor& out) {
  const OperatorScope scope(spatial == 2 ? "max_unpool2d" : "max_unpool3d");
  check_output("max_unpool", out, self.scalar_type(), self.device());
  c10::SmallVector<int64_t, 5> sizes(self.sizes().begin(), self.sizes().end() - static_cast<int64_t>(spatial));
  sizes.append(output_size.begin(), output_size.end());
  at::native::resize_output(out, sizes);
  scatter_planes(out, self, indices, spatial, false);
  return out;
}

at::Tensor& max_unpool2d_out(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size,
                             at::Tensor& out) {
  check_unpooled(self, indices, output_size, 2);
  return unpool_out(self, indices, output_size, 2, out);
}

at::Tensor max_unpool2d(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size) {
  check_unpooled(self, indices, output_size, 2);
  const at::MemoryFormat format = self.dim() == 4 ? self.suggest_memory_format() : contiguous;
  c10::SmallVector<int64_t, 5> sizes(self.sizes().begin(), self.sizes().end() - 2);
  sizes.append(output_size.begin(), output_size.end());
  at::Tensor out = at::empty(sizes, self.options().memory_format(format));
  return unpool_out(self, indices, output_size, 2, out);
}

at::Tensor& max_unpool3d_out(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size,
                             IntArrayRef stride, IntArrayRef padding, at::Tensor& out) {
  check_unpooled(self, indices, output_size, 3);
  TORCH_CHECK(stride.size() == 3,
              "There should be exactly three elements (depth, height, width) in stride, but got: ", stride.size(),
              " elements.");
  TORCH_CHECK(padding.size() == 3,
              "There should be exactly three elements (depth, height, width) in padding, but got: ", padding.size(),
              " elements.");
  TORCH_CHECK(stride[0] > 0 && stride[1] > 0 && stride[2] > 0,
              "strides should be greater than zero, but got stride: ", stride);
  return unpool_out(self, indices, output_size, 3, out);
}

at::Tensor max_unpool3d(const at::Tensor& self, const at::Tensor& indices, IntArrayRef output_size, IntArrayRef stride,
                        IntArrayRef padding) {
  at::Tensor out = at::empty({0}, self.options());
  return max_unpool3d_out(self, indices, output_size, stride, padding, out);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  namespace meta = at::meta;
  library.impl("fractional_max_pool2d.output", fractional_max_pool_out<meta::structured_fractional_max_pool2d, 2>);
  library.impl("fractional_max_pool3d.output", fractional_max_pool_out<meta::structured_fractional_max_pool3d, 3>);
  library.impl("fractional_max_pool2d_backward.grad_input", fractional_max_pool2d_backward_out);
  library.impl("fractional_max_pool3d_backward", mtia::torch_backend::fractional_max_pool3d_backward);
  library.impl("fractional_max_pool3d_backward.grad_input", fractional_max_pool3d_backward_out);
  library.impl("max_unpool2d", mtia::torch_backend::max_unpool2d);
  library.impl("max_unpool2d.out", mtia::torch_backend::max_unpool2d_out);
  library.impl("max_unpool3d", mtia::torch_backend::max_unpool3d);
  library.impl("max_unpool3d.out", mtia::torch_backend::max_unpool3d_out);
}
