// The values that occur: in order, as they follow each other, along a dimension; and the most frequent one.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

using Unique = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

at::Tensor empty_longs(c10::IntArrayRef sizes, const at::Tensor& like) {
  return empty_device(sizes, c10::kLong, like.device());
}

// Which rows of `rows` (of elements, where it has one dimension) differ from the one before them; the first does.
at::Tensor group_starts(const at::Tensor& rows) {
  const int64_t count = rows.size(0);
  at::Tensor starts = at::ones({count}, rows.options().dtype(c10::kBool));
  if (count == 1) return starts;
  at::Tensor differs = rows.narrow(0, 1, count - 1).ne(rows.narrow(0, 0, count - 1));
  starts.narrow(0, 1, count - 1).copy_(rows.dim() > 1 ? differs.flatten(1).any(1) : differs);
  return starts;
}

// One row a group of equal neighbours of `rows`, which has one. `order`: where each row stood, or undefined.
Unique groups(const at::Tensor& rows, const at::Tensor& order, bool return_inverse, bool return_counts) {
  const at::Tensor starts = group_starts(rows);
  const at::Tensor first = starts.nonzero().select(1, 0);
  at::Tensor inverse = empty_longs({0}, rows), counts = empty_longs({0}, rows);
  if (return_inverse) {
    inverse = starts.cumsum(0).sub(1);
    if (order.defined()) inverse = empty_longs({rows.size(0)}, rows).scatter_(0, order, inverse);
  }
  if (return_counts) {
    const at::Tensor end = at::full({1}, rows.size(0), first.options());
    counts = at::cat({first.narrow(0, 1, first.numel() - 1), end}).sub(first);
  }
  return {rows.index_select(0, first), inverse, counts};
}

Unique unique(const at::Tensor& self, bool, bool return_inverse, bool return_counts) {
  if (self.numel() == 0) {
    return {empty_device({0}, self.scalar_type(), self.device()),
            return_inverse ? empty_longs(self.sizes(), self) : empty_longs({0}, self), empty_longs({0}, self)};
  }
  const auto [sorted, order] = self.reshape({-1}).sort(/*stable=*/true, 0, /*descending=*/false);
  auto [values, inverse, counts] = groups(sorted, order, return_inverse, return_counts);
  return {values, return_inverse ? inverse.view(self.sizes()) : inverse, counts};
}

std::tuple<at::Tensor, at::Tensor> unique_of_values(const at::Tensor& self, bool sorted, bool return_inverse) {
  auto [values, inverse, counts] = torch_backend::unique(self, sorted, return_inverse, false);
  return {values, inverse};
}

// Rows of a matrix in lexicographic order: stable sorts by each column, the last one first.
at::Tensor lexicographic_order(const at::Tensor& matrix) {
  at::Tensor order;
  for (int64_t column = matrix.size(1); column-- > 0;) {
    const at::Tensor keys = matrix.select(1, column);
    const at::Tensor by_column = std::get<1>(
        (order.defined() ? keys.index_select(0, order) : keys).sort(/*stable=*/true, 0, /*descending=*/false));
    order = order.defined() ? order.index_select(0, by_column) : by_column;
  }
  return order;
}

