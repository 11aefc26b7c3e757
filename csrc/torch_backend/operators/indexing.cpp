// Operators that read or write where index tensors say. Their shape rules are torch's own; the kernels are
// kernels/triton/indexing.py.
#include <ATen/ExpandUtils.h>
#include <ATen/TensorIterator.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/WrapDimUtilsMulti.h>
#include <ATen/native/IndexKernel.h>
#include <ATen/native/IndexingUtils.h>
#include <ATen/native/TensorAdvancedIndexing.h>
#include <ATen/ops/_index_put_impl_native.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather_native.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_copy_native.h>
#include <ATen/ops/index_fill_native.h>
#include <ATen/ops/index_native.h>
#include <ATen/ops/scatter_native.h>
#include <torch/library.h>

#include <string_view>
#include <vector>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/along_dim.h"
#include "torch_backend/operators/index_launch.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

void index_kernel(at::TensorIteratorBase& iterator, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  const OperatorScope scope("index");
  launch_index_list("index_take", iterator, 0, 1, sizes, strides);
}

void index_put_kernel(at::TensorIterator& iterator, c10::IntArrayRef sizes, c10::IntArrayRef strides, bool accumulate) {
  const OperatorScope scope("index_put");
  launch_index_list(accumulate ? "index_add" : "index_put", iterator, 1, 0, sizes, strides);
}

// The box of an accumulating index_put: self with its indexed dimensions replaced by those of the index tensors, which
// are broadcast over the rest.
struct IndexBox {
  at::Tensor self;
  std::vector<at::Tensor> indices;
  std::vector<int64_t> sizes;    // of the indexed dimensions
  std::vector<int64_t> strides;  // bytes
};

IndexBox index_box(at::Tensor self, const c10::List<std::optional<at::Tensor>>& given) {
  std::vector<at::Tensor> list =
      at::native::expandTensors(self, at::IOptTensorListRef(given), /*ensure_same_device=*/true);
  list = at::expand_outplace(list);
  list.resize(static_cast<size_t>(self.dim()));
  if (!at::native::hasContiguousSubspace(list)) std::tie(self, list) = at::native::transposeToFront(self, list);
  IndexBox box;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  c10::IntArrayRef replacement;
  int64_t after = 0;
  size_t before = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto dim = static_cast<int64_t>(i);
    if (!list[i].defined()) {
      shape.push_back(self.size(dim));
      strides.push_back(self.stride(dim));
      after += box.sizes.empty() ? 0 : 1;
      continue;
    }
    if (box.sizes.empty()) {
      before = shape.size();
      replacement = list[i].sizes();
      shape.insert(shape.end(), replacement.begin(), replacement.end());
      strides.insert(strides.end(), replacement.size(), 0);
    }
    box.sizes.push_back(self.size(dim));
    box.strides.push_back(self.stride(dim) * self.element_size());
  }
  for (const at::Tensor& index : list) {
    if (!index.defined()) continue;
    std::vector<int64_t> index_shape(before, 1);
    index_shape.insert(index_shape.end(), index.sizes().begin(), index.sizes().end());
    index_shape.insert(index_shape.end(), static_cast<size_t>(after), 1);
    box.indices.push_back(index.reshape(index_shape));
  }
  box.self = self.as_strided(shape, strides);
  return box;
}

// What torch calls for an accumulating index_put, whose sums must not depend on an order of threads: the kernel adds in
// order.
void index_put_accumulate_kernel(at::Tensor& self, const c10::List<std::optional<at::Tensor>>& indices,
                                 const at::Tensor& value, bool accumulate, bool unsafe) {
  TORCH_CHECK(value.scalar_type() == self.scalar_type(),
              "Index put requires the source and destination dtypes match, got ", self.scalar_type(),
              " for the destination and ", value.scalar_type(), " for the source.");
  // Sums of halves are rounded addition by addition here, as CPU torch's are.
  const bool is_integer = c10::isIntegralType(self.scalar_type(), /*includeBool=*/true);
  const c10::ScalarType wide = is_integer ? accumulated_in(self.scalar_type()) : self.scalar_type();
  if (accumulate && wide != self.scalar_type()) {
    at::Tensor sums = self.to(wide);
    index_put_accumulate_kernel(sums, indices, value.to(wide), accumulate, unsafe);
    self.copy_(sums);
    return;
  }
  const IndexBox box = index_box(self, indices);
  const at::Tensor values = value.to(self.device());
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false)
      .resize_outputs(false)
      .check_all_same_dtype(false)
      .add_output(box.self)
      .add_const_input(values);
  for (const at::Tensor& index : box.indices) config.add_const_input(index);
  at::TensorIterator iterator = config.build();
  index_put_kernel(iterator, box.sizes, box.strides, accumulate);
}

