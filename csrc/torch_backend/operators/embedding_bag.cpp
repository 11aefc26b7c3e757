// Bags of rows of an embedding table, summed, averaged or maximised, with their gradients; rows clipped to a norm.
#include <ATen/OpMathType.h>
#include <ATen/native/EmbeddingBag.h>
#include <ATen/ops/_embedding_bag_dense_backward.h>
#include <ATen/ops/_embedding_bag_sparse_backward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/row_sums.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

using at::native::EmbeddingBagMode;
using Bags = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

bool is_given(const std::optional<at::Tensor>& tensor) { return tensor.has_value() && tensor->defined(); }

void check_index_dtype(const char* name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.scalar_type() == c10::kLong || tensor.scalar_type() == c10::kInt, "Expected tensor for argument '",
              name, "' to have one of the following scalar types: Long, Int; but got ", tensor.scalar_type(),
              " instead (while checking arguments for embedding_bag)");
}

Bags embedding_bag(const at::Tensor& weight, const at::Tensor& given_indices, const at::Tensor& given_offsets, bool,
                   int64_t mode, bool, const std::optional<at::Tensor>& item_weights, bool include_last_offset,
                   int64_t padding_index) {
  const OperatorScope scope("embedding_bag");
  static const KernelId kernel("reduce_bags");
  check_index_dtype("indices", given_indices);
  check_index_dtype("offsets", given_offsets);
  TORCH_CHECK(given_indices.dim() == 1, "input has to be a 1D Tensor, but got Tensor of dimension ",
              given_indices.dim());
  TORCH_CHECK(given_offsets.dim() == 1, "offsets has to be a 1D Tensor, but got Tensor of dimension ",
              given_offsets.dim());
  TORCH_CHECK(weight.dim() == 2, "weight has to be a 2D Tensor, but got Tensor of dimension ", weight.dim());
  check_implemented(c10::isFloatingType(weight.scalar_type()), "embedding_bag", weight.scalar_type());
  check_same_device("embedding_bag", weight.device(), given_indices);
  check_same_device("embedding_bag", weight.device(), given_offsets);
  const c10::ScalarType index_dtype = c10::promoteTypes(given_indices.scalar_type(), given_offsets.scalar_type());
  const at::Tensor indices = given_indices.to(index_dtype).contiguous();
  const at::Tensor offsets = given_offsets.to(index_dtype).contiguous();
  const int64_t items = indices.size(0), length = weight.size(1);
  TORCH_CHECK(!include_last_offset || offsets.size(0) >= 1,
              "include_last_offset: number of offset should be at least 1");
  const int64_t bags = offsets.size(0) - (include_last_offset ? 1 : 0);
  at::Tensor factors;
  if (is_given(item_weights)) {
    TORCH_CHECK(mode == EmbeddingBagMode::SUM,
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
                "(got mode='",
                mode == EmbeddingBagMode::MEAN ? "mean" : "max", "'). Please open a feature request on GitHub.");
    TORCH_CHECK(item_weights->scalar_type() == weight.scalar_type(),
                "expected weight and per_sample_weights of one type, but got ", weight.scalar_type(), " and ",
                item_weights->scalar_type());
    TORCH_CHECK(item_weights->dim() == 1 && item_weights->numel() == items,
                "expected per_sample_weights to be 1D with as many elements as indices, but got ",
                item_weights->sizes(), " and ", indices.sizes());
    factors = item_weights->contiguous();
  }
  const bool is_maximum = mode == EmbeddingBagMode::MAX;
  const at::Tensor out = empty_device({bags, length}, weight.scalar_type(), weight.device());
  const at::Tensor bag_sizes = empty_device(offsets.sizes(), index_dtype, weight.device());
  const at::Tensor places =
      empty_device(is_maximum ? c10::IntArrayRef{bags, length} : c10::IntArrayRef{0}, index_dtype, weight.device());
  const at::Tensor bag_of = empty_device({items}, index_dtype, weight.device());
  // What lies behind the last bag is in none.
  if (include_last_offset || out.numel() == 0) bag_of.fill_(-1);
  if (include_last_offset || out.numel() == 0) bag_sizes.zero_();
  if (out.numel() == 0) return {out, bag_of, bag_sizes, places};
  const at::Tensor table = length == 1 || weight.stride(1) == 1 ? weight : weight.contiguous();
  // sum, mean, and a maximum that knows where it was found: MODES of kernels/triton/bags.py.
  const at::Tensor best = is_maximum ? places : at::Tensor();
  const int64_t reduction = is_maximum ? 5 : mode;
  launch_kernel(kernel, {out, table, indices, factors, offsets, bag_sizes, best, bag_of},
                {reduction, bags, bags, offsets.size(0), items, table.size(0), table.stride(0), length},
                {0.0, padding_index});
  return {out, bag_of, bag_sizes, places};
}

