// torch.norm along dimensions, which torch keeps beside linalg.vector_norm: the same numbers under an older name.
#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <torch/library.h>

namespace mtia::torch_backend {
namespace {

at::Tensor& norm_dtype_out(const at::Tensor& self, const std::optional<at::Scalar>& p, c10::IntArrayRef dim,
                           bool keepdim, at::ScalarType dtype, at::Tensor& out) {
  return at::linalg_vector_norm_out(out, self, p.value_or(2.0), dim, keepdim, dtype);
}

at::Tensor& norm_out(const at::Tensor& self, const std::optional<at::Scalar>& p, c10::IntArrayRef dim, bool keepdim,
                     at::Tensor& out) {
  return at::linalg_vector_norm_out(out, self, p.value_or(2.0), dim, keepdim, std::nullopt);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("norm.out", mtia::torch_backend::norm_out);
  library.impl("norm.dtype_out", mtia::torch_backend::norm_dtype_out);
}