void index_copy_kernel(at::TensorIterator& iterator, int64_t dim, int64_t size, int64_t stride) {
  const OperatorScope scope("index_copy");
  const int64_t bytes = stride * iterator.element_size(0);
  launch_index("index_put", iterator, 2, 0, {1}, {size, bytes, /*wraps=*/false, dim});
}

void index_fill_kernel(at::TensorIterator& iterator, int64_t dim, int64_t size, int64_t stride,
                       const at::Scalar& value) {
  const OperatorScope scope("index_fill");
  const at::Tensor source = at::full({1}, value, at::TensorOptions(iterator.device(0)).dtype(iterator.dtype(0)));
  const int64_t bytes = stride * iterator.element_size(0);
  launch_index("index_put", iterator, -1, 0, {1}, {size, bytes, /*wraps=*/true, dim}, source);
}

void gather_kernel(const at::Tensor& result, const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  const OperatorScope scope("gather");
  launch_along_dim("index_take", result, self, dim, index);
}

void scatter_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source) {
  const OperatorScope scope("scatter");
  launch_along_dim("index_put", source, self, dim, index);
}

void scatter_fill_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Scalar& value) {
  const OperatorScope scope("scatter");
  launch_along_dim("index_put", {}, self, dim, index, at::full({1}, value, self.options()));
}

// ---- operators

at::Tensor& index_out(const at::Tensor& self, const c10::List<std::optional<at::Tensor>>& indices, at::Tensor& out) {
  at::IOptTensorListRef list(indices);
  WithOutputs<at::native::structured_index_out> call(out);
  auto precomputed = call.meta(self, list);
  call.impl(self, precomputed.sizes, precomputed.strides, call.output());
  call.finish();
  return out;
}

// By itself, as it is called so often: torch's own would go through the meta function twice.
at::Tensor index(const at::Tensor& self, const c10::List<std::optional<at::Tensor>>& indices) {
  at::IOptTensorListRef list(indices);
  WithOutputs<at::native::structured_index_out> call(at::Tensor{});
  auto precomputed = call.meta(self, list);
  call.impl(self, precomputed.sizes, precomputed.strides, call.output());
  return call.output();
}

at::Tensor& gather_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, bool sparse_grad,
                       at::Tensor& out) {
  WithOutputs<at::native::structured_gather_out> call(out);
  call.meta(self, dim, index, sparse_grad);
  call.impl(self, dim, index, sparse_grad, call.output());
  call.finish();
  return out;
}

at::Tensor& scatter_src_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                            at::Tensor& out) {
  WithOutputs<at::native::structured_scatter_src_out> call(out);
  call.meta(self, dim, index, source);
  call.impl(self, dim, index, source, call.output());
  call.finish();
  return out;
}

at::Tensor& scatter_value_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Scalar& value,
                              at::Tensor& out) {
  WithOutputs<at::native::structured_scatter_value_out> call(out);
  call.meta(self, dim, index, value);
  call.impl(self, dim, index, value, call.output());
  call.finish();
  return out;
}

at::Tensor& index_copy_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                           at::Tensor& out) {
  WithOutputs<at::native::structured_index_copy_out> call(out);
  const auto precomputed = call.meta(self, dim, index, source);
  call.impl(self, precomputed.dim, index, source, call.output());
  call.finish();
  return out;
}

at::Tensor& index_select_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, at::Tensor& out) {
  const OperatorScope scope("index_select");
  TORCH_CHECK_INDEX(index.dim() <= 1, "index_select(): Index is supposed to be a vector, but got dim: ", index.dim());
  TORCH_CHECK(index.scalar_type() == c10::kLong || index.scalar_type() == c10::kInt,
              "index_select(): Expected dtype int32 or int64 for index");
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "index_select(): self and result must have the same scalar type");
  check_same_device("index_select", self.device(), out);
  check_apart(out, {self, index});
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor source = at_least_1d(self);
  c10::SmallVector<int64_t, 8> sizes(source.sizes().begin(), source.sizes().end());
  sizes[static_cast<size_t>(axis)] = index.numel();
  at::native::resize_output(out, self.dim() == 0 ? c10::IntArrayRef() : c10::IntArrayRef(sizes));
  if (out.numel() == 0) return out;
  TORCH_CHECK_INDEX(source.size(axis) > 0, "index out of range in self");
  if (axis == 0 && out.is_contiguous() && source.select(0, 0).is_contiguous() && !source.is_complex()) {
    // Whole rows: one DMA each instead of one address an element.
    static const KernelId rows("embedding_forward");
    const at::Tensor wanted = index.contiguous();
    launch_kernel(rows, {out, source, wanted},
                  {index.numel(), source.numel() / source.size(0), source.stride(0), source.size(0)});
    return out;
  }
  launch_along_dim("index_take", out, source, axis, along(index, sizes, axis));
  return out;
}

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  at::Tensor out = empty_device({0}, self.scalar_type(), self.device());
  return index_select_out(self, dim, index, out);
}

