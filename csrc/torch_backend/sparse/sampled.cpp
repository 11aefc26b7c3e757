// Products that keep a matrix's pattern, or reduce by it: sampled_addmm and mm with `reduce` of rows (CSR).
#include <ATen/OpMathType.h>
#include <ATen/ops/_convert_indices_from_csr_to_coo.h>
#include <ATen/ops/_sparse_csr_tensor_unsafe.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <string_view>
#include <tuple>

#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

// The row of each element that is stored.
at::Tensor rows_of(const at::Tensor& sparse) {
  return at::_convert_indices_from_csr_to_coo(sparse.crow_indices(), sparse.col_indices())[0];
}

at::Tensor with_values(const at::Tensor& sparse, const at::Tensor& values) {
  const at::TensorOptions options = values.options().layout(c10::kSparseCsr);
  return at::_sparse_csr_tensor_unsafe(sparse.crow_indices(), sparse.col_indices(), values, sparse.sizes(), options);
}

bool have_one_pattern(const at::Tensor& self, const at::Tensor& other) {
  const at::Tensor rows = self.crow_indices(), columns = self.col_indices();
  return self._nnz() == other._nnz() && (rows.is_same(other.crow_indices()) || rows.equal(other.crow_indices())) &&
         (columns.is_same(other.col_indices()) || columns.equal(other.col_indices()));
}

// The elements of a tensor that a matrix of rows stores.
at::Tensor sparse_mask(const at::Tensor& self, const at::Tensor& mask) {
  TORCH_CHECK_NOT_IMPLEMENTED(mask.layout() == c10::kSparseCsr && mask.dim() == 2,
                              "sparse_mask: mtia_sim has masks of sparse csr layout and coordinates, got ",
                              mask.layout(), "; convert it with to_sparse_csr()");
  TORCH_CHECK(self.sizes() == mask.sizes(), "sparse_mask(): the tensor has sizes ", self.sizes(), ", the mask ",
              mask.sizes());
  if (self.layout() == c10::kSparseCsr && have_one_pattern(self, mask)) return with_values(mask, self.values());
  const at::Tensor place = rows_of(mask).to(c10::kLong).mul(mask.size(1)).add(mask.col_indices());
  const at::Tensor dense = self.layout() == c10::kStrided ? self : self.to_dense();
  return with_values(mask, dense.reshape(-1).index_select(0, place));
}

void check_sampled(const at::Tensor& self, const at::Tensor& left, const at::Tensor& right) {
  TORCH_CHECK(self.layout() == c10::kSparseCsr && self.dim() == 2,
              "sampled_addmm: Expected self to be a matrix of sparse csr layout, got ", self.layout(), " of ",
              self.dim(), " dimensions");
  TORCH_CHECK(left.layout() == c10::kStrided && right.layout() == c10::kStrided,
              "sampled_addmm: Expected mat1 and mat2 to have strided layout");
  TORCH_CHECK(left.dim() == 2 && right.dim() == 2, "sampled_addmm: Expected mat1 and mat2 to be matrices, got ",
              left.dim(), "-D and ", right.dim(), "-D tensors");
  TORCH_CHECK(left.scalar_type() == right.scalar_type() && self.scalar_type() == left.scalar_type(),
              "sampled_addmm: Expected self, mat1 and mat2 to have one dtype, got ", self.scalar_type(), ", ",
              left.scalar_type(), " and ", right.scalar_type());
  TORCH_CHECK(left.size(1) == right.size(0), "sampled_addmm: mat1 and mat2 shapes cannot be multiplied (", left.size(0),
              "x", left.size(1), " and ", right.size(0), "x", right.size(1), ")");
  TORCH_CHECK(self.size(0) == left.size(0) && self.size(1) == right.size(1), "sampled_addmm: self has sizes ",
              self.sizes(), ", the product [", left.size(0), ", ", right.size(1), "]");
  for (const at::Tensor& matrix : {left, right}) check_same_device("sampled_addmm", self.device(), matrix);
}

// beta * self + alpha * (left @ right), of the elements that self stores alone.
at::Tensor sampled_addmm(const at::Tensor& self, const at::Tensor& left, const at::Tensor& right,
                         const at::Scalar& beta, const at::Scalar& alpha) {
  check_sampled(self, left, right);
  const at::Tensor products =
      left.index_select(0, rows_of(self)).mul(right.t().index_select(0, self.col_indices())).sum(1).mul(alpha);
  return with_values(self, beta.equal(0) ? products : products.add(self.values(), beta));
}

