// See along_dim.h: boxes of index tensors for the indexing kernels.
#include "torch_backend/operators/along_dim.h"

#include <ATen/TensorIterator.h>
#include <ATen/WrapDimUtils.h>

#include <vector>

#include "torch_backend/operators/index_launch.h"

namespace mtia::torch_backend {
namespace {

// `tensor` seen through the index's box, its dimension `dim` left to the index.
at::Tensor without_dim(const at::Tensor& tensor, c10::IntArrayRef box, int64_t dim) {
  c10::SmallVector<int64_t, 8> strides(tensor.strides().begin(), tensor.strides().end());
  strides[static_cast<size_t>(dim)] = 0;
  return tensor.as_strided(box, strides);
}

}  // namespace

at::Tensor at_least_1d(const at::Tensor& tensor) { return tensor.dim() == 0 ? tensor.unsqueeze(0) : tensor; }

void launch_along_dim(const char* kernel, const at::Tensor& fixed, const at::Tensor& indexed, int64_t dim,
                      const at::Tensor& index, const at::Tensor& value) {
  if (index.numel() == 0) return;
  const at::Tensor side = at_least_1d(indexed);
  const at::Tensor positions = at_least_1d(index);
  const int64_t axis = at::maybe_wrap_dim(dim, side.dim());
  TORCH_CHECK_INDEX(side.size(axis) > 0, "index is out of bounds for dimension ", axis, " with size 0");
  const at::Tensor box = without_dim(side, positions.sizes(), axis);
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false).check_all_same_dtype(false).resize_outputs(false).declare_static_shape(
      positions.sizes());
  config.add_output(box).add_const_input(positions);
  at::Tensor fixed_box;
  if (fixed.defined()) {
    const at::Tensor shaped = at_least_1d(fixed);
    fixed_box = shaped.as_strided(positions.sizes(), shaped.strides());
    config.add_const_input(fixed_box);
  }
  const at::TensorIterator iterator = config.build();
  const int64_t size = side.size(axis);
  const int64_t bytes = side.stride(axis) * iterator.element_size(0);
  launch_index(kernel, iterator, fixed.defined() ? 2 : -1, 0, {1}, {size, bytes, /*wraps=*/false, axis}, value);
}

at::Tensor along(const at::Tensor& index, c10::IntArrayRef box, int64_t dim) {
  std::vector<int64_t> strides(box.size(), 0);
  strides[static_cast<size_t>(dim)] = index.dim() == 0 ? 1 : index.stride(0);
  return index.as_strided(box, strides);
}

c10::ScalarType accumulated_in(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kBool:
    case c10::kByte:
    case c10::kChar:
    case c10::kShort:
      return c10::kInt;
    case c10::kHalf:
    case c10::kBFloat16:
      return c10::kFloat;
    default:
      return dtype;
  }
}

}  // namespace mtia::torch_backend
