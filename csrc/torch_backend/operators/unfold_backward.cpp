// The gradient of Tensor.unfold, which istft too adds its frames by: windows that do not overlap are added at once.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

namespace mtia::torch_backend {
namespace {

at::Tensor unfold_backward(const at::Tensor& grad, c10::IntArrayRef sizes, int64_t given_dim, int64_t size,
                           int64_t step) {
  const at::Tensor result = at::zeros(sizes, grad.options());
  if (grad.numel() == 0) return result;
  const int64_t dim = at::maybe_wrap_dim(given_dim, static_cast<int64_t>(sizes.size()));
  const int64_t groups = std::max<int64_t>(1, (size + step - 1) / step);
  if (groups == 1) {
    result.unfold(dim, size, step).copy_(grad);
    return result;
  }
  const int64_t windows = grad.size(dim);
  for (int64_t group = 0; group < std::min(groups, windows); ++group) {
    const at::Tensor part = grad.slice(dim, group, windows, groups);
    const int64_t reach = (part.size(dim) - 1) * groups * step + size;
    result.narrow(dim, group * step, reach).unfold(dim, size, groups * step).add_(part);
  }
  return result;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("unfold_backward", mtia::torch_backend::unfold_backward);
}