// Both take positions in the order of elements; negative ones count from the end.
at::Tensor take(const at::Tensor& self, const at::Tensor& index) {
  const OperatorScope scope("take");
  check_same_device("take", self.device(), index);
  TORCH_CHECK(index.scalar_type() == c10::kLong, "take(): Expected a long tensor for index, but got ",
              index.scalar_type());
  TORCH_CHECK_INDEX(self.numel() != 0 || index.numel() == 0, "take(): tried to take from an empty tensor");
  return self.reshape({-1}).index({index});
}

at::Tensor& take_out(const at::Tensor& self, const at::Tensor& index, at::Tensor& out) {
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "take(): self and out expected to have the same dtype, but got self.dtype = ", self.scalar_type(),
              " and out.dtype = ", out.scalar_type());
  check_same_device("take", self.device(), out);
  check_apart(out, {self, index});
  return write_output(out, torch_backend::take(self, index));
}

at::Tensor& put_(at::Tensor& self, const at::Tensor& index, const at::Tensor& source, bool accumulate) {
  const OperatorScope scope("put_");
  TORCH_CHECK(index.scalar_type() == c10::kLong, "put_(): Expected a long tensor for index, but got ",
              index.scalar_type());
  TORCH_CHECK(self.scalar_type() == source.scalar_type(),
              "put_(): self and source expected to have the same dtype, but got self.dtype = ", self.scalar_type(),
              " and source.dtype = ", source.scalar_type());
  check_same_device("put_", self.device(), index);
  check_same_device("put_", self.device(), source);
  TORCH_CHECK_INDEX(index.numel() == source.numel(),
                    "put_(): Expected source and index to have the same number of elements, but got source.numel() = ",
                    source.numel(), ", index.numel() = ", index.numel());
  TORCH_CHECK_INDEX(self.numel() != 0 || index.numel() == 0, "put_(): Tried to put elements into an empty tensor");
  if (index.numel() == 0) return self;
  check_apart(self, {index, source});
  // In place where the elements lie behind each other in their order.
  const at::Tensor flat = self.is_contiguous() ? self.view({-1}) : self.reshape({-1});
  flat.index_put_({index.reshape({-1})}, source.reshape({-1}), accumulate);
  if (!self.is_contiguous()) self.copy_(flat.view(self.sizes()));
  return self;
}

at::Tensor flip(const at::Tensor& self, c10::IntArrayRef dims) {
  at::dim_list_to_bitset(dims, self.dim());  // refuses repeated ones
  at::Tensor result = self;
  for (const int64_t dim : dims) {
    const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
    if (self.dim() == 0 || self.numel() == 0) continue;
    result = result.index_select(axis, at::arange(self.size(axis) - 1, -1, -1, self.options().dtype(c10::kLong)));
  }
  return result.is_same(self) ? self.clone() : result;
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(index_stub, &mtia::torch_backend::index_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_put_stub, &mtia::torch_backend::index_put_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_put_with_sort_stub, &mtia::torch_backend::index_put_accumulate_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_copy_stub, &mtia::torch_backend::index_copy_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_fill_stub, &mtia::torch_backend::index_fill_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(gather_stub, &mtia::torch_backend::gather_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_stub, &mtia::torch_backend::scatter_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_fill_stub, &mtia::torch_backend::scatter_fill_kernel)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("index.Tensor", mtia::torch_backend::index);
  library.impl("index.Tensor_out", index_out);
  library.impl("_index_put_impl_", at::native::_index_put_impl_);
  library.impl("gather.out", gather_out);
  library.impl("scatter.src_out", scatter_src_out);
  library.impl("scatter.value_out", scatter_value_out);
  library.impl("index_copy.out", index_copy_out);
  library.impl("index_fill_.int_Scalar",
               static_cast<at::Tensor& (*)(at::Tensor&, int64_t, const at::Tensor&, const at::Scalar&)>(
                   at::native::index_fill_));
  library.impl("index_fill_.int_Tensor",
               static_cast<at::Tensor& (*)(at::Tensor&, int64_t, const at::Tensor&, const at::Tensor&)>(
                   at::native::index_fill_));
  library.impl("index_select", index_select);
  library.impl("index_select.out", index_select_out);
  library.impl("take", take);
  library.impl("take.out", take_out);
  library.impl("put_", put_);
  library.impl("flip", flip);
}
