// Products of sparse tensors (COO) with matrices, batches of matrices and each other.
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <torch/library.h>

#include <array>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/same_device.h"
#include "torch_backend/sparse/coordinates.h"
#include "torch_backend/sparse/products.h"

namespace mtia::torch_backend {
namespace {

void check_matrix(const char* name, const at::Tensor& sparse) {
  TORCH_CHECK(sparse.sparse_dim() == 2 && sparse.dense_dim() == 0, name,
              ": expected a matrix of two sparse dimensions, got ", sparse.sparse_dim(), " and ", sparse.dense_dim(),
              " dense ones");
}

at::Tensor& addmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(mat1.is_sparse() && !mat2.is_sparse() && !self.is_sparse(),
              "addmm of a sparse matrix: mtia_sim has dense + sparse @ dense; make the other matrices dense");
  check_matrix("addmm", mat1);
  const at::Tensor indices = mat1._indices();
  return sparse_product(self, {indices[0], indices[1], mat1._values(), mat1.sizes()}, mat2, beta, alpha, out);
}

at::Tensor addmm(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                 const at::Scalar& alpha) {
  at::Tensor out = empty_device({0}, mat2.scalar_type(), mat2.device());
  return addmm_out(self, mat1, mat2, beta, alpha, out);
}

at::Tensor& addmm_(at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                   const at::Scalar& alpha) {
  return addmm_out(self, mat1, mat2, beta, alpha, self);
}

// The matrices of a batch are blocks along the diagonal of one matrix.
at::Tensor& bmm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  TORCH_CHECK(!mat2.is_sparse(), "bmm_sparse: Tensor 'mat2' must be dense");
  TORCH_CHECK(self.is_sparse() && self.dense_dim() == 0, "bmm_sparse: Tensor 'self' must have sparse dimensions alone");
  TORCH_CHECK(self.dim() == 3 && mat2.dim() == 3, "bmm_sparse: expected tensors of three dimensions, got ", self.dim(),
              " and ", mat2.dim());
  TORCH_CHECK(self.size(0) == mat2.size(0) && self.size(2) == mat2.size(1), "bmm_sparse: cannot multiply ",
              self.sizes(), " by ", mat2.sizes());
  check_same_device("bmm", self.device(), mat2);
  const at::Tensor indices = self._indices();
  const int64_t batch = self.size(0), rows = self.size(1), columns = self.size(2);
  const std::array<int64_t, 2> sizes{batch * rows, batch * columns};
  at::Tensor product = empty_device({0}, mat2.scalar_type(), mat2.device());
  sparse_product({}, {indices[1].add(indices[0], rows), indices[2].add(indices[0], columns), self._values(), sizes},
                 mat2.reshape({batch * columns, mat2.size(2)}), 0, 1, product);
  return write_output(out, product.view({batch, rows, mat2.size(2)}));
}

at::Tensor bmm(const at::Tensor& self, const at::Tensor& mat2) {
  at::Tensor out = empty_device({0}, mat2.scalar_type(), mat2.device());
  return bmm_out(self, mat2, out);
}

// Each element (i, k) of the first matrix meets the elements of row k of the second.
at::Tensor sparse_by_sparse(const at::Tensor& given_left, const at::Tensor& given_right) {
  TORCH_CHECK(given_left.is_sparse() && given_right.is_sparse(),
              "sparse_sparse_matmul: expected two sparse matrices of coordinates");
  check_matrix("sparse_sparse_matmul", given_left);
  check_matrix("sparse_sparse_matmul", given_right);
  TORCH_CHECK(given_left.size(1) == given_right.size(0), "mat1 and mat2 shapes cannot be multiplied (",
              given_left.size(0), "x", given_left.size(1), " and ", given_right.size(0), "x", given_right.size(1), ")");
  TORCH_CHECK(given_left.scalar_type() == given_right.scalar_type(), "mat1 dtype ", given_left.scalar_type(),
              " does not match mat2 dtype ", given_right.scalar_type());
  check_same_device("sparse_sparse_matmul", given_left.device(), given_right);
  const at::Tensor left = given_left.coalesce(), right = given_right.coalesce();
  const at::Tensor of_left = left._indices(), of_right = right._indices();
  const at::Tensor rows = of_right[0].contiguous(), wanted = of_left[1].contiguous();
  const at::Tensor begins = at::searchsorted(rows, wanted);
  const at::Tensor ends = at::searchsorted(rows, wanted, /*out_int32=*/false, /*right=*/true);
  const Runs runs = runs_of(begins, ends.sub(begins));
  const at::Tensor terms =
      left._values().index_select(0, runs.owners).mul(right._values().index_select(0, runs.members));
  const at::Tensor places =
      at::stack({of_left[0].index_select(0, runs.owners), of_right[1].index_select(0, runs.members)});
  return at::_sparse_coo_tensor_unsafe(places, terms, {left.size(0), right.size(1)},
                                       terms.options().layout(c10::kSparse))
      .coalesce();
}

