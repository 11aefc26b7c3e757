// Weight normalisation over all dimensions but the first or the last, forward and backward.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <array>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

// (slices, length, stride from slice to slice, stride inside a slice) of a contiguous weight.
std::array<int64_t, 4> slices_of(const at::Tensor& v, const at::Tensor& g, int64_t dim) {
  TORCH_CHECK(dim == 0 || dim == v.dim() - 1, "fused kernels can only be applied for first or last dim, got dim=", dim,
              " of a weight of ", v.dim(), " dimensions");
  TORCH_CHECK(at::isFloatingType(v.scalar_type()) && g.scalar_type() == v.scalar_type(),
              "weight_norm: expected v and g of one floating-point type, but got ", v.scalar_type(), " and ",
              g.scalar_type());
  const int64_t slices = v.size(dim);
  TORCH_CHECK(g.numel() == slices, "weight_norm: expected g of ", slices, " elements, but got ", g.sizes());
  const int64_t length = slices == 0 ? 0 : v.numel() / slices;
  if (dim == 0) return {slices, length, length, 1};
  return {slices, length, 1, slices};
}

std::tuple<at::Tensor, at::Tensor> weight_norm(const at::Tensor& v_given, const at::Tensor& g_given, int64_t dim) {
  static const KernelId kernel("weight_norm_forward");
  const std::array<int64_t, 4> sizes = slices_of(v_given, g_given, dim);
  const at::Tensor v = v_given.contiguous(), g = g_given.contiguous();
  const at::Tensor w = empty_device(v.sizes(), v.scalar_type(), v.device());
  const c10::ScalarType wide = v.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat;
  const at::Tensor norms = empty_device(g.sizes(), wide, v.device());
  if (v.numel() != 0) {
    launch_kernel(kernel, {w, norms, v, g}, sizes);
  } else {
    norms.zero_();
  }
  return {w, norms};
}

std::tuple<at::Tensor, at::Tensor> weight_norm_backward(const at::Tensor& grad_w, const at::Tensor& saved_v,
                                                        const at::Tensor& saved_g, const at::Tensor& saved_norms,
                                                        int64_t dim) {
  static const KernelId kernel("weight_norm_backward");
  const std::array<int64_t, 4> sizes = slices_of(saved_v, saved_g, dim);
  TORCH_CHECK(grad_w.sizes().equals(saved_v.sizes()), "weight_norm: expected a gradient of ", saved_v.sizes(),
              ", but got ", grad_w.sizes());
  const at::Tensor v = saved_v.contiguous(), g = saved_g.contiguous(), norms = saved_norms.contiguous();
  const at::Tensor grad_v = empty_device(v.sizes(), v.scalar_type(), v.device());
  const at::Tensor grad_g = empty_device(g.sizes(), g.scalar_type(), g.device());
  if (v.numel() != 0) {
    const at::Tensor grad = grad_w.contiguous();
    launch_kernel(kernel, {grad_v, grad_g, grad, v, g, norms}, sizes);
  } else {
    grad_g.zero_();
  }
  return {grad_v, grad_g};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_weight_norm_interface", mtia::torch_backend::weight_norm);
  library.impl("_weight_norm_interface_backward", mtia::torch_backend::weight_norm_backward);
}
