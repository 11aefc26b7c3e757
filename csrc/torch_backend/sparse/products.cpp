// Products with sparse matrices, declared in products.h: rows by index and sums by row.
#include "torch_backend/sparse/products.h"

#include <ATen/OpMathType.h>
#include <ATen/ops/zeros.h>

#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/row_sums.h"

namespace mtia::torch_backend {

at::Tensor& sparse_product(const at::Tensor& self, const SparseMatrix& sparse, const at::Tensor& dense,
                           const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(dense.dim() == 2, "addmm: Argument #3 (dense): expected a matrix, but got ", dense.dim(), "D tensor");
  TORCH_CHECK(sparse.sizes[1] == dense.size(0), "addmm: Argument #3 (dense): Expected dim 0 size ", sparse.sizes[1],
              ", got ", dense.size(0));
  TORCH_CHECK(sparse.values.scalar_type() == dense.scalar_type(), "addmm: expected both matrices to have one dtype, ",
              "but got ", sparse.values.scalar_type(), " and ", dense.scalar_type());
  check_output("addmm", out, dense.scalar_type(), dense.device());
  const c10::ScalarType wide = at::toOpMathType(dense.scalar_type());
  at::Tensor sum;
  if (c10::isFloatingType(wide)) {
    sum = row_sums(dense.to(wide).contiguous(), sparse.rows.contiguous(),
                   {.rows = sparse.sizes[0],
                    .source_rows = sparse.columns.contiguous(),
                    .factors = sparse.values.to(wide).contiguous()});
  } else {
    const at::Tensor terms = dense.index_select(0, sparse.columns).mul(sparse.values.unsqueeze(1));
    sum = at::zeros({sparse.sizes[0], dense.size(1)}, terms.options()).index_add_(0, sparse.rows, terms);
  }
  if (!alpha.equal(1)) sum.mul_(alpha);
  if (!beta.equal(0)) sum.add_(self.expand_as(sum).to(wide), beta);
  return write_output(out, sum.to(dense.scalar_type()));
}

}  // namespace mtia::torch_backend
