// Operands of an element-wise call: type promotion, broadcasting, the output, and the launch.
#include "torch_backend/operators/elementwise.h"

#include <ATen/EmptyTensor.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorIterator.h>
#include <ATen/native/Resize.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

constexpr int max_kernel_dims = 6;

using OperandList = c10::ArrayRef<ElementwiseOperand>;

bool is_number(const ElementwiseOperand& operand) {
  return operand.tensor == nullptr || (operand.tensor->dim() == 0 && operand.tensor->is_cpu());
}

// Python numbers arrive as tensors of these dtypes; reading them past the dispatcher saves microseconds.
c10::Scalar number_of(const ElementwiseOperand& operand) {
  if (operand.tensor == nullptr) return operand.number;
  const void* data = operand.tensor->const_data_ptr();
  switch (operand.tensor->scalar_type()) {
    case c10::kDouble:
      return *static_cast<const double*>(data);
    case c10::kFloat:
      return static_cast<double>(*static_cast<const float*>(data));
    case c10::kLong:
      return *static_cast<const int64_t*>(data);
    case c10::kBool:
      return *static_cast<const bool*>(data);
    default:
      return operand.tensor->item();
  }
}

const at::Tensor* first_device_tensor(OperandList operands) {
  for (const ElementwiseOperand& operand : operands) {
    if (!is_number(operand)) return operand.tensor;
  }
  return nullptr;
}

// A number as a tensor of the dtype holds it.
double rounded(double number, c10::ScalarType dtype) {
  if (dtype == c10::kHalf) return static_cast<float>(c10::Half(static_cast<float>(number)));
  if (dtype == c10::kBFloat16) return static_cast<float>(c10::BFloat16(static_cast<float>(number)));
  return number;
}

// The dtypes and, behind the tensors, the numbers of the call. What is compared with numbers compares them in its own
// dtype, on every device of torch, so that x == 0.1 where x was filled with 0.1.
void add_dtypes_and_numbers(KernelCall& call, c10::ScalarType out, OperandList operands, c10::ScalarType compute,
                            c10::ScalarType result) {
  call.dtype(out);
  const bool floating = c10::isFloatingType(compute);
  for (const ElementwiseOperand& operand : operands) {
    if (is_number(operand)) {
      const c10::Scalar number = number_of(operand);
      call.dtype_code(scalar_dtype);
      if (floating && !number.isComplex()) {
        call.scalar(result == c10::kBool ? rounded(number.toDouble(), compute) : number.toDouble());
      } else if (compute == c10::kBool && !number.isComplex()) {
        call.scalar(number.toDouble() != 0);
      } else {
        call.scalar(ScalarArgument(number));
      }
    } else {
      call.dtype(operand.tensor->scalar_type());
    }
  }
  call.dtype(compute);
}

// Contiguous tensors of one shape: no iterator is needed, and this is nearly every call.
bool is_plain(OperandList operands, const at::Tensor& first, const at::Tensor& out) {
  for (const ElementwiseOperand& operand : operands) {
    if (is_number(operand)) continue;
    const at::Tensor& tensor = *operand.tensor;
    if (!tensor.is_contiguous() || tensor.device() != first.device() || !tensor.sizes().equals(first.sizes()))
      return false;
  }
  return !out.defined() || (out.is_contiguous() && out.device() == first.device() && out.sizes().equals(first.sizes()));
}

at::Tensor run_plain(const KernelId& kernel, const at::Tensor& out, OperandList operands, const at::Tensor& first,
                     c10::ScalarType compute, c10::ScalarType result) {
  if (out.defined()) {
    for (const ElementwiseOperand& operand : operands) {
      if (!is_number(operand) && !operand.tensor->is_same(out)) at::assert_no_partial_overlap(out, *operand.tensor);
    }
  }
  at::Tensor output = out.defined() ? out : empty_device(first.sizes(), result, first.device());
  const int64_t count = output.numel();
  if (count == 0) return output;
  KernelCall call(kernel, first.device().index());
  call.operand(output);
  call.size(1).size(count).size(1);
  for (const ElementwiseOperand& operand : operands) {
    if (is_number(operand)) continue;
    call.operand(*operand.tensor);
    call.size(1);
  }
  add_dtypes_and_numbers(call, output.scalar_type(), operands, compute, result);
  call.launch();
  return output;
}

