// Rows of an embedding table, and the table's gradient.
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/row_sums.h"

namespace mtia::torch_backend {
namespace {

at::Tensor embedding(const at::Tensor& weight, const at::Tensor& indices, int64_t, bool, bool) {
  const OperatorScope scope("embedding");
  TORCH_CHECK(weight.dim() == 2, "'weight' must be 2-D");
  TORCH_CHECK(
      indices.scalar_type() == c10::kLong || indices.scalar_type() == c10::kInt,
      "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got ",
      indices.scalar_type(), " instead");
  if (indices.dim() == 1) return weight.index_select(0, indices);
  c10::SmallVector<int64_t, 8> sizes(indices.sizes().begin(), indices.sizes().end());
  sizes.push_back(weight.size(1));
  return weight.index_select(0, indices.reshape({-1})).view(sizes);
}

at::Tensor embedding_dense_backward(const at::Tensor& grad_output, const at::Tensor& indices, int64_t rows,
                                    int64_t padding_index, bool scale_grad_by_freq) {
  static const KernelId check("check_embedding_rows");
  const OperatorScope scope("embedding_dense_backward");
  TORCH_CHECK(indices.scalar_type() == c10::kLong || indices.scalar_type() == c10::kInt,
              "embedding: indices must be int32 or int64, got ", indices.scalar_type());
  const int64_t length = grad_output.size(-1);
  if (rows * length == 0 || indices.numel() == 0)
    return empty_device({rows, length}, grad_output.scalar_type(), grad_output.device()).zero_();
  const at::Tensor flat = indices.contiguous().view({-1});
  launch_kernel(check, {flat}, {flat.numel(), rows}, {padding_index});
  RowSums sums{.rows = rows, .skipped = padding_index};
  if (scale_grad_by_freq) sums.factors = frequency_shares(flat, rows);
  return row_sums(grad_output.reshape({flat.numel(), length}), flat, sums);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("embedding", mtia::torch_backend::embedding);
  library.impl("embedding_dense_backward", mtia::torch_backend::embedding_dense_backward);
}
