// Sliding blocks of an image as columns, and their sum back into one (im2col, col2im); channels shuffled by groups.
#include <ATen/native/im2col_shape_check.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/pooling_windows.h"

namespace mtia::torch_backend {
namespace {

using at::IntArrayRef;

struct Blocks {
  Windows windows;

  Blocks(IntArrayRef kernel, IntArrayRef dilation, IntArrayRef padding, IntArrayRef stride) {
    const auto check = [](const char* name, IntArrayRef list) {
      TORCH_CHECK(list.size() == 2, "It is expected ", name, " equals to 2, but got size ", list.size());
    };
    check("kernel_size", kernel);
    check("dilation", dilation);
    check("padding", padding);
    check("stride", stride);
    windows.kernel = three_of(kernel, 2, 1);
    windows.dilation = three_of(dilation, 2, 1);
    windows.padding = three_of(padding, 2, 0);
    windows.stride = three_of(stride, 2, 1);
  }

  void set_sizes(int64_t height, int64_t width) {
    windows.size = {1, height, width};
    windows.out[0] = 1;
    for (size_t i = 1; i < 3; ++i) {
      windows.out[i] = at::native::sliding_window_count(windows.size[i], windows.padding[i], windows.dilation[i],
                                                        windows.kernel[i], windows.stride[i]);
    }
  }
  int64_t elements() const { return windows.kernel[1] * windows.kernel[2]; }
  int64_t count() const { return windows.out[1] * windows.out[2]; }
};

void check_unfolded(const at::Tensor& image, const Blocks& blocks) {
  const Windows& it = blocks.windows;
  at::native::im2col_shape_check(image, at::Tensor(), it.kernel[1], it.kernel[2], it.dilation[1], it.dilation[2],
                                 it.padding[1], it.padding[2], it.stride[1], it.stride[2]);
}

at::Tensor im2col(const at::Tensor& self, IntArrayRef kernel, IntArrayRef dilation, IntArrayRef padding,
                  IntArrayRef stride) {
  const OperatorScope scope("im2col");
  Blocks blocks(kernel, dilation, padding, stride);
  check_unfolded(self, blocks);
  check_implemented(c10::isFloatingType(self.scalar_type()) || c10::isComplexType(self.scalar_type()) ||
                        self.scalar_type() == c10::kBool,
                    "im2col_out_cpu", self.scalar_type());
  const bool batched = self.dim() == 4;
  const at::Tensor image = batched ? self : self.unsqueeze(0);
  blocks.set_sizes(image.size(2), image.size(3));
  const Windows& it = blocks.windows;
  const bool pads = it.padding[1] != 0 || it.padding[2] != 0;
  const at::Tensor padded =
      pads ? at::constant_pad_nd(image, {it.padding[2], it.padding[2], it.padding[1], it.padding[1]}, 0) : image;
  const at::Tensor columns =
      padded
          .as_strided(
              {image.size(0), image.size(1), it.kernel[1], it.kernel[2], it.out[1], it.out[2]},
              {padded.stride(0), padded.stride(1), it.dilation[1] * padded.stride(2), it.dilation[2] * padded.stride(3),
               it.stride[1] * padded.stride(2), it.stride[2] * padded.stride(3)},
              padded.storage_offset())
          .clone(at::MemoryFormat::Contiguous)
          .view({image.size(0), image.size(1) * blocks.elements(), blocks.count()});
  return batched ? columns : columns.squeeze(0);
}

at::Tensor& im2col_out(const at::Tensor& self, IntArrayRef kernel, IntArrayRef dilation, IntArrayRef padding,
                       IntArrayRef stride, at::Tensor& out) {
  check_output("im2col", out, self.scalar_type(), self.device());
  return write_output(out, im2col(self, kernel, dilation, padding, stride));
}

// Windows whose elements do not lie side by side, and dtypes that kernels have no arithmetic for: one of their elements
// at a time, no two of which meet.
void add_columns(const at::Tensor& image, const at::Tensor& columns, const Windows& it) {
  const at::Tensor parts =
      columns.reshape({image.size(0), image.size(1), it.kernel[1], it.kernel[2], it.out[1], it.out[2]});
  const at::Tensor sums = at::zeros(
      {image.size(0), image.size(1), it.size[1] + 2 * it.padding[1], it.size[2] + 2 * it.padding[2]},
      image.options().dtype(c10::isReducedFloatingType(image.scalar_type()) ? c10::kFloat : image.scalar_type()));
  const auto slice = [&](const at::Tensor& tensor, size_t axis, int64_t position) {
    const int64_t start = position * it.dilation[axis];
    return tensor.slice(static_cast<int64_t>(axis) + 1, start, start + (it.out[axis] - 1) * it.stride[axis] + 1,
                        it.stride[axis]);
  };
  for (int64_t h = 0; h < it.kernel[1]; ++h) {
    for (int64_t w = 0; w < it.kernel[2]; ++w) slice(slice(sums, 1, h), 2, w).add_(parts.select(2, h).select(2, w));
  }
  image.copy_(sums.narrow(2, it.padding[1], it.size[1]).narrow(3, it.padding[2], it.size[2]));
}

at::Tensor& col2im_out(const at::Tensor& self, IntArrayRef output_size, IntArrayRef kernel, IntArrayRef dilation,
                       IntArrayRef padding, IntArrayRef stride, at::Tensor& out) {
  static const KernelId kernel_id("columns_to_image");
  const OperatorScope scope("col2im");
  TORCH_CHECK(output_size.size() == 2, "It is expected output_size equals to 2, but got size ", output_size.size());
  Blocks blocks(kernel, dilation, padding, stride);
  const Windows& it = blocks.windows;
  at::native::col2im_shape_check(self, at::Tensor(), output_size[0], output_size[1], it.kernel[1], it.kernel[2],
                                 it.dilation[1], it.dilation[2], it.padding[1], it.padding[2], it.stride[1],
                                 it.stride[2]);
  blocks.set_sizes(output_size[0], output_size[1]);
  const c10::ScalarType dtype = self.scalar_type();
  check_implemented(c10::isFloatingType(dtype) || c10::isComplexType(dtype) || dtype == c10::kBool, "col2im_out_cpu",
                    dtype);
  check_output("col2im", out, dtype, self.device());
  const bool batched = self.dim() == 3;
  const at::Tensor columns = (batched ? self : self.unsqueeze(0)).contiguous();
  const int64_t channels = columns.size(1) / blocks.elements();
  c10::SmallVector<int64_t, 4> sizes{columns.size(0), channels, output_size[0], output_size[1]};
  if (!batched) sizes.erase(sizes.begin());
  at::native::resize_output(out, sizes);
  const Dense dense(out, at::MemoryFormat::Contiguous);
  if (out.numel() != 0) {
    const at::Tensor image = batched ? dense.tensor() : dense.tensor().unsqueeze(0);
    if (it.dilation == Three{1, 1, 1} && c10::isFloatingType(dtype)) {
      const at::Tensor none;
      launch_kernel(kernel_id, {image, none, columns},
                    window_sizes(it, {at::MemoryFormat::Contiguous, columns.size(0) * channels, 0}));
    } else {
      add_columns(image, columns, it);
    }
  }
  dense.finish();
  return out;
}

at::Tensor col2im(const at::Tensor& self, IntArrayRef output_size, IntArrayRef kernel, IntArrayRef dilation,
                  IntArrayRef padding, IntArrayRef stride) {
  at::Tensor out = at::empty({0}, self.options());
  return col2im_out(self, output_size, kernel, dilation, padding, stride, out);
}

at::Tensor channel_shuffle(const at::Tensor& self, int64_t groups) {
  TORCH_CHECK(self.dim() > 2, "channel_shuffle expects input with > 2 dims, but got input with sizes ", self.sizes());
  const int64_t channels = self.size(1);
  TORCH_CHECK(groups > 0, "Number of groups to divide channels in must be positive. Value of groups:", groups);
  TORCH_CHECK(channels % groups == 0, "Number of channels must be divisible by groups. Got ", channels,
              " channels and ", groups, " groups.");
  const at::Tensor out = at::empty(self.sizes(), self.options().memory_format(self.suggest_memory_format()));
  if (self.numel() == 0) return out;
  const auto grouped = [&](const at::Tensor& tensor, int64_t first, int64_t second) {
    c10::SmallVector<int64_t, 6> sizes(tensor.sizes().begin(), tensor.sizes().end());
    c10::SmallVector<int64_t, 6> strides(tensor.strides().begin(), tensor.strides().end());
    sizes[1] = first;
    sizes.insert(sizes.begin() + 2, second);
    const int64_t stride = strides[1];
    strides[1] = stride * second;
    strides.insert(strides.begin() + 2, stride);
    return tensor.as_strided(sizes, strides, tensor.storage_offset());
  };
  grouped(out, channels / groups, groups).copy_(grouped(self, groups, channels / groups).transpose(1, 2));
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("im2col", mtia::torch_backend::im2col);
  library.impl("im2col.out", mtia::torch_backend::im2col_out);
  library.impl("col2im", mtia::torch_backend::col2im);
  library.impl("col2im.out", mtia::torch_backend::col2im_out);
  library.impl("channel_shuffle", mtia::torch_backend::channel_shuffle);
}
