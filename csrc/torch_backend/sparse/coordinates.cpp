// Searches in sorted places.
#include "torch_backend/sparse/coordinates.h"

#include <ATen/native/SparseTensorUtils.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace mtia::torch_backend {

c10::IntArrayRef sparse_sizes(const at::Tensor& sparse) {
  return sparse.sizes().slice(0, static_cast<size_t>(sparse.sparse_dim()));
}

at::Tensor sparse_of(const at::Tensor& like, const at::Tensor& indices, const at::Tensor& values, bool coalesced) {
  return at::_sparse_coo_tensor_unsafe(indices, values, like.sizes(), values.options().layout(c10::kSparse))
      ._coalesced_(coalesced);
}

void put_into(at::Tensor& out, const at::Tensor& like, const at::Tensor& indices, const at::Tensor& values,
              bool coalesced) {
  at::sparse::get_sparse_impl(out)->resize_(like.sparse_dim(), like.dense_dim(), like.sizes());
  at::sparse::alias_into_sparse(out, indices, values.to(out.scalar_type()));
  out._coalesced_(coalesced);
}

at::Tensor flat_places(const at::Tensor& sparse, int64_t without) {
  const c10::IntArrayRef sizes = sparse_sizes(sparse);
  const at::Tensor indices = sparse._indices();
  at::Tensor places;
  for (int64_t dim = 0; dim < static_cast<int64_t>(sizes.size()); ++dim) {
    if (dim == without) continue;
    const at::Tensor row = indices[dim];
    places = places.defined() ? row.add(places, sizes[static_cast<size_t>(dim)]) : row;
  }
  return places.defined() ? places : at::zeros({sparse._nnz()}, indices.options());
}

at::Tensor indices_at(const at::Tensor& places, c10::IntArrayRef sizes) {
  std::vector<at::Tensor> rows(sizes.size());
  at::Tensor rest = places;
  for (size_t dim = sizes.size(); dim-- > 0;) {
    rows[dim] = dim == 0 ? rest : rest.remainder(sizes[dim]);
    if (dim > 0) rest = rest.floor_divide(sizes[dim]);
  }
  return at::stack(rows);
}

Matches matches_of(const at::Tensor& wanted, const at::Tensor& sorted) {
  if (sorted.numel() == 0) return {at::zeros_like(wanted), at::zeros_like(wanted, wanted.options().dtype(c10::kBool))};
  const at::Tensor nearest = at::searchsorted(sorted, wanted).clamp_max(sorted.size(0) - 1);
  const at::Tensor found = sorted.index_select(0, nearest).eq(wanted);
  return {nearest.mul(found), found};
}

at::Tensor beside_values(const at::Tensor& row, const at::Tensor& values) {
  c10::SmallVector<int64_t, 6> sizes(static_cast<size_t>(values.dim()), 1);
  sizes[0] = row.size(0);
  return row.view(sizes);
}

at::Tensor values_at(const at::Tensor& coalesced, const at::Tensor& places) {
  const at::Tensor values = coalesced._values();
  if (coalesced._nnz() == 0) {
    c10::SmallVector<int64_t, 6> sizes(values.sizes().begin(), values.sizes().end());
    sizes[0] = places.size(0);
    return at::zeros(sizes, values.options());
  }
  const Matches matches = matches_of(places, flat_places(coalesced));
  const at::Tensor chosen = values.index_select(0, matches.places);
  return chosen.masked_fill(beside_values(matches.found.logical_not(), chosen), 0);
}

Runs runs_of(const at::Tensor& begins, const at::Tensor& counts) {
  Runs runs;
  runs.owners = at::repeat_interleave(counts);
  const at::Tensor shift = begins.sub(counts.cumsum(0).sub(counts));
  runs.members = at::arange(runs.owners.size(0), runs.owners.options()).add(shift.index_select(0, runs.owners));
  return runs;
}

at::Tensor product_of_common(const at::Tensor& self, const at::Tensor& other) {
  const Matches matches = matches_of(flat_places(self), flat_places(other));
  const at::Tensor own = matches.found.nonzero().select(1, 0);
  const at::Tensor theirs = matches.places.index_select(0, own);
  const at::Tensor values = self._values().index_select(0, own).mul(other._values().index_select(0, theirs));
  return sparse_of(self, self._indices().index_select(1, own), values, true);
}

}  // namespace mtia::torch_backend