at::Tensor& sampled_addmm_out(const at::Tensor& self, const at::Tensor& left, const at::Tensor& right,
                              const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  const at::Tensor result = sampled_addmm(self, left, right, beta, alpha);
  TORCH_CHECK(out.layout() == c10::kSparseCsr, "sampled_addmm: Expected out to have sparse csr layout, got ",
              out.layout());
  out.resize_as_sparse_(result);
  return out.copy_(result);
}

bool is_extreme(std::string_view reduce) { return reduce == "amax" || reduce == "amin"; }

// Each row of sparse @ dense with its terms reduced. Of extremes also which of the stored elements it was, their number
// where a row has none, as on the CPU.
std::tuple<at::Tensor, at::Tensor> mm_reduce(const at::Tensor& self, const at::Tensor& other, std::string_view reduce) {
  TORCH_CHECK(self.layout() == c10::kSparseCsr && other.layout() == c10::kStrided && other.dim() == 2,
              "torch.sparse.mm with reduce: expected a sparse csr matrix and a dense one, got ", self.layout(), " and ",
              other.dim(), "-D ", other.layout());
  TORCH_CHECK(self.size(1) == other.size(0), "torch.sparse.mm with reduce: cannot multiply ", self.sizes(), " by ",
              other.sizes());
  TORCH_CHECK(self.scalar_type() == other.scalar_type(), "torch.sparse.mm with reduce: expected one dtype, got ",
              self.scalar_type(), " and ", other.scalar_type());
  check_same_device("torch.sparse.mm", self.device(), other);
  TORCH_CHECK(reduce == "sum" || reduce == "mean" || is_extreme(reduce),
              "torch.sparse.mm: reduce must be one of sum, mean, amax and amin, got ", std::string(reduce));
  const c10::ScalarType dtype = other.scalar_type(), wide = at::toOpMathType(dtype);
  const at::Tensor rows = rows_of(self);
  const at::Tensor index = rows.to(c10::kLong).unsqueeze(1).expand({self._nnz(), other.size(1)});
  const at::Tensor terms = other.to(wide).index_select(0, self.col_indices()).mul(self.values().to(wide).unsqueeze(1));
  const at::Tensor result = at::zeros({self.size(0), other.size(1)}, terms.options())
                                .scatter_reduce(0, index, terms, reduce, /*include_self=*/false);
  at::Tensor places;
  if (is_extreme(reduce)) {
    // The first of equal ones.
    const int64_t none = self._nnz();
    const at::Tensor place = at::arange(none, index.options()).unsqueeze(1).expand(index.sizes());
    const at::Tensor chosen = result.gather(0, index).eq(terms);
    places = at::full(result.sizes(), none, index.options())
                 .scatter_reduce(0, index, at::where(chosen, place, none), "amin", /*include_self=*/true);
  }
  return {result.to(dtype), places};
}

std::tuple<at::Tensor, at::Tensor> mm_reduce_backward(const at::Tensor& self, const at::Tensor& grad,
                                                      const at::Tensor& weight, std::string_view reduce,
                                                      const at::Tensor& places, std::array<bool, 2> wanted) {
  const c10::ScalarType dtype = weight.scalar_type(), wide = at::toOpMathType(dtype);
  const at::Tensor rows = rows_of(self).to(c10::kLong), columns = self.col_indices().to(c10::kLong);
  // The gradient of each term.
  at::Tensor share = grad.to(wide).index_select(0, rows);
  if (reduce == "mean") share = share.div(self.crow_indices().diff().to(wide).index_select(0, rows).unsqueeze(1));
  if (is_extreme(reduce)) {
    const at::Tensor place = at::arange(self._nnz(), rows.options()).unsqueeze(1);
    share = at::where(places.index_select(0, rows).eq(place), share, 0.0);
  }
  at::Tensor of_self, of_weight;
  if (wanted[0]) {
    of_self = with_values(self, share.mul(weight.to(wide).index_select(0, columns)).sum(1).to(self.scalar_type()));
  }
  if (wanted[1]) {
    of_weight = at::zeros(weight.sizes(), share.options())
                    .index_add_(0, columns, share.mul(self.values().to(wide).unsqueeze(1)))
                    .to(dtype);
  }
  return {of_self, of_weight};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("sparse_mask", mtia::torch_backend::sparse_mask);
  library.impl("sparse_sampled_addmm", sampled_addmm);
  library.impl("sparse_sampled_addmm.out", sampled_addmm_out);
  library.impl("_sparse_mm_reduce_impl", mm_reduce);
  library.impl("_sparse_mm_reduce_impl_backward", mm_reduce_backward);
}
