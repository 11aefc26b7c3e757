// Padding by reflection and replication, and its gradients. Padding by a constant is torch's own composite.
#include <ATen/native/Padding.h>
#include <ATen/ops/reflection_pad1d_backward_meta.h>
#include <ATen/ops/reflection_pad1d_meta.h>
#include <ATen/ops/reflection_pad3d_backward_meta.h>
#include <ATen/ops/reflection_pad3d_meta.h>
#include <ATen/ops/replication_pad1d_backward_meta.h>
#include <ATen/ops/replication_pad1d_meta.h>
#include <ATen/ops/replication_pad2d_meta.h>
#include <ATen/ops/replication_pad3d_meta.h>
#include <torch/library.h>

#include <array>

#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/gather_axes.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

const char* name_of(Taps taps) { return taps == Taps::reflection ? "reflection_pad" : "replication_pad"; }

// `padding` is (before, after) of each dimension, the last one first.
template <size_t Rank>
std::array<TapRule, Rank> rules_of(Taps taps, c10::IntArrayRef sizes, c10::IntArrayRef padding, bool transposed) {
  std::array<TapRule, Rank> rules;
  for (size_t i = 0; i < Rank; ++i) {
    const int64_t before = padding[2 * (Rank - 1 - i)], after = padding[2 * (Rank - 1 - i) + 1];
    const int64_t input = sizes[sizes.size() - Rank + i];
    rules[i] = {
        .taps = taps, .input = input, .output = input + before + after, .before = before, .transposed = transposed};
  }
  return rules;
}

// As CPU torch's kernels do, of which the meta functions do not know.
void take_format(const at::Tensor& out, const at::Tensor& self) {
  out.unsafeGetTensorImpl()->empty_tensor_restride(self.suggest_memory_format());
}

void check_dtype(Taps taps, c10::ScalarType dtype) {
  check_implemented(dtype != c10::kBool && dtype != c10::kComplexHalf && !c10::isBarebonesUnsignedType(dtype),
                    name_of(taps), dtype);
}

template <size_t Rank>
void pad(const at::Tensor& out, const at::Tensor& self, Taps taps, c10::IntArrayRef padding) {
  check_dtype(taps, self.scalar_type());
  gather_axes(out, self, rules_of<Rank>(taps, self.sizes(), padding, false));
}

template <size_t Rank>
void pad_backward(const at::Tensor& grad_input, const at::Tensor& grad, const at::Tensor& self, Taps taps,
                  c10::IntArrayRef padding) {
  check_floating(name_of(taps), grad.scalar_type());
  gather_axes(grad_input, grad, rules_of<Rank>(taps, self.sizes(), padding, true));
}

template <typename Meta, Taps taps, size_t Rank>
at::Tensor& pad_out(const at::Tensor& self, c10::IntArrayRef padding, at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(self, padding);
  if (Rank > 1) take_format(call.output(), self);
  pad<Rank>(call.output(), self, taps, padding);
  call.finish();
  return out;
}

template <typename Meta, Taps taps, size_t Rank>
at::Tensor& pad_backward_out(const at::Tensor& grad, const at::Tensor& self, c10::IntArrayRef padding,
                             at::Tensor& grad_input) {
  WithOutputs<Meta> call(grad_input);
  call.meta(grad, self, padding);
  if (Rank > 1) take_format(call.output(), self);
  pad_backward<Rank>(call.output(), grad, self, taps, padding);
  call.finish();
  return grad_input;
}

// What torch has no meta function for.

at::Tensor& reflection_pad2d_out(const at::Tensor& self, c10::IntArrayRef padding, at::Tensor& out) {
  at::native::padding::check_valid_input<2>(self, padding);
  check_output("reflection_pad2d", out, self.scalar_type(), self.device());
  c10::SmallVector<int64_t, 4> sizes(self.sizes().begin(), self.sizes().end());
  for (size_t side = 0; side < 2; ++side) {
    const size_t d = sizes.size() - 1 - side;
    const int64_t before = padding[2 * side], after = padding[2 * side + 1];
    TORCH_CHECK(before < sizes[d] && after < sizes[d], "Argument #", side == 0 ? 4 : 6,
                ": Padding size should be less than the corresponding input dimension, but got: padding (", before,
                ", ", after, ") at dimension ", d, " of input ", self.sizes());
    sizes[d] += before + after;
    TORCH_CHECK(sizes[d] >= 1, "input (H: ", self.size(-2), ", W: ", self.size(-1),
                ") is too small. Calculated output ", side == 0 ? "W: " : "H: ", sizes[d]);
  }
  at::native::resize_output(out, sizes);
  take_format(out, self);
  pad<2>(out, self, Taps::reflection, padding);
  return out;
}

