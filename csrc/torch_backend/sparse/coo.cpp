// Sparse tensors of coordinates. What torch writes for any device by operators on indices and values is taken from
// torch; what it has kernels of its own for is made of the device's operators here.
#include <ATen/ExpandUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_coalesced_native.h>
#include <ATen/ops/_indices_native.h>
#include <ATen/ops/_nnz_native.h>
#include <ATen/ops/_sparse_broadcast_to.h>
#include <ATen/ops/_sparse_broadcast_to_native.h>
#include <ATen/ops/_sparse_coo_tensor_with_dims_and_tensors_native.h>
#include <ATen/ops/_sparse_coo_tensor_with_dims_native.h>
#include <ATen/ops/_to_dense_native.h>
#include <ATen/ops/_to_sparse_csc_native.h>
#include <ATen/ops/_to_sparse_csr_native.h>
#include <ATen/ops/_to_sparse_native.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/_values_native.h>
#include <ATen/ops/add_native.h>
#include <ATen/ops/any_native.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cat_native.h>
#include <ATen/ops/clone_native.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/copy_sparse_to_sparse_native.h>
#include <ATen/ops/dense_dim_native.h>
#include <ATen/ops/div_native.h>
#include <ATen/ops/empty_like_native.h>
#include <ATen/ops/empty_native.h>
#include <ATen/ops/floor_divide_native.h>
#include <ATen/ops/indices_native.h>
#include <ATen/ops/is_coalesced_native.h>
#include <ATen/ops/mm_native.h>
#include <ATen/ops/mul_native.h>
#include <ATen/ops/mv_native.h>
#include <ATen/ops/nan_to_num_native.h>
#include <ATen/ops/narrow_copy_native.h>
#include <ATen/ops/native_norm_native.h>
#include <ATen/ops/norm_native.h>
#include <ATen/ops/permute_native.h>
#include <ATen/ops/resize_as_sparse_native.h>
#include <ATen/ops/sparse_dim_native.h>
#include <ATen/ops/sparse_resize_and_clear_native.h>
#include <ATen/ops/sparse_resize_native.h>
#include <ATen/ops/sub_native.h>
#include <ATen/ops/sum_native.h>
#include <ATen/ops/unsqueeze_native.h>
#include <ATen/ops/values_native.h>
#include <ATen/ops/zero_native.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_native.h>
#include <torch/library.h>

#include "torch_backend/operators/output_checks.h"
#include "torch_backend/same_device.h"
#include "torch_backend/sparse/coordinates.h"

