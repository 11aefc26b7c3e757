// scaled_dot_product_attention: flash kernels, so that no matrix of queries times keys ever lies in DRAM.
#include <ATen/SDPBackend.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "torch_backend/generator.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

bool is_flash_dtype(c10::ScalarType dtype) {
  return dtype == c10::kFloat || dtype == c10::kBFloat16 || dtype == c10::kHalf;
}

// The flash kernels take every call but: other dtypes, ragged or fewer dimensions, batches or heads that are to be
// broadcast (one key head is not), and a mask that wants a gradient.
int64_t choose_backend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                       const std::optional<at::Tensor>& mask, double, bool is_causal, std::optional<double>,
                       bool enable_gqa) {
  if (query.is_nested() || key.is_nested() || value.is_nested()) return static_cast<int64_t>(at::SDPBackend::math);
  // Sizes may be symbols: torch.compile with dynamic shapes asks too.
  const bool shapes = query.dim() == 4 && key.dim() == 4 && value.dim() == 4 && query.sym_numel() != 0 &&
                      key.sym_numel() != 0 && value.sym_numel() != 0;
  const bool dtypes = is_flash_dtype(query.scalar_type()) && key.scalar_type() == query.scalar_type() &&
                      value.scalar_type() == query.scalar_type();
  // torch's formula refuses a mask beside is_causal.
  const bool has_mask = mask.has_value() && mask->defined();
  const bool own_formula = has_mask && (mask->requires_grad() || is_causal);
  const bool flash = shapes && dtypes && !own_formula && key.sym_size(1) == value.sym_size(1) &&
                     (enable_gqa ? query.sym_size(1) % key.sym_size(1) == 0
                                 : query.sym_size(1) == key.sym_size(1) || key.sym_size(1) == 1) &&
                     key.sym_size(0) == query.sym_size(0) && value.sym_size(0) == query.sym_size(0);
  return static_cast<int64_t>(flash ? at::SDPBackend::overrideable : at::SDPBackend::math);
}

struct Shape {
  int64_t batch, heads, kv_heads, q_length, kv_length, head_size, value_size;
};

Shape shape_of(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  const Shape shape{query.size(0), query.size(1), key.size(1),  query.size(2),
                    key.size(2),   query.size(3), value.size(3)};
  TORCH_CHECK(
      key.size(0) == shape.batch && value.size(0) == shape.batch && value.size(1) == shape.kv_heads &&
          value.size(2) == shape.kv_length && key.size(3) == shape.head_size && shape.heads % shape.kv_heads == 0,
      "scaled_dot_product_attention: query ", query.sizes(), ", key ", key.sizes(), " and value ", value.sizes(),
      " do not fit; expected [batch, heads, length, size] with the batch, key length and head size in common");
  return shape;
}

void add_shape(KernelCall& call, const Shape& shape, bool causal, bool dropout) {
  call.sizes({shape.batch, shape.heads, shape.kv_heads, shape.q_length, shape.kv_length, shape.head_size,
              shape.value_size, causal, dropout});
}

// A mask as [batch, heads, queries, keys] by strides of 0; undefined where there is none.
at::Tensor expanded_mask(const std::optional<at::Tensor>& mask, const Shape& shape) {
  if (!mask.has_value() || !mask->defined()) return {};
  return mask->expand({shape.batch, shape.heads, shape.q_length, shape.kv_length});
}

void add_strides(KernelCall& call, const at::Tensor& tensor) {
  if (tensor.defined()) {
    call.sizes(tensor.strides());
  } else {
    call.sizes({0, 0, 0, 0});
  }
}

double scale_of(std::optional<double> scale, const Shape& shape) {
  return scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.head_size)));
}

// [batch, heads, length, value_size], dense, its dimensions in the order that the query's have in memory. That is what
// torch's meta function of the operator promises, and what torch.compile generates code for.
at::Tensor empty_in_layout_of(const at::Tensor& query, int64_t value_size) {
  if (query.size(3) == value_size) return at::empty_like(query);
  std::array<int64_t, 4> order{0, 1, 2, 3};
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t one, int64_t other) { return query.stride(one) > query.stride(other); });
  std::array<int64_t, 4> sizes{query.size(0), query.size(1), query.size(2), value_size}, strides{};
  int64_t stride = 1;
  for (auto dim = order.rbegin(); dim != order.rend(); ++dim) {
    strides[static_cast<size_t>(*dim)] = stride;
    stride *= sizes[static_cast<size_t>(*dim)];
  }
  return empty_device_strided(sizes, strides, query.scalar_type(), query.device());
}