// The gradient of a table of which row indices[i] was taken, with factor item_weights[i], into row bag_of[i].
at::Tensor embedding_bag_dense_backward(const at::Tensor& grad, const at::Tensor& given_indices,
                                        const at::Tensor& bag_of, const at::Tensor& bag_sizes, const at::Tensor& places,
                                        int64_t rows, bool scale_grad_by_freq, int64_t mode,
                                        const std::optional<at::Tensor>& item_weights, int64_t padding_index) {
  const OperatorScope scope("_embedding_bag_dense_backward");
  check_implemented(c10::isFloatingType(grad.scalar_type()), "embedding_bag_backward", grad.scalar_type());
  const int64_t bags = grad.size(0), length = grad.size(1);
  if (mode == EmbeddingBagMode::MAX) {
    const c10::ScalarType wide = at::toOpMathType(grad.scalar_type());
    const at::Tensor taken = grad.mul(bag_sizes.narrow(0, 0, bags).gt(0).unsqueeze(1));
    const at::Tensor result = empty_device({rows, length}, wide, grad.device()).zero_();
    return result.scatter_add_(0, places.to(c10::kLong), taken.to(wide)).to(grad.scalar_type());
  }
  const at::Tensor indices = given_indices.contiguous();
  at::Tensor source = grad;
  if (mode == EmbeddingBagMode::MEAN)
    source = grad.div(bag_sizes.narrow(0, 0, bags).clamp_min(1).to(grad.scalar_type()).unsqueeze(1));
  RowSums sums{.rows = rows, .skipped = padding_index, .source_rows = bag_of};
  if (is_given(item_weights)) sums.factors = *item_weights;
  if (scale_grad_by_freq && indices.numel() > 0) {
    const at::Tensor share = frequency_shares(indices, rows);
    sums.factors = sums.factors.defined() ? sums.factors.mul(share) : share;
  }
  return row_sums(source, indices, sums);
}

at::Tensor embedding_bag_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offsets,
                                  const at::Tensor& bag_of, const at::Tensor& bag_sizes, const at::Tensor& places,
                                  int64_t rows, bool scale_grad_by_freq, int64_t mode, bool sparse,
                                  const std::optional<at::Tensor>& item_weights, int64_t padding_index) {
  check_index_dtype("indices", indices);
  check_index_dtype("offsets", offsets);
  if (sparse) {
    return at::_embedding_bag_sparse_backward(grad, indices, offsets, bag_of, bag_sizes, rows, scale_grad_by_freq, mode,
                                              item_weights, padding_index);
  }
  return at::_embedding_bag_dense_backward(grad, indices, bag_of, bag_sizes, places, rows, scale_grad_by_freq, mode,
                                           item_weights, padding_index);
}

at::Tensor item_weights_backward(const at::Tensor& grad, const at::Tensor& weight, const at::Tensor& given_indices,
                                 const at::Tensor&, const at::Tensor& bag_of, int64_t mode, int64_t padding_index) {
  const OperatorScope scope("_embedding_bag_per_sample_weights_backward");
  static const KernelId kernel("bag_weight_gradient");
  TORCH_CHECK(mode == EmbeddingBagMode::SUM,
              "embedding_bag_backward: per_sample_weights only supported for mode='sum'");
  const at::Tensor out = empty_device(given_indices.sizes(), grad.scalar_type(), grad.device());
  if (out.numel() == 0) return out;
  const at::Tensor g = grad.contiguous(), table = weight.contiguous();
  const at::Tensor indices = given_indices.contiguous(), bag = bag_of.contiguous();
  launch_kernel(kernel, {out, g, table, indices, bag},
                {out.numel(), table.size(0), g.stride(0), table.stride(0), table.size(1)}, {padding_index});
  return out;
}

// Equal indices write equal rows.
at::Tensor& embedding_renorm_(at::Tensor& self, const at::Tensor& indices, double max_norm, double norm_type) {
  const OperatorScope scope("embedding_renorm_");
  TORCH_CHECK(self.dim() == 2, "embedding_renorm_: expected a 2-D weight, but got ", self.sizes());
  check_index_dtype("indices", indices);
  if (indices.numel() == 0) return self;
  const at::Tensor index = indices.reshape({-1}).to(c10::kLong);
  const at::Tensor rows = self.index_select(0, index);
  return self.index_copy_(0, index, rows.renorm(norm_type, 0, max_norm));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_embedding_bag", mtia::torch_backend::embedding_bag);
  library.impl("_embedding_bag_forward_only", mtia::torch_backend::embedding_bag);
  library.impl("_embedding_bag_backward", mtia::torch_backend::embedding_bag_backward);
  library.impl("_embedding_bag_dense_backward", mtia::torch_backend::embedding_bag_dense_backward);
  library.impl("_embedding_bag_per_sample_weights_backward", item_weights_backward);
  library.impl("embedding_renorm_", mtia::torch_backend::embedding_renorm_);
}
