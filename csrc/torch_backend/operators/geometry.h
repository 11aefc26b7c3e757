// Views of a tensor as (outer, axis, inner) blocks: what kernels that work along dimensions take.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <array>
#include <cstdint>

namespace mtia::torch_backend {

// Which dimensions an optional list names; none or an empty list names all of them. Checks range and duplicates.
c10::SmallVector<bool, 8> dimension_mask(c10::OptionalArrayRef<int64_t> dims, int64_t rank);

// A tensor as outer x axis x inner elements with one stride each. `storage` keeps a dense copy alive where the
// dimensions did not merge.
struct AxisView {
  at::Tensor storage;
  int64_t outer = 1;
  int64_t axis = 1;
  int64_t inner = 1;
  int64_t outer_stride = 0;
  int64_t axis_stride = 0;
  int64_t inner_stride = 0;

  std::array<int64_t, 6> sizes() const { return {outer, axis, inner, outer_stride, axis_stride, inner_stride}; }
};

// One dimension as the axis: outer is the product of the dimensions before it, inner of those behind.
AxisView axis_view(const at::Tensor& tensor, int64_t dim);

// A tensor as kept dimensions [k0, k1] and reduced dimensions [r0, r1] with one stride each, in the order of the
// tensor's dimensions.
struct ReductionView {
  at::Tensor storage;
  std::array<int64_t, 8> sizes;  // k0, k1, r0, r1, then their strides
};
// Merges dimensions of a kind that lie densely behind each other; copies where more than two of a kind remain.
ReductionView reduction_view(const at::Tensor& tensor, const c10::SmallVector<bool, 8>& reduced);

// The tensor with dimension `dim` last and contiguous rows: (rows, columns) of stride (row_stride, 1).
struct RowView {
  at::Tensor storage;  // shape (..., columns); rows are in the order of the other dimensions
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t row_stride = 0;
};
RowView row_view(const at::Tensor& tensor, int64_t dim);

}  // namespace mtia::torch_backend
