// The box as the kernel's arguments; what the kernel has no room for becomes one dimension and one index tensor.
#include "torch_backend/operators/index_launch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <numeric>
#include <string_view>
#include <vector>

#include "runtime/checking.h"
#include "torch_backend/launching/launch.h"

namespace mtia::torch_backend {
namespace {

constexpr int max_dims = 5;
constexpr size_t max_indices = 4;

const KernelId& kernel_of(const char* name) {
  static const KernelId take("index_take"), put("index_put"), add("index_add"), amax("index_amax"), amin("index_amin");
  const std::string_view wanted(name);
  if (wanted == "index_take") return take;
  if (wanted == "index_put") return put;
  if (wanted == "index_add") return add;
  return wanted == "index_amax" ? amax : amin;
}

void check_atomic(const char* kernel, c10::ScalarType dtype) {
  const std::string_view name(kernel);
  if (name == "index_take" || name == "index_put") return;
  const bool sums_parts = name == "index_add" && c10::isComplexType(dtype);
  const c10::ScalarType part = sums_parts ? c10::toRealValueType(dtype) : dtype;
  const bool wide = part == c10::kFloat || part == c10::kDouble || part == c10::kInt || part == c10::kLong;
  const bool half = name == "index_add" && (dtype == c10::kHalf || dtype == c10::kBFloat16);
  TORCH_CHECK_NOT_IMPLEMENTED(
      wide || half, "mtia_sim accumulates by index in bool, integers, float16, bfloat16, float32 and float64, got ",
      dtype, "; convert the tensor first");
}

// The iterator's operand stands still along the indexed dimensions (stride 0): checked mode wants what indices reach
// too.
at::Tensor reached_by_indices(const at::TensorBase& operand, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  std::vector<int64_t> all_sizes = operand.sizes().vec();
  std::vector<int64_t> all_strides = operand.strides().vec();
  const auto bytes = static_cast<int64_t>(operand.itemsize());
  for (size_t k = 0; k < sizes.size(); ++k) {
    all_sizes.push_back(sizes[k]);
    all_strides.push_back(strides[k] / bytes);
  }
  return at::Tensor(operand).as_strided(all_sizes, all_strides);
}

// An operand of an iterator with the iterator's box as its shape, outermost first.
at::Tensor operand_view(const at::TensorIteratorBase& iterator, int operand) {
  const at::TensorBase& base = iterator.tensor_base(operand);
  const auto bytes = static_cast<int64_t>(iterator.element_size(operand));
  std::vector<int64_t> sizes(iterator.shape().rbegin(), iterator.shape().rend());
  std::vector<int64_t> strides;
  for (int i = iterator.ndim() - 1; i >= 0; --i) strides.push_back(iterator.strides(operand)[i] / bytes);
  const auto begin = static_cast<const std::byte*>(base.storage().data());
  const auto offset = static_cast<const std::byte*>(iterator.data_ptr(operand)) - begin;
  return at::Tensor(base).as_strided(sizes, strides, offset / bytes);
}

// Of each position of the box, how many elements behind the indexed side's first its element lies: by one index tensor
// after the other, each looked up in a table of its dimension's offsets, which refuses what lies outside of it.
at::Tensor offsets_of(const at::TensorIteratorBase& iterator, int indexed, c10::IntArrayRef indices,
                      const Indexed& along) {
  const auto bytes = static_cast<int64_t>(iterator.element_size(indexed));
  const at::TensorOptions options = at::TensorOptions(iterator.device(indexed)).dtype(c10::kLong);
  std::vector<int64_t> shape(iterator.shape().rbegin(), iterator.shape().rend());
  at::Tensor offsets = at::zeros(shape, options);
  for (size_t k = 0; k < indices.size(); ++k) {
    const at::Tensor table = at::arange(along.sizes[k], options).mul_(along.strides[k] / bytes);
    const at::Tensor index = operand_view(iterator, static_cast<int>(indices[k])).contiguous().view({-1});
    const at::Tensor repeated = table.as_strided({index.numel()}, {0});
    const at::Tensor looked_up = at::empty({index.numel()}, options);
    at::TensorIteratorConfig config;
    config.set_check_mem_overlap(false).check_all_same_dtype(false).resize_outputs(false);
    config.add_output(looked_up).add_const_input(repeated).add_const_input(index);
    const at::TensorIterator one = config.build();
    const int64_t size = along.sizes[k];
    const auto stride = static_cast<int64_t>(sizeof(int64_t));
    launch_index("index_take", one, 0, 1, {2},
                 {size, stride, along.wraps, along.first_dimension + static_cast<int64_t>(k)});
    offsets.add_(looked_up.view(shape));
  }
  for (size_t d = 0; d < shape.size(); ++d) {
    const int64_t stride = iterator.strides(indexed)[shape.size() - 1 - d] / bytes;
    if (stride == 0 || shape[d] == 1) continue;
    std::vector<int64_t> along_d(shape.size(), 1);
    along_d[d] = shape[d];
    offsets.add_(at::arange(shape[d], options).mul_(stride).view(along_d));
  }
  return offsets.view({-1});
}

// Any number of dimensions and index tensors: as one dimension that one index tensor of offsets indexes.
void launch_index_flat(const char* kernel, const at::TensorIteratorBase& iterator, int fixed, int indexed,
                       c10::IntArrayRef indices, const Indexed& along, const at::Tensor& value) {
  const at::Tensor offsets = offsets_of(iterator, indexed, indices, along);
  const at::Tensor side = operand_view(iterator, indexed);
  const at::Tensor flat = side.as_strided({offsets.numel()}, {0});
  const bool takes = std::string_view(kernel) == "index_take";
  at::Tensor shaped;
  at::Tensor values;
  if (fixed >= 0) {
    shaped = operand_view(iterator, fixed);
    values = takes ? at::empty({offsets.numel()}, shaped.options()) : shaped.contiguous().view({-1});
  }
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false).check_all_same_dtype(false).resize_outputs(false).declare_static_shape(
      offsets.sizes());
  config.add_output(flat).add_const_input(offsets);
  if (fixed >= 0) config.add_const_input(values);
  const auto bytes = static_cast<int64_t>(side.element_size());
  // Each offset was looked up: it is inside of the tensor, hence of its storage.
  const auto reach = static_cast<int64_t>(side.storage().nbytes()) / bytes - side.storage_offset();
  launch_index(kernel, config.build(), fixed >= 0 ? 2 : -1, 0, {1}, {reach, bytes}, value);
  if (takes) shaped.copy_(values.view(shaped.sizes()));
}

}  // namespace