at::Tensor reflection_pad2d(const at::Tensor& self, c10::IntArrayRef padding) {
  at::Tensor out = empty_device({0}, self.scalar_type(), self.device());
  return reflection_pad2d_out(self, padding, out);
}

template <Taps taps, size_t Rank>
at::Tensor& unstructured_backward_out(const at::Tensor& grad, const at::Tensor& self, c10::IntArrayRef padding,
                                      at::Tensor& grad_input) {
  TORCH_CHECK(padding.size() == 2 * Rank, "padding size is expected to be ", 2 * Rank);
  check_same_device(name_of(taps), self.device(), grad);
  check_output(name_of(taps), grad_input, self.scalar_type(), self.device());
  const auto rank = static_cast<int64_t>(Rank);
  for (int64_t i = 0; i < rank; ++i) {
    const auto side = static_cast<size_t>(2 * (rank - 1 - i));
    const int64_t expected = self.size(i - rank) + padding[side] + padding[side + 1];
    TORCH_CHECK(grad.dim() == self.dim() && grad.size(i - rank) == expected, "grad_output size ", grad.sizes(),
                " unexpected: dimension ", grad.dim() + i - rank, " of an input ", self.sizes(), " padded by ", padding,
                " has ", expected);
  }
  at::native::resize_output(grad_input, self.sizes());
  take_format(grad_input, self);
  pad_backward<Rank>(grad_input, grad, self, taps, padding);
  return grad_input;
}

template <Taps taps, size_t Rank>
at::Tensor unstructured_backward(const at::Tensor& grad, const at::Tensor& self, c10::IntArrayRef padding) {
  at::Tensor grad_input = empty_device({0}, self.scalar_type(), self.device());
  return unstructured_backward_out<taps, Rank>(grad, self, padding, grad_input);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  using enum Taps;
  library.impl("reflection_pad1d.out", pad_out<at::meta::structured_reflection_pad1d, reflection, 1>);
  library.impl("reflection_pad2d", mtia::torch_backend::reflection_pad2d);
  library.impl("reflection_pad2d.out", mtia::torch_backend::reflection_pad2d_out);
  library.impl("reflection_pad3d.out", pad_out<at::meta::structured_reflection_pad3d, reflection, 3>);
  library.impl("replication_pad1d.out", pad_out<at::meta::structured_replication_pad1d, replication, 1>);
  library.impl("replication_pad2d.out", pad_out<at::meta::structured_replication_pad2d, replication, 2>);
  library.impl("replication_pad3d.out", pad_out<at::meta::structured_replication_pad3d, replication, 3>);
  library.impl("reflection_pad1d_backward.grad_input",
               pad_backward_out<at::meta::structured_reflection_pad1d_backward, reflection, 1>);
  library.impl("reflection_pad2d_backward", unstructured_backward<reflection, 2>);
  library.impl("reflection_pad2d_backward.grad_input", unstructured_backward_out<reflection, 2>);
  library.impl("reflection_pad3d_backward.grad_input",
               pad_backward_out<at::meta::structured_reflection_pad3d_backward, reflection, 3>);
  library.impl("replication_pad1d_backward.grad_input",
               pad_backward_out<at::meta::structured_replication_pad1d_backward, replication, 1>);
  library.impl("replication_pad2d_backward", unstructured_backward<replication, 2>);
  library.impl("replication_pad2d_backward.grad_input", unstructured_backward_out<replication, 2>);
  library.impl("replication_pad3d_backward", unstructured_backward<replication, 3>);
  library.impl("replication_pad3d_backward.grad_input", unstructured_backward_out<replication, 3>);
}
