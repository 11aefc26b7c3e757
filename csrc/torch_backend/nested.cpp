// Nested tensors of strided layout: torch's own operators, which take them apart into the tensors that they hold, or
// work on the memory of all of them at once. Jagged ones are Python's (torch.nested).
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/nested/NestedTensorUtils.h>
#include <ATen/ops/_nested_from_padded_and_nested_example_native.h>
#include <ATen/ops/_nested_from_padded_native.h>
#include <ATen/ops/_nested_select_backward_native.h>
#include <ATen/ops/_nested_tensor_from_mask_native.h>
#include <ATen/ops/_nested_tensor_from_tensor_list.h>
#include <ATen/ops/_nested_tensor_size_native.h>
#include <ATen/ops/_nested_tensor_softmax_with_shape_native.h>
#include <ATen/ops/_nested_tensor_storage_offsets_native.h>
#include <ATen/ops/_nested_tensor_strides_native.h>
#include <ATen/ops/_nested_view_from_buffer_native.h>
#include <ATen/ops/_safe_softmax_native.h>
#include <ATen/ops/_softmax_backward_data_native.h>
#include <ATen/ops/_softmax_native.h>
#include <ATen/ops/_to_copy_native.h>
#include <ATen/ops/abs_native.h>
#include <ATen/ops/add_native.h>
#include <ATen/ops/alias_native.h>
#include <ATen/ops/all_native.h>
#include <ATen/ops/bmm_native.h>
#include <ATen/ops/cat_native.h>
#include <ATen/ops/chunk_native.h>
#include <ATen/ops/clone_native.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/cos_native.h>
#include <ATen/ops/detach_native.h>
#include <ATen/ops/div_native.h>
#include <ATen/ops/embedding_native.h>
#include <ATen/ops/empty_like_native.h>
#include <ATen/ops/eq_native.h>
#include <ATen/ops/fill_native.h>
#include <ATen/ops/ge_native.h>
#include <ATen/ops/gelu_backward_native.h>
#include <ATen/ops/gelu_native.h>
#include <ATen/ops/gt_native.h>
#include <ATen/ops/is_same_size_native.h>
#include <ATen/ops/isinf_native.h>
#include <ATen/ops/isnan_native.h>
#include <ATen/ops/isneginf_native.h>
#include <ATen/ops/isposinf_native.h>
#include <ATen/ops/linear_backward_native.h>
#include <ATen/ops/linear_native.h>
#include <ATen/ops/logical_not_native.h>
#include <ATen/ops/masked_fill_native.h>
#include <ATen/ops/matmul_backward_native.h>
#include <ATen/ops/matmul_native.h>
#include <ATen/ops/mul_native.h>
#include <ATen/ops/narrow_native.h>
#include <ATen/ops/native_dropout_backward_native.h>
#include <ATen/ops/native_dropout_native.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/neg_native.h>
#include <ATen/ops/normal_native.h>
#include <ATen/ops/ones_like_native.h>
#include <ATen/ops/relu_native.h>
#include <ATen/ops/select_native.h>
#include <ATen/ops/sgn_native.h>
#include <ATen/ops/silu_backward_native.h>
#include <ATen/ops/silu_native.h>
#include <ATen/ops/sin_native.h>
#include <ATen/ops/split_with_sizes_native.h>
#include <ATen/ops/sqrt_native.h>
#include <ATen/ops/squeeze_native.h>
#include <ATen/ops/sub_native.h>
#include <ATen/ops/tanh_native.h>
#include <ATen/ops/threshold_backward_native.h>
#include <ATen/ops/to_padded_tensor_native.h>
#include <ATen/ops/transpose_native.h>
#include <ATen/ops/unbind_native.h>
#include <ATen/ops/unsqueeze_native.h>
#include <ATen/ops/value_selecting_reduction_backward_native.h>
#include <ATen/ops/values_native.h>
#include <ATen/ops/view_native.h>
#include <ATen/ops/where_native.h>
#include <ATen/ops/zero_native.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <tuple>
#include <vector>

