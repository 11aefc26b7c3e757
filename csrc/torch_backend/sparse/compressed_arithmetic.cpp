// Sums and products of sparse matrices of compressed rows and columns, by way of coordinates.
#include <ATen/SparseCsrTensorUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/_sparse_sparse_matmul.h>
#include <ATen/ops/add.h>
#include <ATen/ops/add_native.h>
#include <ATen/ops/addmm_native.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/fill_native.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/mm_native.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/mul_native.h>
#include <ATen/ops/resize_as_sparse_native.h>
#include <ATen/ops/sum_native.h>
#include <torch/library.h>

#include <array>
#include <tuple>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/same_device.h"
#include "torch_backend/sparse/products.h"

namespace mtia::torch_backend {
namespace {

bool is_compressed(const at::Tensor& tensor) { return at::sparse_csr::is_sparse_compressed(tensor); }

at::Tensor& write_compressed(at::Tensor& out, const at::Tensor& coordinates) {
  TORCH_CHECK_NOT_IMPLEMENTED(out.layout() == c10::kSparseCsr || out.layout() == c10::kSparseCsc,
                              "mtia_sim writes results of sparse matrices as CSR, CSC or dense, got ", out.layout());
  const at::Tensor sum = coordinates.coalesce();
  const at::Tensor result = out.layout() == c10::kSparseCsr ? sum.to_sparse_csr() : sum.to_sparse_csc();
  at::native::resize_as_sparse_compressed_(out, result);
  at::native::copy_sparse_compressed_(out, result.to(out.scalar_type()));
  return out;
}

at::Tensor& compressed_add_out(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha,
                               at::Tensor& out) {
  check_same_device("add", self.device(), other);
  TORCH_CHECK(self.sizes().equals(other.sizes()), "add: Expected input tensors to have the same shape, but got ",
              self.sizes(), " and ", other.sizes());
  if (!is_compressed(self)) return write_output(out, at::add(self, other.to_sparse(), alpha).to(out.scalar_type()));
  if (!is_compressed(other)) {
    const at::Tensor dense = other.layout() == c10::kStrided ? other : other.to_dense();
    return write_output(out, at::add(dense.mul(alpha), self.to_sparse()).to(out.scalar_type()));
  }
  return write_compressed(out, at::add(self.to_sparse(), other.to_sparse(), alpha));
}

// By a number, a dense tensor or another sparse one.
at::Tensor& compressed_mul_out(const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  const bool is_first = is_compressed(self) && self.dim() != 0;
  const at::Tensor& sparse = is_first ? self : other;
  const at::Tensor& factor = is_first ? other : self;
  check_same_device("mul", sparse.device(), factor);
  if (factor.dim() == 0) {
    if (!out.is_same(sparse)) at::native::resize_as_sparse_compressed_(out, sparse);
    if (!out.is_same(sparse)) at::native::copy_sparse_compressed_(out, sparse);
    out.values().mul_(factor);
    return out;
  }
  const at::Tensor product = at::mul(sparse.to_sparse(), is_compressed(factor) ? factor.to_sparse() : factor);
  return out.layout() == c10::kStrided ? write_output(out, product.to_dense()) : write_compressed(out, product);
}

// The matrix of a product as rows and columns of its elements, blocks taken apart.
SparseMatrix parts_of(const at::Tensor& sparse, const at::Tensor& coordinates) {
  const at::Tensor places = coordinates._indices();
  return {places[0], places[1], coordinates._values(), sparse.sizes()};
}

at::Tensor& addmm_sparse_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2,
                             const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  at::Tensor sum = at::_sparse_sparse_matmul(mat1.to_sparse(), mat2.to_sparse()).mul(alpha);
  if (out.layout() == c10::kStrided) {
    sum = sum.to_dense();
    return write_output(out, beta.equal(0) ? sum : sum.add(is_compressed(self) ? self.to_dense() : self, beta));
  }
  if (!beta.equal(0) && is_compressed(self) && self._nnz() != 0) sum = at::add(sum, self.to_sparse(), beta);
  return write_compressed(out, sum);
}

at::Tensor& compressed_addmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2,
                                 const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  check_same_device("addmm", mat1.device(), mat2);
  if (is_compressed(mat1) && is_compressed(mat2)) return addmm_sparse_out(self, mat1, mat2, beta, alpha, out);
  const bool is_first = is_compressed(mat1);
  const at::Tensor& sparse = is_first ? mat1 : mat2;
  const at::Tensor& dense = is_first ? mat2 : mat1;
  TORCH_CHECK_NOT_IMPLEMENTED(
      is_compressed(sparse) && dense.layout() == c10::kStrided && self.layout() == c10::kStrided,
      "addmm of sparse matrices: mtia_sim has dense + sparse @ dense, dense + dense @ sparse ",
      "and sparse @ sparse, got ", self.layout(), " + ", mat1.layout(), " @ ", mat2.layout());
  const SparseMatrix parts = parts_of(sparse, sparse.to_sparse());
  if (is_first) return sparse_product(self, parts, dense, beta, alpha, out);
  // All of it the other way round.
  const std::array<int64_t, 2> sizes{sparse.size(1), sparse.size(0)};
  at::Tensor turned = empty_device({0}, dense.scalar_type(), dense.device());
  const at::Tensor addend = self.dim() == 2 ? self.t() : self.unsqueeze(-1);
  sparse_product(addend, {parts.columns, parts.rows, parts.values, sizes}, dense.t(), beta, alpha, turned);
  return write_output(out, turned.t());
}

