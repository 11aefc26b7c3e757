// Windows of two or three dimensions as the pooling kernels take them (kernels/triton/pooling.py), and what is common
// to the operators that use them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <array>
#include <cstdint>

#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {

using Three = std::array<int64_t, 3>;

// depth, height and width of an operator's list: of one number or of two or three; `fill` where there is no depth.
inline Three three_of(at::IntArrayRef list, size_t spatial, int64_t fill) {
  Three three{fill, fill, fill};
  for (size_t i = 0; i < spatial; ++i) three[3 - spatial + i] = list.size() == 1 ? list[0] : list[i];
  return three;
}

// The trailing sizes of a tensor.
inline Three sizes_of(const at::Tensor& tensor, size_t spatial) {
  return three_of(tensor.sizes().slice(static_cast<size_t>(tensor.dim()) - spatial), spatial, 1);
}

struct Windows {
  bool adaptive = false;
  Three size{}, out{};
  Three kernel{1, 1, 1}, stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1};

  // Windows of adaptive pooling, which are plain ones where the sizes divide.
  static Windows adaptive_of(const Three& size, const Three& out) {
    Windows windows;
    windows.size = size;
    windows.out = out;
    for (size_t i = 0; i < 3; ++i) windows.adaptive = windows.adaptive || size[i] % out[i] != 0;
    if (windows.adaptive) return windows;
    for (size_t i = 0; i < 3; ++i) windows.kernel[i] = windows.stride[i] = size[i] / out[i];
    return windows;
  }
};

// How an operator's tensors lie: planes one after the other, or channels last.
struct Planes {
  at::MemoryFormat format;
  int64_t outers;    // planes, or images whose channels lie last
  int64_t channels;  // that lie last, else 0

  static Planes of(const at::Tensor& input, size_t spatial, at::MemoryFormat format) {
    int64_t planes = 1;
    const auto leading = static_cast<size_t>(input.dim()) - spatial;
    for (size_t i = 0; i < leading; ++i) planes *= input.sizes()[i];
    if (format == at::MemoryFormat::Contiguous) return {format, planes, 0};
    return {format, input.size(0), input.size(1)};
  }
};

inline c10::SmallVector<int64_t, 24> window_sizes(const Windows& windows, const Planes& planes) {
  c10::SmallVector<int64_t, 24> sizes{windows.adaptive, planes.outers, planes.channels};
  for (const Three& three :
       {windows.size, windows.out, windows.kernel, windows.stride, windows.padding, windows.dilation}) {
    sizes.append(three.begin(), three.end());
  }
  return sizes;
}

// target[p, indices[p, i]] += source[p, i], or = where not `adds`, for each plane of the last `spatial` dimensions.
void scatter_planes(const at::Tensor& target, const at::Tensor& source, const at::Tensor& indices, size_t spatial,
                    bool adds);

}  // namespace mtia::torch_backend