namespace mtia::torch_backend {
namespace {

at::Tensor coalesce(const at::Tensor& self) {
  if (self._nnz() < 2) return self.clone()._coalesced_(true);
  const auto [places, group, counts] = at::_unique2(flat_places(self), /*sorted=*/true, /*return_inverse=*/true);
  const at::Tensor given = self._values();
  // Of flags, one is enough.
  const bool flags = given.scalar_type() == c10::kBool;
  const at::Tensor summed = flags ? given.to(c10::kInt) : given;
  c10::SmallVector<int64_t, 6> sizes(given.sizes().begin(), given.sizes().end());
  sizes[0] = places.size(0);
  const at::Tensor values = at::zeros(sizes, summed.options()).index_add_(0, group, summed);
  return sparse_of(self, indices_at(places, sparse_sizes(self)), flags ? values.to(c10::kBool) : values, true);
}

void add_to_dense(at::Tensor& dense, const at::Tensor& sparse, const at::Scalar& alpha) {
  TORCH_CHECK(dense.sizes().equals(sparse.sizes()), "add: Expected 'self' to have same size as 'other', but self has ",
              "size ", dense.sizes(), " while other has size ", sparse.sizes());
  if (sparse._nnz() == 0) return;
  c10::SmallVector<int64_t, 6> sizes{c10::multiply_integers(sparse_sizes(sparse))};
  for (int64_t dim = sparse.sparse_dim(); dim < sparse.dim(); ++dim) sizes.push_back(sparse.size(dim));
  at::Tensor rows = dense.contiguous().view(sizes);
  const at::Tensor values = sparse._values().to(dense.scalar_type());
  rows.index_add_(0, flat_places(sparse), values, alpha);
  if (!dense.is_contiguous()) dense.copy_(rows.view(dense.sizes()));
}

// dense + sparse is dense, sparse + sparse has the elements of both.
at::Tensor& add_out(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(other.is_sparse(), "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
  check_same_device("add", self.device(), other);
  check_convertible("add", out, c10::promoteTypes(self.scalar_type(), other.scalar_type()), self.device());
  if (!self.is_sparse()) {
    if (!out.is_same(self)) {
      at::native::resize_output(out, self.sizes());
      out.copy_(self);
    }
    add_to_dense(out, other, alpha);
    return out;
  }
  TORCH_CHECK(self.sizes().equals(other.sizes()), "add: Expected 'self' and 'other' to have same size, but ",
              self.sizes(), " != ", other.sizes());
  TORCH_CHECK(self.sparse_dim() == other.sparse_dim(), "add: expected 'self' and 'other' to have same density, but ",
              "'self' has ", self.sparse_dim(), " sparse dimensions while 'other' has ", other.sparse_dim());
  const c10::ScalarType dtype = out.scalar_type();
  const at::Tensor values = at::cat({self._values().to(dtype), other._values().to(dtype).mul(alpha)});
  const at::Tensor both = sparse_of(self, at::cat({self._indices(), other._indices()}, 1), values, false);
  const at::Tensor sum = self.is_coalesced() && other.is_coalesced() ? both.coalesce() : both;
  put_into(out, sum, sum._indices(), sum._values(), sum.is_coalesced());
  return out;
}

// A number, a dense tensor that broadcasts to it, or another sparse one.
at::Tensor& mul_out(const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  if (!self.is_sparse()) return mul_out(other, self, out);
  if (other.dim() == 0) {
    const at::Tensor factor = other.is_sparse() ? other.to_dense() : other;
    put_into(out, self, self._indices(), self._values().mul(factor), self.is_coalesced());
    return out;
  }
  check_same_device("mul", self.device(), other);
  if (other.is_sparse()) {
    TORCH_CHECK(self.sizes().equals(other.sizes()) && self.sparse_dim() == other.sparse_dim(),
                "mul: expected sparse tensors of one structure, but got sizes ", self.sizes(), " and ", other.sizes());
    const at::Tensor product = product_of_common(self.coalesce(), other.coalesce());
    put_into(out, product, product._indices(), product._values(), true);
    return out;
  }
  const std::vector<int64_t> sizes = at::infer_size(self.sizes(), other.sizes());
  const at::Tensor sparse = self.sizes() == c10::IntArrayRef(sizes) ? self : at::_sparse_broadcast_to(self, sizes);
  const at::Tensor factor = other.expand(sizes).sparse_mask(sparse)._values();
  put_into(out, sparse, sparse._indices(), sparse._values().mul(factor), sparse.is_coalesced());
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_coalesce", mtia::torch_backend::coalesce);
  library.impl("add.out", add_out);
  library.impl("mul.out", mul_out);

  // Structure.
  library.impl("_sparse_coo_tensor_with_dims", TORCH_FN(at::native::new_with_dims_sparse));
  library.impl("_sparse_coo_tensor_with_dims_and_tensors",
               TORCH_FN(at::native::new_with_dims_and_tensor_sparse_symint));
  library.impl("empty.memory_format", TORCH_FN(at::native::empty_sparse));
  library.impl("empty_like", TORCH_FN(at::native::empty_like_sparse_coo));
  library.impl("_dimI", TORCH_FN(at::native::sparse_dim_sparse));
  library.impl("_dimV", TORCH_FN(at::native::dense_dim_sparse));
  library.impl("sparse_dim", TORCH_FN(at::native::sparse_dim_sparse));
  library.impl("dense_dim", TORCH_FN(at::native::dense_dim_sparse));
  library.impl("_nnz", TORCH_FN(at::native::_nnz_sparse));
  library.impl("_indices", TORCH_FN(at::native::_indices_sparse));
  library.impl("_values", TORCH_FN(at::native::_values_sparse));
  library.impl("indices", TORCH_FN(at::native::indices_sparse));
  library.impl("values", TORCH_FN(at::native::values_sparse));
  library.impl("is_coalesced", TORCH_FN(at::native::is_coalesced_sparse));
  library.impl("_coalesced_", TORCH_FN(at::native::_coalesced_sparse_));
  library.impl("sparse_resize_", TORCH_FN(at::native::sparse_resize_));
  library.impl("sparse_resize_and_clear_", TORCH_FN(at::native::sparse_resize_and_clear_));
  library.impl("resize_as_sparse_", TORCH_FN(at::native::resize_as_sparse_));
  library.impl("zero_", TORCH_FN(at::native::zero_sparse_));
  library.impl("zeros.out", TORCH_FN(at::native::zeros_sparse_out));
  library.impl("clone", TORCH_FN(at::native::clone_sparse));
  library.impl("copy_", TORCH_FN(at::native::copy_sparse_wrapper_));
  library.impl("copy_sparse_to_sparse_", TORCH_FN(at::native::copy_sparse_));
  library.impl("unsqueeze", TORCH_FN(at::native::unsqueeze_sparse));
  library.impl("permute", TORCH_FN(at::native::permute_sparse_coo));
  library.impl("narrow_copy", TORCH_FN(at::native::narrow_copy_sparse));
  library.impl("cat", TORCH_FN(at::native::cat_sparse));
  library.impl("_sparse_broadcast_to", TORCH_FN(at::native::sparse_broadcast_to));
  library.impl("_to_dense", TORCH_FN(at::native::sparse_to_dense));
  library.impl("_to_sparse_csc", TORCH_FN(at::native::coo_to_sparse_csc));
  library.impl("_to_sparse_csr", TORCH_FN(at::native::coo_to_sparse_csr));
  using ToSparse =
      at::Tensor (*)(const at::Tensor&, std::optional<c10::Layout>, at::OptionalIntArrayRef, std::optional<int64_t>);
  library.impl("_to_sparse", static_cast<ToSparse>(at::native::sparse_coo_to_sparse));

  // Arithmetic.
  library.impl("add.Tensor", TORCH_FN(at::native::add_sparse));
  library.impl("add_.Tensor", TORCH_FN(at::native::add_sparse_));
  library.impl("sub.Tensor", TORCH_FN(at::native::sub_sparse));
  library.impl("sub_.Tensor", TORCH_FN(at::native::sub_sparse_));
  library.impl("mul.Tensor", TORCH_FN(at::native::mul_sparse));
  library.impl("mul_.Tensor", TORCH_FN(at::native::mul_sparse_));
  library.impl("div.Tensor", static_cast<at::Tensor (*)(const at::Tensor&, const at::Tensor&)>(at::native::div_sparse));
  library.impl("div_.Tensor", static_cast<at::Tensor& (*)(at::Tensor&, const at::Tensor&)>(at::native::div_sparse_));
  library.impl("div.out", static_cast<at::Tensor& (*)(const at::Tensor&, const at::Tensor&, at::Tensor&)>(
                              at::native::div_out_sparse_zerodim));
  library.impl("floor_divide", TORCH_FN(at::native::floor_divide_sparse));
  library.impl("floor_divide_.Tensor", TORCH_FN(at::native::floor_divide_sparse_));
  library.impl("floor_divide.out", TORCH_FN(at::native::floor_divide_out_sparse_zerodim));
  library.impl("nan_to_num", TORCH_FN(at::native::nan_to_num_sparse));
  library.impl("nan_to_num_", TORCH_FN(at::native::nan_to_num_sparse_));
  library.impl("nan_to_num.out", TORCH_FN(at::native::nan_to_num_sparse_out));
  library.impl("mm", TORCH_FN(at::native::_sparse_mm));
  library.impl("mm.out", TORCH_FN(at::native::_sparse_mm_out));
  library.impl("mv", TORCH_FN(at::native::mv_sparse));
  library.impl("sum", TORCH_FN(at::native::sum_coo));
  library.impl("sum.dim_IntList", TORCH_FN(at::native::sum_sparse_coo));
  library.impl("any", TORCH_FN(at::native::any_sparse));
  library.impl("norm.ScalarOpt_dim", TORCH_FN(at::native::sparse_norm));
  using Norm = at::Tensor (*)(const at::Tensor&, const std::optional<at::Scalar>&, c10::IntArrayRef, bool,
                              std::optional<c10::ScalarType>);
  library.impl("native_norm.ScalarOpt_dim_dtype", static_cast<Norm>(at::native::norm_sparse));
}