// Sizes and strides of a built iterator, outermost dimension first, in elements.
void add_geometry(KernelCall& call, const at::TensorIteratorBase& iterator) {
  const int dims = iterator.ndim();
  call.size(dims);
  for (int i = dims - 1; i >= 0; --i) call.size(iterator.shape()[i]);
  for (int operand = 0; operand < iterator.ntensors(); ++operand) {
    const int64_t bytes = iterator.element_size(operand);
    for (int i = dims - 1; i >= 0; --i) call.size(iterator.strides(operand)[i] / bytes);
  }
}

}  // namespace

at::Tensor without_repeats(const at::Tensor& tensor) {
  if (tensor.numel() == 0 || tensor.is_non_overlapping_and_dense()) return tensor;
  std::vector<std::pair<int64_t, int64_t>> dims;  // stride and size
  bool repeats = false;
  for (int64_t dim = 0; dim < tensor.dim(); ++dim) {
    if (tensor.size(dim) == 1) continue;
    repeats |= tensor.stride(dim) == 0;
    if (tensor.stride(dim) != 0) dims.emplace_back(tensor.stride(dim), tensor.size(dim));
  }
  std::sort(dims.begin(), dims.end());
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  for (const auto& [stride, size] : dims) {
    if (!sizes.empty() && stride % strides.back() == 0 && stride / strides.back() <= sizes.back()) {
      const int64_t step = stride / strides.back();
      repeats |= step < sizes.back();
      sizes.back() += step * (size - 1);
    } else {
      sizes.push_back(size);
      strides.push_back(stride);
    }
  }
  return repeats ? tensor.as_strided(sizes, strides) : tensor;
}

at::Tensor elementwise(const KernelId& kernel, const at::Tensor& out, OperandList operands, c10::ScalarType compute,
                       c10::ScalarType result) {
  const at::Tensor* first = first_device_tensor(operands);
  if (first == nullptr) {
    // A number alone: as often as an element is written, it is the same.
    const at::Tensor view = without_repeats(out);
    if (!view.is_same(out)) {
      elementwise(kernel, view, operands, compute, result);
      return out;
    }
  }
  if (first != nullptr && out.defined() && out.is_complex()) {  // into which the result, which is real, is converted
    check_same_device("the output", first->device(), out);
    const at::Tensor real = elementwise(kernel, {}, operands, compute, result);
    at::native::resize_output(out, real.sizes());
    return out.copy_(real);
  }
  const at::Tensor& like = first != nullptr ? *first : out;
  if (is_plain(operands, like, out)) return run_plain(kernel, out, operands, like, compute, result);

  at::TensorIteratorConfig config;
  config.check_all_same_dtype(false).add_output(out);
  if (!out.defined()) config.declare_static_dtype(result);
  for (const ElementwiseOperand& operand : operands) {
    if (!is_number(operand)) config.add_const_input(*operand.tensor);
  }
  if (first == nullptr) {
    config.resize_outputs(false).declare_static_shape(out.sizes()).set_check_mem_overlap(false);
  }
  at::TensorIterator iterator = config.build();
  const at::Tensor output = iterator.output();
  if (iterator.numel() == 0) return output;
  if (iterator.ndim() > max_kernel_dims) {
    // Rare: operands whose dimensions do not merge. Dense copies do.
    std::vector<at::Tensor> dense;
    std::vector<ElementwiseOperand> copies;
    dense.reserve(operands.size());
    for (const ElementwiseOperand& operand : operands) {
      if (is_number(operand)) {
        copies.push_back(operand);
      } else {
        dense.push_back(operand.tensor->expand(output.sizes()).contiguous());
        copies.emplace_back(dense.back());
      }
    }
    const at::Tensor computed =
        elementwise(kernel, at::Tensor(), copies, compute, result == c10::kBool ? result : output.scalar_type());
    output.copy_(computed);
    return output;
  }
  KernelCall call(kernel, output.device().index());
  add_geometry(call, iterator);
  for (int i = 0; i < iterator.ntensors(); ++i) call.operand(iterator.tensor_base(i), iterator.data_ptr(i));
  add_dtypes_and_numbers(call, output.scalar_type(), operands, compute, result);
  call.launch();
  return output;
}

}  // namespace mtia::torch_backend
