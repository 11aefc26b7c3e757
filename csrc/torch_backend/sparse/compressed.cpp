// Sparse matrices of compressed rows and columns, and the indices between them and coordinates.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_convert_indices_from_coo_to_csr_meta.h>
#include <ATen/ops/_convert_indices_from_csr_to_coo_meta.h>
#include <ATen/ops/_nnz_native.h>
#include <ATen/ops/_to_dense_native.h>
#include <ATen/ops/_to_sparse_bsc_native.h>
#include <ATen/ops/_to_sparse_bsr_native.h>
#include <ATen/ops/_to_sparse_csc_native.h>
#include <ATen/ops/_to_sparse_csr_native.h>
#include <ATen/ops/_to_sparse_native.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ccol_indices_native.h>
#include <ATen/ops/clone_native.h>
#include <ATen/ops/col_indices_native.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/crow_indices_native.h>
#include <ATen/ops/dense_dim_native.h>
#include <ATen/ops/empty_like_native.h>
#include <ATen/ops/empty_native.h>
#include <ATen/ops/resize_as_sparse_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/row_indices_native.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/select_native.h>
#include <ATen/ops/sparse_dim_native.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/values_native.h>
#include <ATen/ops/zero_native.h>
#include <torch/library.h>

#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// Row i begins behind all elements of smaller rows.
at::Tensor& coo_to_csr_out(const at::Tensor& rows, int64_t size, bool out_int32, at::Tensor& out) {
  WithOutputs<at::meta::structured__convert_indices_from_coo_to_csr> call(out);
  call.meta(rows, size, out_int32);
  call.output().copy_(at::searchsorted(rows, at::arange(size + 1, rows.options())));
  call.finish();
  return out;
}

at::Tensor coo_to_csr(const at::Tensor& rows, int64_t size, bool out_int32) {
  at::Tensor out = empty_device({0}, out_int32 ? c10::kInt : c10::kLong, rows.device());
  return coo_to_csr_out(rows, size, out_int32, out);
}

// The row of element k is the number of rows that end at k or before.
at::Tensor& csr_to_coo_out(const at::Tensor& begins, const at::Tensor& columns, bool out_int32, bool transpose,
                           at::Tensor& out) {
  TORCH_CHECK_NOT_IMPLEMENTED(begins.dim() == 1, "mtia_sim has no batches of sparse matrices, got compressed indices ",
                              begins.sizes(), "; convert matrix by matrix");
  WithOutputs<at::meta::structured__convert_indices_from_csr_to_coo> call(out);
  call.meta(begins, columns, out_int32, transpose);
  const at::Tensor ends = begins.narrow(0, 1, begins.size(0) - 1);
  const at::Tensor numbers = at::arange(columns.size(0), begins.options());
  const at::Tensor rows = at::searchsorted(ends, numbers, /*out_int32=*/false, /*right=*/true);
  call.output().select(0, transpose ? 1 : 0).copy_(rows);
  call.output().select(0, transpose ? 0 : 1).copy_(columns);
  call.finish();
  return out;
}

at::Tensor csr_to_coo(const at::Tensor& begins, const at::Tensor& columns, bool out_int32, bool transpose) {
  at::Tensor out = empty_device({0}, out_int32 ? c10::kInt : c10::kLong, begins.device());
  return csr_to_coo_out(begins, columns, out_int32, transpose, out);
}

// What torch asserts of compressed indices before it makes a tensor of them.
void validate(bool is_crow, const at::Tensor& begins, const at::Tensor& plain, int64_t compressed, int64_t size,
              int64_t elements) {
  const char* name = is_crow ? "crow_indices" : "ccol_indices";
  TORCH_CHECK(begins.size(-1) == compressed + 1, "expected ", name, " of ", compressed + 1, " elements, got ",
              begins.size(-1));
  const at::Tensor steps = begins.diff();
  const at::Tensor wrong[] = {begins.select(-1, 0).ne(0).any(), begins.select(-1, -1).ne(elements).any(),
                              steps.lt(0).logical_or(steps.gt(size)).any(),
                              plain.lt(0).logical_or(plain.ge(size)).any()};
  const at::Tensor found = at::stack(wrong).cpu();
  const auto is_wrong = [&](int64_t i) { return found[i].item().toBool(); };
  TORCH_CHECK(!is_wrong(0), "`", name, "[..., 0] == 0` is not satisfied.");
  TORCH_CHECK(!is_wrong(1), "`", name, "[..., -1] == nnz` is not satisfied.");
  TORCH_CHECK(!is_wrong(2), "`0 <= ", name, "[..., 1:] - ", name, "[..., :-1] <= ", is_crow ? "ncols" : "nrows",
              "` is not satisfied.");
  TORCH_CHECK(!is_wrong(3), "`0 <= ", is_crow ? "col_indices < ncols" : "row_indices < nrows", "` is not satisfied.");
}

