// Launches of the C++ kernel row_sums.
#include "torch_backend/operators/row_sums.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include "kernels/cpp/row_sums.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
at::Tensor row_sums(const at::Tensor& given_source, const at::Tensor& given_indices, const RowSums& sums) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("row_sums");
  const int64_t length = given_source.size(1);
  const c10::ScalarType dtype = given_source.scalar_type();
  const at::Tensor table = empty_device({sums.rows, length}, dtype, given_source.device());
  if (table.numel() == 0) return table;
  const at::Tensor indices = given_indices.contiguous();
  if (indices.numel() == 0) return table.zero_();
  const at::Tensor source = length == 1 || given_source.stride(1) == 1 ? given_source : given_source.contiguous();
  const at::Tensor source_rows =
      sums.source_rows.defined() ? sums.source_rows.to(indices.scalar_type()).contiguous() : at::Tensor();
  const at::Tensor factors = sums.factors.defined()
                                 ? sums.factors.to(dtype == c10::kDouble ? c10::kDouble : c10::kFloat).contiguous()
                                 : at::Tensor();
  kernels::RowSumsArguments arguments;
  arguments.table = address_of(table);
  arguments.source = address_to_read(source);
  arguments.indices = address_to_read(indices);
  arguments.rows = sums.rows;
  arguments.count = indices.numel();
  arguments.length = length;
  arguments.source_row = source.stride(0);
  arguments.skipped = sums.skipped;
  arguments.source_rows = address_to_read(source_rows);
  arguments.source_count = source.size(0);
  arguments.factors = address_to_read(factors);
  arguments.dtype = chip_dtype(dtype).dtype;
  arguments.index_dtype = chip_dtype(indices.scalar_type()).dtype;
  launch_cpp_kernel(kernel, source.device().index(), arguments, {table, source, indices, source_rows, factors});
  return table;
}

at::Tensor frequency_shares(const at::Tensor& indices, int64_t rows) {
  const at::TensorOptions options = indices.options().dtype(c10::kFloat);
  const at::Tensor counts = at::zeros({rows}, options).index_add_(0, indices, at::ones({indices.numel()}, options));
  return counts.index_select(0, indices).reciprocal();
}

}  // namespace mtia::torch_backend