// The slices along `dim` that occur, or with `consecutive` one a group of equal neighbours.
Unique unique_slices(const at::Tensor& self, int64_t dim, bool consecutive, bool return_inverse, bool return_counts) {
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  if (self.numel() == 0) {
    const auto empty_dims = std::count(self.sizes().begin(), self.sizes().end(), 0);
    TORCH_CHECK(self.size(axis) == 0,
                "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
    TORCH_CHECK(empty_dims == 1, "Number of zero sized dimensions is more than one, so unique cannot be applied ");
    return {empty_device(self.sizes(), self.scalar_type(), self.device()), empty_longs({0}, self),
            empty_longs({0}, self)};
  }
  const at::Tensor slices = self.movedim(axis, 0);
  const at::Tensor matrix = slices.reshape({slices.size(0), -1});
  at::Tensor order;
  if (!consecutive) order = lexicographic_order(matrix);
  auto [rows, inverse, counts] =
      groups(order.defined() ? matrix.index_select(0, order) : matrix, order, return_inverse, return_counts);
  c10::SmallVector<int64_t, 8> sizes(slices.sizes().begin(), slices.sizes().end());
  sizes[0] = rows.size(0);
  return {rows.view(sizes).movedim(0, axis), inverse, counts};
}

Unique unique_dim(const at::Tensor& self, int64_t dim, bool, bool return_inverse, bool return_counts) {
  return unique_slices(self, dim, /*consecutive=*/false, return_inverse, return_counts);
}

Unique unique_dim_consecutive(const at::Tensor& self, int64_t dim, bool return_inverse, bool return_counts) {
  return unique_slices(self, dim, /*consecutive=*/true, return_inverse, return_counts);
}

Unique unique_consecutive(const at::Tensor& self, bool return_inverse, bool return_counts, std::optional<int64_t> dim) {
  if (dim.has_value() && self.dim() > 0)
    return unique_slices(self, *dim, /*consecutive=*/true, return_inverse, return_counts);
  if (self.numel() == 0) return torch_backend::unique(self, true, return_inverse, return_counts);
  auto [values, inverse, counts] = groups(self.reshape({-1}), {}, return_inverse, return_counts);
  return {values, return_inverse ? inverse.view(self.sizes()) : inverse, counts};
}

// Sorted, equal elements are a group; the first of the largest groups has the least of the most frequent values, and
// the group's last element is the one that the CPU names.
std::tuple<at::Tensor, at::Tensor> mode(const at::Tensor& self, int64_t dim, bool keepdim) {
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  if (self.dim() == 0) return {self.clone(), at::zeros({}, self.options().dtype(c10::kLong))};
  const int64_t length = self.size(axis);
  TORCH_CHECK_INDEX(length > 0, "mode(): Expected reduction dim ", axis, " to have non-zero size.");
  const auto [sorted, order] = self.sort(/*stable=*/true, axis, /*descending=*/false);
  at::Tensor place;
  if (length > 1 && self.numel() > 0) {
    at::Tensor group = at::zeros(sorted.sizes(), order.options());
    group.narrow(axis, 1, length - 1)
        .copy_(sorted.narrow(axis, 1, length - 1).ne(sorted.narrow(axis, 0, length - 1)).cumsum(axis));
    const at::Tensor sizes = at::zeros(sorted.sizes(), order.options().dtype(c10::kInt))
                                 .scatter_add_(axis, group, at::ones(sorted.sizes(), order.options().dtype(c10::kInt)));
    place = group.le(sizes.argmax(axis, /*keepdim=*/true)).sum(axis, /*keepdim=*/true).sub(1);
  } else {
    c10::SmallVector<int64_t, 8> sizes(self.sizes().begin(), self.sizes().end());
    sizes[static_cast<size_t>(axis)] = 1;
    place = at::zeros(sizes, order.options());
  }
  const at::Tensor value = sorted.gather(axis, place), index = order.gather(axis, place);
  return {keepdim ? value : value.squeeze(axis), keepdim ? index : index.squeeze(axis)};
}

std::tuple<at::Tensor&, at::Tensor&> mode_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                                              at::Tensor& indices) {
  check_output("mode", values, self.scalar_type(), self.device());
  check_output("mode", indices, c10::kLong, self.device());
  check_apart(values, {indices});
  const auto [value, index] = torch_backend::mode(self, dim, keepdim);
  write_output(values, value);
  write_output(indices, index);
  return {values, indices};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_unique", unique_of_values);
  library.impl("_unique2", mtia::torch_backend::unique);
  library.impl("unique_dim", mtia::torch_backend::unique_dim);
  library.impl("unique_dim_consecutive", mtia::torch_backend::unique_dim_consecutive);
  library.impl("unique_consecutive", mtia::torch_backend::unique_consecutive);
  library.impl("mode", mtia::torch_backend::mode);
  library.impl("mode.values", mode_out);
}