// sparse @ dense as the rows that are not empty: one sparse dimension, one dense.
struct SomeRows {
  at::Tensor numbers, rows;
};

SomeRows nonempty_rows(const char* name, const at::Tensor& sparse, const at::Tensor& dense) {
  TORCH_CHECK(sparse.is_sparse() && !dense.is_sparse(), name, ": expected sparse @ dense");
  check_matrix(name, sparse);
  const at::Tensor indices = sparse._indices();
  const auto [numbers, row, counts] = at::_unique2(indices[0], /*sorted=*/true, /*return_inverse=*/true);
  const std::array<int64_t, 2> sizes{numbers.size(0), sparse.size(1)};
  at::Tensor rows = empty_device({0}, dense.scalar_type(), dense.device());
  sparse_product({}, {row, indices[1], sparse._values(), sizes}, dense, 0, 1, rows);
  return {numbers, rows};
}

at::Tensor hspmm(const at::Tensor& mat1, const at::Tensor& mat2) {
  const SomeRows some = nonempty_rows("hspmm", mat1, mat2);
  return at::_sparse_coo_tensor_unsafe(some.numbers.unsqueeze(0), some.rows, {mat1.size(0), mat2.size(1)},
                                       some.rows.options().layout(c10::kSparse));
}

at::Tensor& hspmm_out(const at::Tensor& mat1, const at::Tensor& mat2, at::Tensor& out) {
  const at::Tensor product = hspmm(mat1, mat2);
  put_into(out, product, product._indices(), product._values(), false);
  return out;
}

// beta * self + alpha * mat1 @ mat2, all elements of its rows stored.
at::Tensor& sspaddmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                         const at::Scalar& alpha, at::Tensor& out) {
  const SomeRows some = nonempty_rows("sspaddmm", mat1, mat2);
  const std::array<int64_t, 2> sizes{mat1.size(0), mat2.size(1)};
  const int64_t count = some.rows.numel();
  const at::Tensor rows = some.numbers.unsqueeze(1).expand(some.rows.sizes()).reshape({count});
  const at::Tensor columns =
      at::arange(sizes[1], rows.options()).unsqueeze(0).expand(some.rows.sizes()).reshape({count});
  at::Tensor indices = at::stack({rows, columns});
  at::Tensor values = some.rows.reshape({count}).mul(alpha);
  if (self.sparse_dim() == 2 && self._nnz() != 0) {
    TORCH_CHECK(self.sizes() == c10::IntArrayRef(sizes), "sspaddmm: expected a matrix of ", c10::IntArrayRef(sizes),
                ", got ", self.sizes());
    indices = at::cat({self._indices(), indices}, 1);
    values = at::cat({self._values().mul(beta), values});
  }
  const at::Tensor sum = at::_sparse_coo_tensor_unsafe(indices, values, sizes, values.options().layout(c10::kSparse));
  put_into(out, sum, indices, values, false);
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("addmm", mtia::torch_backend::addmm);
  library.impl("addmm.out", addmm_out);
  library.impl("addmm_", addmm_);
  library.impl("bmm", mtia::torch_backend::bmm);
  library.impl("bmm.out", bmm_out);
  library.impl("_sparse_sparse_matmul", sparse_by_sparse);
  library.impl("hspmm", mtia::torch_backend::hspmm);
  library.impl("hspmm.out", hspmm_out);
  library.impl("sspaddmm.out", sspaddmm_out);
}