namespace mtia::torch_backend {
namespace {

using at::native::get_nested_sizes;
using at::native::wrap_buffer;

// All rows of all tensors, which lie behind each other.
at::Tensor rows_of(const at::Tensor& nested, c10::IntArrayRef normalized_shape) {
  TORCH_CHECK(normalized_shape.size() == 1, "layer_norm: normalized_shape of a nested tensor has one dimension, got ",
              normalized_shape);
  return at::native::get_buffer(nested.contiguous()).view({-1, normalized_shape[0]});
}

// torch's own asks for kernels of the CPU and CUDA by name.
std::tuple<at::Tensor, at::Tensor, at::Tensor> layer_norm(const at::Tensor& input, c10::IntArrayRef normalized_shape,
                                                          const std::optional<at::Tensor>& weight,
                                                          const std::optional<at::Tensor>& bias, double eps) {
  auto [out, mean, rstd] = at::native_layer_norm(rows_of(input, normalized_shape), normalized_shape, weight, bias, eps);
  return {wrap_buffer(out.view({-1}), get_nested_sizes(input)), mean, rstd};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> layer_norm_backward(const at::Tensor& grad_out, const at::Tensor& input,
                                                                   c10::IntArrayRef normalized_shape,
                                                                   const at::Tensor& mean, const at::Tensor& rstd,
                                                                   const std::optional<at::Tensor>& weight,
                                                                   const std::optional<at::Tensor>& bias,
                                                                   std::array<bool, 3> output_mask) {
  auto [grad_input, grad_weight, grad_bias] =
      at::native_layer_norm_backward(rows_of(grad_out, normalized_shape), rows_of(input, normalized_shape),
                                     normalized_shape, mean, rstd, weight, bias, output_mask);
  if (grad_input.defined()) grad_input = wrap_buffer(grad_input.view({-1}), get_nested_sizes(input));
  return {grad_input, grad_weight, grad_bias};
}

// Along the last dimension, which is what CPU torch has too.
at::Tensor sum(const at::Tensor& self, at::OptionalIntArrayRef dims, bool keepdim,
               std::optional<c10::ScalarType> dtype) {
  TORCH_CHECK(dims.has_value() && dims->size() == 1 && at::maybe_wrap_dim((*dims)[0], self.dim()) == self.dim() - 1,
              "sum: a nested tensor is reduced along its last dimension alone; use to_padded_tensor(0) for others");
  TORCH_CHECK(keepdim, "sum: a nested tensor keeps its dimensions; use keepdim=True");
  std::vector<at::Tensor> sums = self.unbind();
  for (at::Tensor& tensor : sums) tensor = tensor.sum(-1, true, dtype);
  return at::_nested_tensor_from_tensor_list(sums);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_nested_from_padded", TORCH_FN(at::native::nested_from_padded_generic));
  library.impl("_nested_view_from_buffer", TORCH_FN(at::native::_nested_view_from_buffer));
  library.impl("_nested_tensor_from_mask", TORCH_FN(at::native::NestedTensor_nested_tensor_from_mask));
}

TORCH_LIBRARY_IMPL(aten, NestedTensorPrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("detach", TORCH_FN(at::native::detach));
  library.impl("ones_like", TORCH_FN(at::native::ones_like));
  library.impl("sum.dim_IntList", mtia::torch_backend::sum);
  library.impl("native_dropout_backward", TORCH_FN(at::native::native_dropout_backward));
  library.impl("native_dropout", TORCH_FN(at::native::native_dropout_nested));
  library.impl("abs", TORCH_FN(at::native::NestedTensor_abs));
  library.impl("abs_", TORCH_FN(at::native::NestedTensor_abs_));
  library.impl("sgn", TORCH_FN(at::native::NestedTensor_sgn));
  library.impl("sgn_", TORCH_FN(at::native::NestedTensor_sgn_));
  library.impl("add.Tensor", TORCH_FN(at::native::NestedTensor_add_Tensor));
  library.impl("add_.Tensor", TORCH_FN(at::native::NestedTensor_add__Tensor));
  library.impl("all.dim", TORCH_FN(at::native::NestedTensor_all));
  library.impl("logical_not", TORCH_FN(at::native::NestedTensor_logical_not));
  library.impl("logical_not_", TORCH_FN(at::native::NestedTensor_logical_not_));
  library.impl("bmm", TORCH_FN(at::native::bmm_nested));
  library.impl("cat", TORCH_FN(at::native::cat_nested));
  library.impl("chunk", TORCH_FN(at::native::chunk_nested_tensor));
  library.impl("copy_", TORCH_FN(at::native::copy_nested_));
  library.impl("cos", TORCH_FN(at::native::NestedTensor_cos));
  library.impl("div.Tensor", TORCH_FN(at::native::NestedTensor_div_Tensor));
  library.impl("div.Scalar", TORCH_FN(at::native::NestedTensor_div_Scalar));
  library.impl("embedding", TORCH_FN(at::native::NestedTensor_embedding));
  library.impl("empty_like", TORCH_FN(at::native::empty_like_nested));
  library.impl("isnan", TORCH_FN(at::native::NestedTensor_isnan));
  library.impl("is_same_size", TORCH_FN(at::native::nested_is_same_size));
  library.impl("native_layer_norm", layer_norm);
  library.impl("native_layer_norm_backward", layer_norm_backward);
  library.impl("linear", TORCH_FN(at::native::nested_linear));
  library.impl("linear_backward", TORCH_FN(at::native::nested_linear_backward));
  library.impl("matmul", TORCH_FN(at::native::matmul_nested));
  library.impl("matmul_backward", TORCH_FN(at::native::matmul_backward_nested));
  library.impl("matmul.out", TORCH_FN(at::native::matmul_out_nested));
  library.impl("value_selecting_reduction_backward",
               TORCH_FN(at::native::value_selecting_reduction_backward_nested_symint));
  library.impl("mul.Tensor", TORCH_FN(at::native::NestedTensor_mul_Tensor));
  library.impl("mul_.Tensor", TORCH_FN(at::native::NestedTensor_mul__Tensor));
  library.impl("mul.Scalar", TORCH_FN(at::native::NestedTensor_mul_Scalar));
  library.impl("mul_.Scalar", TORCH_FN(at::native::NestedTensor_mul__Scalar));
  library.impl("narrow", TORCH_FN(at::native::narrow_nested_symint));
  library.impl("neg", TORCH_FN(at::native::NestedTensor_neg));
  library.impl("neg_", TORCH_FN(at::native::NestedTensor_neg_));
  library.impl("relu", TORCH_FN(at::native::NestedTensor_relu));
  library.impl("relu_", TORCH_FN(at::native::NestedTensor_relu_));
  library.impl("gelu_", TORCH_FN(at::native::NestedTensor_gelu_));
  library.impl("gelu", TORCH_FN(at::native::NestedTensor_gelu));
  library.impl("gelu_backward", TORCH_FN(at::native::gelu_backwards_nested));
  library.impl("select.int", TORCH_FN(at::native::select_nested));
  library.impl("_nested_select_backward", TORCH_FN(at::native::_nested_select_backward_symint));
  library.impl("silu", TORCH_FN(at::native::NestedTensor_silu));
  library.impl("silu_", TORCH_FN(at::native::NestedTensor_silu_));
  library.impl("silu_backward", TORCH_FN(at::native::silu_backward_nested));
  library.impl("sin", TORCH_FN(at::native::NestedTensor_sin));
  library.impl("_softmax", TORCH_FN(at::native::softmax_nested));
  library.impl("_softmax_backward_data", TORCH_FN(at::native::nested_softmax_backward));
  library.impl("split_with_sizes", TORCH_FN(at::native::split_with_sizes_nested));
  library.impl("squeeze", TORCH_FN(at::native::squeeze_nested));
  library.impl("sqrt", TORCH_FN(at::native::NestedTensor_sqrt));
  library.impl("tanh", TORCH_FN(at::native::NestedTensor_tanh));
  library.impl("tanh_", TORCH_FN(at::native::NestedTensor_tanh_));
  library.impl("threshold_backward", TORCH_FN(at::native::threshold_backwards_nested));
  library.impl("transpose.int", TORCH_FN(at::native::transpose_nested));
  library.impl("_nested_tensor_size", TORCH_FN(at::native::_nested_tensor_size));
  library.impl("_nested_tensor_strides", TORCH_FN(at::native::_nested_tensor_strides));
  library.impl("_nested_tensor_storage_offsets", TORCH_FN(at::native::_nested_tensor_storage_offsets));
  library.impl("_nested_from_padded_and_nested_example",
               TORCH_FN(at::native::NestedTensor_from_padded_and_nested_example));
  library.impl("unsqueeze", TORCH_FN(at::native::unsqueeze_nested));
  library.impl("where.self", TORCH_FN(at::native::NestedTensor_where));
  library.impl("where.self_out", TORCH_FN(at::native::NestedTensor_where_out));
  library.impl("clone", TORCH_FN(at::native::clone_nested));
  library.impl("zero_", TORCH_FN(at::native::zero_nested_));
  library.impl("sub.Tensor", TORCH_FN(at::native::NestedTensor_sub_Tensor));
  library.impl("values", TORCH_FN(at::native::values_nested));
  library.impl("unbind.int", TORCH_FN(at::native::NestedTensor_unbind));
  library.impl("_to_copy", TORCH_FN(at::native::_to_copy_nested));
  library.impl("masked_fill.Scalar", TORCH_FN(at::native::NestedTensor_masked_fill));
  library.impl("view", TORCH_FN(at::native::view_nested));
  library.impl("eq.Scalar", TORCH_FN(at::native::eq_scalar_nested));
  library.impl("eq.Tensor", TORCH_FN(at::native::eq_tensor_nested));
  library.impl("ge.Scalar", TORCH_FN(at::native::ge_scalar_nested));
  library.impl("gt.Scalar", TORCH_FN(at::native::gt_scalar_nested));
  library.impl("normal_", TORCH_FN(at::native::normal_nested_));
  library.impl("alias", TORCH_FN(at::native::alias_nested));
  library.impl("isinf", TORCH_FN(at::native::NestedTensor_isinf));
  library.impl("isposinf", TORCH_FN(at::native::NestedTensor_isposinf));
  library.impl("isneginf", TORCH_FN(at::native::NestedTensor_isneginf));
  library.impl("to_padded_tensor", TORCH_FN(at::native::NestedTensor_to_padded_tensor_generic));
  library.impl("_nested_tensor_softmax_with_shape", TORCH_FN(at::native::NestedTensor_softmax_dropout));
  library.impl("_safe_softmax", TORCH_FN(at::native::_safe_softmax));
  library.impl("fill_.Scalar", static_cast<at::Tensor& (*)(at::Tensor&, const at::Scalar&)>(at::native::fill_nested_));
  library.impl("fill_.Tensor", static_cast<at::Tensor& (*)(at::Tensor&, const at::Tensor&)>(at::native::fill_nested_));
  library.impl("squeeze.dim", static_cast<at::Tensor (*)(const at::Tensor&, int64_t)>(at::native::squeeze_dim_nested));
  library.impl("squeeze.dims",
               static_cast<at::Tensor (*)(const at::Tensor&, at::IntArrayRef)>(at::native::squeeze_dim_nested));
}
