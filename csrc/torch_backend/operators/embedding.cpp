// Rows of an embedding table, and the table's gradient.
#include <torch/library.h>

#include "kernels/cpp/row_sums.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"

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
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("row_sums");
  const OperatorScope scope("embedding_dense_backward");
  TORCH_CHECK(indices.scalar_type() == c10::kLong || indices.scalar_type() == c10::kInt,
              "embedding: indices must be int32 or int64, got ", indices.scalar_type());
  const int64_t length = grad_output.size(-1);
  const at::Tensor grad_weight = empty_device({rows, length}, grad_output.scalar_type(), grad_output.device());
  if (grad_weight.numel() == 0) return grad_weight;
  if (indices.numel() == 0) return grad_weight.fill_(0);
  const at::Tensor flat = indices.contiguous().view({-1});
  at::Tensor grad = grad_output.reshape({flat.numel(), length});
  if (scale_grad_by_freq) {
    const at::Tensor counts = grad.new_zeros({rows}).index_add_(0, flat, grad.new_ones({flat.numel()}));
    grad = grad.div(counts.index_select(0, flat).unsqueeze(1));
  }
  if (length != 1 && grad.stride(1) != 1) grad = grad.contiguous();
  launch_kernel(check, {flat}, {flat.numel(), rows}, {padding_index});
  const auto address = [](const at::Tensor& tensor) { return reinterpret_cast<uint64_t>(tensor.const_data_ptr()); };
  kernels::RowSumsArguments arguments;
  arguments.table = address(grad_weight);
  arguments.source = address(grad);
  arguments.indices = address(flat);
  arguments.rows = rows;
  arguments.count = flat.numel();
  arguments.length = length;
  arguments.source_row = grad.stride(0);
  arguments.skipped = padding_index;
  arguments.dtype = chip_dtype(grad.scalar_type()).dtype;
  arguments.index_dtype = chip_dtype(flat.scalar_type()).dtype;
  launch_cpp_kernel(kernel, grad.device().index(), arguments, {grad_weight, grad, flat});
  return grad_weight;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("embedding", mtia::torch_backend::embedding);
  library.impl("embedding_dense_backward", mtia::torch_backend::embedding_dense_backward);
}