// Between rows and columns by way of coordinates.
at::Tensor to_csr(const at::Tensor& self, std::optional<int64_t> dense_dim) {
  if (self.layout() == c10::kSparseCsr) return at::native::sparse_compressed_to_sparse_csr(self, dense_dim);
  return self.to_sparse().to_sparse_csr(dense_dim);
}

at::Tensor to_csc(const at::Tensor& self, std::optional<int64_t> dense_dim) {
  if (self.layout() == c10::kSparseCsc) return at::native::sparse_compressed_to_sparse_csc(self, dense_dim);
  return self.to_sparse().to_sparse_csc(dense_dim);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_convert_indices_from_coo_to_csr", coo_to_csr);
  library.impl("_convert_indices_from_coo_to_csr.out", coo_to_csr_out);
  library.impl("_convert_indices_from_csr_to_coo", csr_to_coo);
  library.impl("_convert_indices_from_csr_to_coo.out", csr_to_coo_out);
  library.impl("_validate_compressed_sparse_indices", validate);

  // Dense to sparse: nonzero and operators on its result.
  using ToSparse =
      at::Tensor (*)(const at::Tensor&, std::optional<c10::Layout>, at::OptionalIntArrayRef, std::optional<int64_t>);
  using ToSparseOfDim = at::Tensor (*)(const at::Tensor&, int64_t);
  library.impl("_to_sparse", static_cast<ToSparse>(at::native::dense_to_sparse));
  library.impl("_to_sparse.sparse_dim", static_cast<ToSparseOfDim>(at::native::dense_to_sparse));
  library.impl("_to_sparse_csr", TORCH_FN(at::native::dense_to_sparse_csr));
  library.impl("_to_sparse_csc", TORCH_FN(at::native::dense_to_sparse_csc));
  library.impl("_to_sparse_bsr", TORCH_FN(at::native::dense_to_sparse_bsr));
  library.impl("_to_sparse_bsc", TORCH_FN(at::native::dense_to_sparse_bsc));
}

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("empty.memory_format", TORCH_FN(at::native::empty_sparse_compressed));
  library.impl("empty_like", TORCH_FN(at::native::empty_like_sparse_csr));
  library.impl("sparse_dim", TORCH_FN(at::native::sparse_dim_sparse_csr));
  library.impl("dense_dim", TORCH_FN(at::native::dense_dim_sparse_csr));
  library.impl("_nnz", TORCH_FN(at::native::_nnz_sparse_csr));
  library.impl("crow_indices", TORCH_FN(at::native::crow_indices_sparse_csr));
  library.impl("col_indices", TORCH_FN(at::native::col_indices_sparse_csr));
  library.impl("ccol_indices", TORCH_FN(at::native::ccol_indices_sparse_csr));
  library.impl("row_indices", TORCH_FN(at::native::row_indices_sparse_csr));
  library.impl("values", TORCH_FN(at::native::values_sparse_csr));
  library.impl("resize_", TORCH_FN(at::native::resize_sparse_csr_));
  library.impl("resize_as_sparse_", TORCH_FN(at::native::resize_as_sparse_compressed_));
  library.impl("zero_", TORCH_FN(at::native::zero_sparse_csr_));
  library.impl("clone", TORCH_FN(at::native::clone_sparse_compressed));
  library.impl("copy_", TORCH_FN(at::native::copy_sparse_compressed_));
  library.impl("select.int", TORCH_FN(at::native::select_sparse_csr));
  library.impl("_to_dense", TORCH_FN(at::native::sparse_compressed_to_dense));
  using ToSparse =
      at::Tensor (*)(const at::Tensor&, std::optional<c10::Layout>, at::OptionalIntArrayRef, std::optional<int64_t>);
  using ToSparseOfDim = at::Tensor (*)(const at::Tensor&, int64_t);
  library.impl("_to_sparse", static_cast<ToSparse>(at::native::sparse_compressed_to_sparse));
  library.impl("_to_sparse.sparse_dim", static_cast<ToSparseOfDim>(at::native::sparse_compressed_to_sparse));
  library.impl("_to_sparse_csr", to_csr);
  library.impl("_to_sparse_csc", to_csc);
}
