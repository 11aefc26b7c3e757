// Elements of sparse tensors (COO) by index and by the pattern of another one.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include "torch_backend/same_device.h"
#include "torch_backend/sparse/coordinates.h"

namespace mtia::torch_backend {
namespace {

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  TORCH_CHECK_INDEX(index.dim() == 1 && index.scalar_type() == c10::kLong && index.layout() == c10::kStrided,
                    "index_select() argument index must be 1-D strided (non-sparse) long-tensor.");
  TORCH_CHECK_INDEX(self.dim() > 0, "index_select() cannot be applied to a 0-dim tensor.");
  check_same_device("index_select", self.device(), index);
  dim = at::maybe_wrap_dim(dim, self.dim());
  const int64_t size = self.size(dim), sparse_dim = self.sparse_dim();
  if (index.numel() != 0) {
    const auto low = index.min().item<int64_t>(), high = index.max().item<int64_t>();
    TORCH_CHECK_INDEX(low >= -size && high < size, "index_select(): index contains ", low < -size ? low : high,
                      " that is out of range for tensor of size ", self.sizes(), " at dimension ", dim);
  }
  const at::Tensor wanted = at::where(index.lt(0), index.add(size), index);
  c10::SmallVector<int64_t, 6> sizes(self.sizes().begin(), self.sizes().end());
  sizes[static_cast<size_t>(dim)] = index.numel();
  const at::Tensor indices = self._indices(), values = self._values();
  const at::TensorOptions options = values.options().layout(c10::kSparse);
  if (dim >= sparse_dim) {
    return at::_sparse_coo_tensor_unsafe(indices, values.index_select(dim - sparse_dim + 1, wanted), sizes, options)
        ._coalesced_(self.is_coalesced());
  }
  const auto [sorted, order] = indices[dim].sort();
  const at::Tensor begins = at::searchsorted(sorted, wanted);
  const at::Tensor ends = at::searchsorted(sorted, wanted, /*out_int32=*/false, /*right=*/true);
  const Runs runs = runs_of(begins, ends.sub(begins));
  const at::Tensor chosen = order.index_select(0, runs.members);
  at::Tensor places = indices.index_select(1, chosen);
  places.select(0, dim).copy_(runs.owners);
  return at::_sparse_coo_tensor_unsafe(places, values.index_select(0, chosen), sizes, options)
      ._coalesced_(chosen.size(0) < 2);
}

// The elements of a tensor where a sparse one has some.
at::Tensor masked(const at::Tensor& self, const at::Tensor& mask) {
  TORCH_CHECK(self.sizes().equals(mask.sizes()), "sparse_mask(): operands have incompatible sizes; self has size ",
              self.sizes(), " but mask has size ", mask.sizes());
  check_same_device("sparse_mask", self.device(), mask);
  at::Tensor values;
  if (self.is_sparse()) {
    TORCH_CHECK(self.sparse_dim() == mask.sparse_dim(), "sparse_mask(): the tensor has ", self.sparse_dim(),
                " sparse dimensions, the mask ", mask.sparse_dim());
    values = values_at(self.coalesce(), flat_places(mask));
  } else {
    c10::SmallVector<int64_t, 6> sizes{c10::multiply_integers(sparse_sizes(mask))};
    for (int64_t dim = mask.sparse_dim(); dim < mask.dim(); ++dim) sizes.push_back(mask.size(dim));
    values = self.reshape(sizes).index_select(0, flat_places(mask));
  }
  return sparse_of(mask, mask._indices().clone(), values, mask.is_coalesced());
}

// The elements of `self` whose places `mask` has too. With `accumulate_matches` each counts as often as they meet.
at::Tensor mask_projection(const at::Tensor& self, const at::Tensor& mask, bool accumulate_matches) {
  TORCH_CHECK(self.is_sparse() && mask.is_sparse() && self.sizes().equals(mask.sizes()) &&
                  self.sparse_dim() == mask.sparse_dim(),
              "sparse_mask_projection(): expected two sparse tensors of one structure, got sizes ", self.sizes(),
              " and ", mask.sizes());
  check_same_device("sparse_mask_projection", self.device(), mask);
  const at::Tensor places = flat_places(self);
  const at::Tensor sorted = std::get<0>(flat_places(mask).sort());
  const at::Tensor begins = at::searchsorted(sorted, places);
  at::Tensor counts = at::searchsorted(sorted, places, /*out_int32=*/false, /*right=*/true).sub(begins);
  const at::Tensor own = counts.gt(0).nonzero().select(1, 0);
  at::Tensor values = self._values().index_select(0, own);
  if (accumulate_matches) values = values.mul(beside_values(counts.index_select(0, own), values));
  return sparse_of(self, self._indices().index_select(1, own), values, self.is_coalesced());
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("index_select", mtia::torch_backend::index_select);
  library.impl("sparse_mask", masked);
  library.impl("_sparse_mask_projection", mask_projection);
}