void launch_index(const char* kernel, const at::TensorIteratorBase& iterator, int fixed, int indexed,
                  c10::IntArrayRef indices, const Indexed& along, const at::Tensor& value) {
  if (iterator.numel() == 0) return;
  // A complex number is two real ones behind each other: one more dimension, along which no index moves.
  const bool is_complex = c10::isComplexType(iterator.dtype(indexed));
  const int64_t parts = is_complex ? 2 : 1;
  const auto real = [](c10::ScalarType dtype) {
    return c10::isComplexType(dtype) ? c10::toRealValueType(dtype) : dtype;
  };
  check_atomic(kernel, iterator.dtype(indexed));
  const int dims = iterator.ndim() + (is_complex ? 1 : 0);
  if (dims > max_dims || indices.size() > max_indices)
    return launch_index_flat(kernel, iterator, fixed, indexed, indices, along, value);
  KernelCall call(kernel_of(kernel), iterator.device(indexed).index());
  const auto add_strides = [&](int operand, int64_t of_parts) {
    const int64_t bytes = iterator.element_size(operand) / (of_parts != 0 ? 2 : 1);
    if (is_complex) call.size(of_parts);
    for (int i = 0; i < iterator.ndim(); ++i) call.size(iterator.strides(operand)[i] / bytes);
  };
  call.size(dims).size(static_cast<int64_t>(indices.size())).size(along.wraps);
  if (is_complex) call.size(parts);
  call.sizes(iterator.shape());
  if (fixed >= 0) {
    call.operand(iterator.tensor_base(fixed), iterator.data_ptr(fixed)).dtype(real(iterator.dtype(fixed)));
    add_strides(fixed, is_complex ? 1 : 0);
  } else {
    call.operand(value).dtype(real(value.scalar_type()));
    if (is_complex) call.size(1);
    for (int i = 0; i < iterator.ndim(); ++i) call.size(0);
  }
  if (runtime::is_checking()) {
    call.operand(reached_by_indices(iterator.tensor_base(indexed), along.sizes, along.strides),
                 iterator.data_ptr(indexed));
  } else {
    call.operand(iterator.tensor_base(indexed), iterator.data_ptr(indexed));
  }
  call.dtype(real(iterator.dtype(indexed)));
  add_strides(indexed, is_complex ? 1 : 0);
  const int64_t bytes = iterator.element_size(indexed) / parts;
  for (size_t k = 0; k < indices.size(); ++k) {
    const auto index = static_cast<int>(indices[k]);
    call.operand(iterator.tensor_base(index), iterator.data_ptr(index)).dtype(iterator.dtype(index));
    add_strides(index, 0);
    call.size(along.sizes[k]).size(along.strides[k] / bytes);
    call.size(along.first_dimension + static_cast<int64_t>(k));
  }
  call.launch();
}

void launch_index_list(const char* kernel, const at::TensorIteratorBase& iterator, int fixed, int indexed,
                       c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  std::vector<int64_t> indices(static_cast<size_t>(iterator.ntensors() - 2));
  std::iota(indices.begin(), indices.end(), 2);
  launch_index(kernel, iterator, fixed, indexed, indices, {sizes, strides, /*wraps=*/true});
}

}  // namespace mtia::torch_backend