at::Tensor& addmv_out(const at::Tensor& self, const at::Tensor& mat, const at::Tensor& vec, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  at::Tensor column = empty_device({0}, vec.scalar_type(), vec.device());
  const at::Tensor addend = self.dim() == 1 ? self.unsqueeze(1) : self;
  compressed_addmm_out(addend, mat, vec.unsqueeze(1), beta, alpha, column);
  return write_output(out, column.squeeze(1));
}

// Sums along rows, columns or both stay matrices of compressed rows.
at::Tensor sum_of_dims(const at::Tensor& self, c10::IntArrayRef dims, bool keepdim,
                       std::optional<c10::ScalarType> dtype) {
  TORCH_CHECK(keepdim, "reduction operations on CSR tensors with keepdim=False is unsupported");
  TORCH_CHECK(self.layout() == c10::kSparseCsr && self.dim() == 2,
              "sum of dimensions: expected a matrix of sparse csr layout, got ", self.layout());
  const bool counts = c10::isIntegralType(self.scalar_type(), /*includeBool=*/true);
  const c10::ScalarType wide = dtype.value_or(counts ? c10::kLong : self.scalar_type());
  const at::Tensor elements = self.to_sparse().to(wide);
  at::Tensor places = elements._indices().clone();
  c10::SmallVector<int64_t, 2> sizes(self.sizes().begin(), self.sizes().end());
  for (const int64_t dim : dims) {
    places.select(0, dim < 0 ? dim + 2 : dim).zero_();
    sizes[static_cast<size_t>(dim < 0 ? dim + 2 : dim)] = 1;
  }
  return at::_sparse_coo_tensor_unsafe(places, elements._values(), sizes, elements.options())
      .coalesce()
      .to_sparse_csr();
}

std::tuple<at::Tensor&, at::Tensor&> triangular_solve_out(const at::Tensor& self, const at::Tensor& matrix, bool upper,
                                                          bool transpose, bool unitriangular, at::Tensor& x,
                                                          at::Tensor& copy) {
  check_same_device("triangular_solve", self.device(), matrix);
  const at::Tensor dense = matrix.to_dense();
  const at::Tensor solution = at::linalg_solve_triangular(transpose ? dense.mT() : dense, self, upper != transpose,
                                                          /*left=*/true, unitriangular);
  write_output(x, solution);
  return {x, copy};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("add.Tensor", TORCH_FN(at::native::add_sparse_csr));
  library.impl("add_.Tensor", TORCH_FN(at::native::add_sparse_csr_));
  library.impl("add.out", compressed_add_out);
  library.impl("mul.Tensor", TORCH_FN(at::native::mul_sparse_csr));
  library.impl("mul_.Tensor", TORCH_FN(at::native::mul_sparse_csr_));
  library.impl("mul.out", compressed_mul_out);
  library.impl("mul.Scalar", TORCH_FN(at::native::mul_scalar_sparse_csr));
  library.impl("mul_.Scalar", TORCH_FN(at::native::mul__scalar_sparse_csr));
  library.impl("addmm", TORCH_FN(at::native::addmm_sparse_compressed_dense));
  library.impl("addmm.out", compressed_addmm_out);
  library.impl("addmv.out", addmv_out);
  library.impl("mm", TORCH_FN(at::native::_sparse_csr_mm));
  library.impl("mm.out", TORCH_FN(at::native::_sparse_csr_mm_out));
  library.impl("sum", TORCH_FN(at::native::sum_csr));
  library.impl("sum.dim_IntList", TORCH_FN(at::native::sum_sparse_compressed));
  library.impl("_sparse_csr_sum.dim_dtype", sum_of_dims);
  library.impl("fill_.Scalar",
               static_cast<at::Tensor& (*)(at::Tensor&, const at::Scalar&)>(at::native::fill_sparse_csr_));
  library.impl("triangular_solve.X", triangular_solve_out);
}
