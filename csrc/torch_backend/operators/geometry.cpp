// Merging of dimensions into (outer, axis, inner).
#include "torch_backend/operators/geometry.h"

#include <ATen/WrapDimUtils.h>

#include <array>
#include <optional>
#include <utility>

namespace mtia::torch_backend {
namespace {

struct Group {
  int64_t size;
  int64_t stride;
};

// The dimensions of one kind; those that lie densely behind each other become one.
c10::SmallVector<Group, 8> merged(const at::Tensor& tensor, const c10::SmallVector<bool, 8>& mask, bool kind) {
  c10::SmallVector<Group, 8> groups;
  for (int64_t i = 0; i < tensor.dim(); ++i) {
    if (mask[static_cast<size_t>(i)] != kind || tensor.size(i) == 1) continue;
    if (!groups.empty() && groups.back().stride == tensor.stride(i) * tensor.size(i)) {
      groups.back() = {groups.back().size * tensor.size(i), tensor.stride(i)};
    } else {
      groups.push_back({tensor.size(i), tensor.stride(i)});
    }
  }
  return groups;
}

}  // namespace

c10::SmallVector<bool, 8> dimension_mask(c10::OptionalArrayRef<int64_t> dims, int64_t rank) {
  const bool all = !dims.has_value() || dims->empty();
  c10::SmallVector<bool, 8> mask(static_cast<size_t>(rank), all);
  if (all) return mask;
  for (const int64_t dim : *dims) {
    const int64_t wrapped = at::maybe_wrap_dim(dim, rank);
    if (rank == 0) continue;
    TORCH_CHECK(!mask[static_cast<size_t>(wrapped)], "dim ", wrapped, " appears multiple times in the list of dims");
    mask[static_cast<size_t>(wrapped)] = true;
  }
  return mask;
}

ReductionView reduction_view(const at::Tensor& tensor, const c10::SmallVector<bool, 8>& reduced) {
  c10::SmallVector<Group, 8> kept_groups = merged(tensor, reduced, false);
  c10::SmallVector<Group, 8> reduced_groups = merged(tensor, reduced, true);
  if (kept_groups.size() <= 2 && reduced_groups.size() <= 2) {
    kept_groups.resize(2, {1, 0});
    reduced_groups.resize(2, {1, 0});
    return {tensor,
            {kept_groups[0].size, kept_groups[1].size, reduced_groups[0].size, reduced_groups[1].size,
             kept_groups[0].stride, kept_groups[1].stride, reduced_groups[0].stride, reduced_groups[1].stride}};
  }
  c10::SmallVector<int64_t, 8> order;
  for (const bool kind : {false, true}) {
    for (int64_t i = 0; i < tensor.dim(); ++i) {
      if (reduced[static_cast<size_t>(i)] == kind) order.push_back(i);
    }
  }
  int64_t rows = 1;
  int64_t columns = 1;
  for (int64_t i = 0; i < tensor.dim(); ++i) (reduced[static_cast<size_t>(i)] ? columns : rows) *= tensor.size(i);
  return {tensor.permute(order).contiguous(), {rows, 1, columns, 1, columns, 0, 1, 0}};
}

namespace {

// Dimensions [begin, end) as one: its size and stride, or none where they do not lie densely behind each other.
std::optional<std::pair<int64_t, int64_t>> merge_range(const at::Tensor& tensor, int64_t begin, int64_t end) {
  int64_t size = 1;
  int64_t stride = 0;
  for (int64_t i = end - 1; i >= begin; --i) {
    if (tensor.size(i) == 1) continue;
    if (size != 1 && tensor.stride(i) != stride * size) return std::nullopt;
    if (size == 1) stride = tensor.stride(i);
    size *= tensor.size(i);
  }
  return std::pair(size, stride);
}

}  // namespace

AxisView axis_view(const at::Tensor& tensor, int64_t dim) {
  if (tensor.dim() == 0) return {tensor, 1, 1, 1, 0, 0, 0};
  const int64_t axis = at::maybe_wrap_dim(dim, tensor.dim());
  const auto outer = merge_range(tensor, 0, axis);
  const auto inner = merge_range(tensor, axis + 1, tensor.dim());
  if (!outer || !inner) return axis_view(tensor.contiguous(), axis);
  return {tensor, outer->first, tensor.size(axis), inner->first, outer->second, tensor.stride(axis), inner->second};
}

RowView row_view(const at::Tensor& tensor, int64_t dim) {
  if (tensor.dim() == 0) return {tensor, 1, 1, 1};
  const at::Tensor last = tensor.movedim(at::maybe_wrap_dim(dim, tensor.dim()), -1);
  const int64_t columns = last.size(-1);
  const int64_t rows = columns == 0 ? 0 : last.numel() / columns;
  const auto outer = merge_range(last, 0, last.dim() - 1);
  if (outer && (last.stride(-1) == 1 || columns == 1))
    return {last, rows, columns, rows == 1 ? columns : outer->second};
  return {last.contiguous(), rows, columns, columns};
}

}  // namespace mtia::torch_backend