using Forward = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt, at::Tensor,
                           at::Tensor, at::Tensor>;

Forward attention_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const std::optional<at::Tensor>& attn_bias, double dropout_p, bool is_causal, bool,
                          std::optional<double> scale) {
  static const KernelId kernel("flash_attention_forward");
  const Shape shape = shape_of(query, key, value);
  TORCH_CHECK(dropout_p >= 0 && dropout_p <= 1, "dropout probability has to be between 0 and 1, but got ", dropout_p);
  // Without dropout CPU torch takes both together.
  TORCH_CHECK(dropout_p == 0 || !is_causal || !attn_bias.has_value() || !attn_bias->defined(),
              "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True");
  const at::Tensor out = empty_in_layout_of(query, shape.value_size);
  const at::Tensor logsumexp = empty_device({shape.batch, shape.heads, shape.q_length}, c10::kFloat, query.device());
  const at::Tensor mask = expanded_mask(attn_bias, shape);
  PhiloxState philox;
  if (dropout_p > 0) {
    const int64_t draws = shape.batch * shape.heads * shape.q_length * shape.kv_length;
    philox = reserve_philox(std::nullopt, query.device().index(), static_cast<uint64_t>((draws + 3) / 4 * 4));
  }
  // The kernel takes the scores' order from that of the products, so its scale is positive: one of 0 is one so small
  // that nothing is left of any score but a mask.
  const double factor = scale_of(scale, shape);
  const at::Tensor signed_query = factor < 0 ? query.neg() : query;
  KernelCall call(kernel, query.device().index());
  call.tensor(out).tensor(logsumexp).tensor(signed_query).tensor(key).tensor(value).tensor(mask);
  add_shape(call, shape, is_causal, dropout_p > 0);
  for (const at::Tensor& tensor : {signed_query, key, value, out, mask}) add_strides(call, tensor);
  call.scalar(std::max(std::abs(factor), 1e-30)).scalar(dropout_p).scalar(philox.seed).scalar(philox.offset);
  call.launch();
  // Seed and offset stay on the host: only the launch of the backward reads them. Without dropout nothing does, and
  // they lie where torch's meta function says.
  const auto number = [&](uint64_t value) {
    return dropout_p > 0 ? at::scalar_tensor(static_cast<int64_t>(value), c10::kLong)
                         : empty_device({}, c10::kLong, query.device());
  };
  return {out,
          logsumexp,
          at::Tensor(),
          at::Tensor(),
          shape.q_length,
          shape.kv_length,
          number(philox.seed),
          number(philox.offset),
          at::Tensor()};
}

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

Gradients attention_backward(const at::Tensor& grad_out, const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, const at::Tensor& attn_bias, std::array<bool, 4>,
                             const at::Tensor& out, const at::Tensor& logsumexp, const at::Tensor&, const at::Tensor&,
                             c10::SymInt, c10::SymInt, double dropout_p, bool is_causal, const at::Tensor& philox_seed,
                             const at::Tensor& philox_offset, std::optional<double> scale) {
  static const KernelId kernel("flash_attention_backward");
  const Shape shape = shape_of(query, key, value);
  const at::Tensor grad_query = at::empty_like(query);
  const at::Tensor grad_key = at::empty_like(key);
  const at::Tensor grad_value = at::empty_like(value);
  const at::Tensor mask = expanded_mask(attn_bias, shape);
  KernelCall call(kernel, query.device().index());
  call.tensor(grad_query).tensor(grad_key).tensor(grad_value).tensor(grad_out).tensor(out).tensor(logsumexp);
  call.tensor(query).tensor(key).tensor(value).tensor(mask);
  add_shape(call, shape, is_causal, dropout_p > 0);
  for (const at::Tensor& tensor : {grad_query, grad_key, grad_value, grad_out, out, query, key, value, mask})
    add_strides(call, tensor);
  call.scalar(scale_of(scale, shape)).scalar(dropout_p);
  for (const at::Tensor* number : {&philox_seed, &philox_offset})
    call.scalar(dropout_p > 0 ? number->item().toLong() : int64_t{0});
  call.launch();
  return {grad_query, grad_key, grad_value, at::Tensor()};
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &mtia::torch_backend::choose_backend)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_fused_sdp_choice", choose_backend);
  library.impl("_scaled_dot_product_fused_attention_overrideable", attention_forward);
  library.impl("_scaled_dot_product_fused_attention_overrideable_backward", attention_backward);
}
