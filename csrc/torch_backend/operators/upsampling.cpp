// Interpolation to another size: nearest, linear and cubic, with antialiasing and without, and their gradients.
#include <ATen/ops/_upsample_bicubic2d_aa_backward_meta.h>
#include <ATen/ops/_upsample_bicubic2d_aa_meta.h>
#include <ATen/ops/_upsample_bilinear2d_aa_backward_meta.h>
#include <ATen/ops/_upsample_bilinear2d_aa_meta.h>
#include <ATen/ops/_upsample_lanczos2d_aa_backward_meta.h>
#include <ATen/ops/_upsample_lanczos2d_aa_meta.h>
#include <ATen/ops/_upsample_nearest_exact1d_backward_meta.h>
#include <ATen/ops/_upsample_nearest_exact1d_meta.h>
#include <ATen/ops/_upsample_nearest_exact2d_backward_meta.h>
#include <ATen/ops/_upsample_nearest_exact2d_meta.h>
#include <ATen/ops/_upsample_nearest_exact3d_backward_meta.h>
#include <ATen/ops/_upsample_nearest_exact3d_meta.h>
#include <ATen/ops/upsample_bicubic2d_backward_meta.h>
#include <ATen/ops/upsample_bicubic2d_meta.h>
#include <ATen/ops/upsample_bilinear2d_backward_meta.h>
#include <ATen/ops/upsample_bilinear2d_meta.h>
#include <ATen/ops/upsample_linear1d_backward_meta.h>
#include <ATen/ops/upsample_linear1d_meta.h>
#include <ATen/ops/upsample_nearest1d_backward_meta.h>
#include <ATen/ops/upsample_nearest1d_meta.h>
#include <ATen/ops/upsample_nearest2d_backward_meta.h>
#include <ATen/ops/upsample_nearest2d_meta.h>
#include <ATen/ops/upsample_nearest3d_backward_meta.h>
#include <ATen/ops/upsample_nearest3d_meta.h>
#include <ATen/ops/upsample_trilinear3d_backward_meta.h>
#include <ATen/ops/upsample_trilinear3d_meta.h>
#include <torch/library.h>

#include <array>

#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/gather_axes.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

using Scale = std::optional<double>;

template <size_t Rank>
std::array<TapRule, Rank> rules_of(Taps taps, c10::IntArrayRef input, c10::IntArrayRef output, bool align_corners,
                                   const std::array<Scale, Rank>& scales, c10::ScalarType dtype, bool transposed) {
  std::array<TapRule, Rank> rules;
  for (size_t i = 0; i < Rank; ++i) {
    rules[i] = {.taps = taps,
                .input = input[i],
                .output = output[i],
                .align_corners = align_corners,
                .scale = scales[i],
                .wide = dtype == c10::kDouble || dtype == c10::kByte,
                .fixed_point = dtype == c10::kByte,
                .transposed = transposed};
  }
  return rules;
}

void check_dtype(c10::ScalarType dtype) {
  check_implemented(c10::isFloatingType(dtype) || dtype == c10::kByte, "upsample", dtype);
}

// The overloads of one interpolation; Scales: one std::optional<double> a dimension.
template <typename Meta, Taps taps, typename... Scales>
struct Forward {
  static at::Tensor& out(const at::Tensor& self, c10::IntArrayRef size, Scales... scales, at::Tensor& result) {
    WithOutputs<Meta> call(result);
    call.meta(self, size, scales...);
    return run(call, self, size, false, {scales...}, result);
  }

  static at::Tensor& aligned_out(const at::Tensor& self, c10::IntArrayRef size, bool align_corners, Scales... scales,
                                 at::Tensor& result) {
    WithOutputs<Meta> call(result);
    call.meta(self, size, align_corners, scales...);
    return run(call, self, size, align_corners, {scales...}, result);
  }

 private:
  static at::Tensor& run(WithOutputs<Meta>& call, const at::Tensor& self, c10::IntArrayRef size, bool align_corners,
                         const std::array<Scale, sizeof...(Scales)>& scales, at::Tensor& result) {
    check_dtype(self.scalar_type());
    gather_axes(call.output(), self,
                rules_of(taps, self.sizes().slice(2), size, align_corners, scales, self.scalar_type(), false));
    call.finish();
    return result;
  }
};

template <typename Meta, Taps taps, typename... Scales>
struct Backward {
  static at::Tensor& out(const at::Tensor& grad, c10::IntArrayRef size, c10::IntArrayRef input_size, Scales... scales,
                         at::Tensor& result) {
    WithOutputs<Meta> call(result);
    call.meta(grad, size, input_size, scales...);
    return run(call, grad, size, input_size, false, {scales...}, result);
  }

  static at::Tensor& aligned_out(const at::Tensor& grad, c10::IntArrayRef size, c10::IntArrayRef input_size,
                                 bool align_corners, Scales... scales, at::Tensor& result) {
    WithOutputs<Meta> call(result);
    call.meta(grad, size, input_size, align_corners, scales...);
    return run(call, grad, size, input_size, align_corners, {scales...}, result);
  }

 private:
  static at::Tensor& run(WithOutputs<Meta>& call, const at::Tensor& grad, c10::IntArrayRef size,
                         c10::IntArrayRef input_size, bool align_corners,
                         const std::array<Scale, sizeof...(Scales)>& scales, at::Tensor& result) {
    check_dtype(grad.scalar_type());
    gather_axes(call.output(), grad,
                rules_of(taps, input_size.slice(2), size, align_corners, scales, grad.scalar_type(), true));
    call.finish();
    return result;
  }
};

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  using S = Scale;
#define NEAREST(name, taps, ...)                                                                  \
  library.impl(#name ".out", Forward<at::meta::structured_##name, Taps::taps, __VA_ARGS__>::out); \
  library.impl(#name "_backward.grad_input",                                                      \
               Backward<at::meta::structured_##name##_backward, Taps::taps, __VA_ARGS__>::out)
#define ALIGNED(name, taps, ...)                                                                          \
  library.impl(#name ".out", Forward<at::meta::structured_##name, Taps::taps, __VA_ARGS__>::aligned_out); \
  library.impl(#name "_backward.grad_input",                                                              \
               Backward<at::meta::structured_##name##_backward, Taps::taps, __VA_ARGS__>::aligned_out)
  NEAREST(upsample_nearest1d, nearest, S);
  NEAREST(upsample_nearest2d, nearest, S, S);
  NEAREST(upsample_nearest3d, nearest, S, S, S);
  NEAREST(_upsample_nearest_exact1d, nearest_exact, S);
  NEAREST(_upsample_nearest_exact2d, nearest_exact, S, S);
  NEAREST(_upsample_nearest_exact3d, nearest_exact, S, S, S);
  ALIGNED(upsample_linear1d, linear, S);
  ALIGNED(upsample_bilinear2d, linear, S, S);
  ALIGNED(upsample_trilinear3d, linear, S, S, S);
  ALIGNED(upsample_bicubic2d, cubic, S, S);
  ALIGNED(_upsample_bilinear2d_aa, antialiased_linear, S, S);
  ALIGNED(_upsample_bicubic2d_aa, antialiased_cubic, S, S);
  ALIGNED(_upsample_lanczos2d_aa, antialiased_lanczos, S, S);
#undef NEAREST
#undef ALIGNED
}
