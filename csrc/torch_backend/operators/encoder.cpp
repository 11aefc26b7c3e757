// What nn.MultiheadAttention and nn.TransformerEncoderLayer call in evaluation mode instead of their own lines.
#include <ATen/Tensor.h>
#include <ATen/ops/_transformer_encoder_layer_fwd_native.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logical_not.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <torch/library.h>

#include <array>
#include <cmath>
#include <limits>

namespace mtia::torch_backend {
namespace {

// What a mask of nn.MultiheadAttention says: of pairs of positions, of keys, or of both in every head.
enum class MaskKind : int64_t { pairs = 0, keys = 1, heads = 2 };

// [batch, heads, queries, keys] by broadcasting; true: left out.
at::Tensor broadcast_mask(const std::optional<at::Tensor>& mask, std::optional<int64_t> kind, int64_t batch) {
  if (!mask.has_value() || !mask->defined()) return {};
  const at::Tensor flags = mask->to(c10::kBool);  // of floats, what is to be added to the scores: 0 or -infinity
  TORCH_CHECK(kind.has_value(), "native_multi_head_attention: expected mask_type to be given with a mask");
  switch (static_cast<MaskKind>(*kind)) {
    case MaskKind::pairs:
      return flags.dim() == 2 ? flags.unsqueeze(0).unsqueeze(0) : flags;
    case MaskKind::keys:
      return flags.view({batch, 1, 1, flags.size(-1)});
    case MaskKind::heads:
      return flags;
  }
  TORCH_CHECK(false, "native_multi_head_attention: expected a mask_type of 0, 1 or 2, but got ", *kind);
}

struct Operands {
  at::Tensor query, key, value;  // [batch, heads, length, size]
};

at::Tensor split_heads(const at::Tensor& projected, int64_t heads) {
  return projected.unflatten(-1, {heads, -1}).transpose(1, 2);
}

Operands project(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                 const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t width = query.size(2);
  if (key.is_same(query) && value.is_same(query)) {
    const at::Tensor all = at::linear(query, weight, bias);
    const auto part = [&](int64_t i) { return split_heads(all.narrow(-1, i * width, width), heads); };
    return {part(0), part(1), part(2)};
  }
  const auto part = [&](const at::Tensor& from, int64_t i) {
    return split_heads(at::linear(from, weight.narrow(0, i * width, width),
                                  bias.defined() ? std::optional(bias.narrow(0, i * width, width)) : std::nullopt),
                       heads);
  };
  return {part(query, 0), part(key, 1), part(value, 2)};
}

std::tuple<at::Tensor, at::Tensor> native_multi_head_attention(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t embed_dim, int64_t num_head,
    const at::Tensor& qkv_weight, const at::Tensor& qkv_bias, const at::Tensor& proj_weight,
    const at::Tensor& proj_bias, const std::optional<at::Tensor>& mask, bool need_weights, bool average_attn_weights,
    std::optional<int64_t> mask_type) {
  for (const at::Tensor* tensor : {&query, &key, &value}) {
    TORCH_CHECK(tensor->dim() == 3, "expected 3-D query, key and value, got a ", tensor->dim(), "-D tensor");
    TORCH_CHECK(tensor->size(2) == embed_dim, "passed-in embed_dim ", embed_dim, " didn't match last dim ",
                tensor->size(2));
  }
  TORCH_CHECK(qkv_weight.dim() == 2 && qkv_weight.size(0) == 3 * embed_dim && qkv_weight.size(1) == embed_dim,
              "expected `qkv_weight` of [", 3 * embed_dim, ", ", embed_dim, "], got ", qkv_weight.sizes());
  TORCH_CHECK(embed_dim % num_head == 0, "`embed_dim` must divide evenly by `num_heads`");
  const Operands heads = project(query, key, value, num_head, qkv_weight, qkv_bias);
  const at::Tensor left_out = broadcast_mask(mask, mask_type, query.size(0));
  at::Tensor attended, weights;
  if (need_weights) {
    const double scale = 1 / std::sqrt(static_cast<double>(embed_dim / num_head));
    at::Tensor scores = at::matmul(heads.query.mul(scale), heads.key.transpose(-2, -1));
    if (left_out.defined()) scores = scores.masked_fill(left_out, -std::numeric_limits<double>::infinity());
    weights = at::softmax(scores, -1);
    attended = at::matmul(weights, heads.value);
    if (average_attn_weights) weights = weights.mean(1);
  } else {
    const std::optional<at::Tensor> taken =
        left_out.defined() ? std::optional(at::logical_not(left_out)) : std::nullopt;
    attended = at::scaled_dot_product_attention(heads.query, heads.key, heads.value, taken);
  }
  return {at::linear(attended.transpose(1, 2).flatten(-2), proj_weight, proj_bias), weights};
}

// The fused layer takes no nested tensors, which torch's encoder would leave padding out with: it keeps padded ones and
// their mask.
bool nested_tensor_from_mask_left_aligned(const at::Tensor&, const at::Tensor&) { return false; }

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_native_multi_head_attention", native_multi_head_attention);
  library.impl("_transformer_encoder_layer_fwd", TORCH_FN(at::native::transformer_encoder_layer_forward));
  library.impl("_nested_tensor_from_mask_left_aligned", nested_tensor_from_mask_left_aligned);
}
