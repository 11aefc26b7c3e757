// New device tensors: empty and empty_strided.
#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/view_as_real.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <optional>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/memory/allocator.h"

namespace mtia::torch_backend {
namespace {

constexpr c10::DispatchKeySet device_key(c10::DispatchKey::PrivateUse1);

void check_options(std::optional<at::Layout> layout, std::optional<bool> pin_memory) {
  if (layout.has_value() && *layout != at::kStrided) {
    throw_for_python(Unimplemented(concat("a tensor with layout ", *layout), "empty",
                                   "mtia_sim holds strided tensors; use layout=torch.strided"));
  }
  if (pin_memory.value_or(false)) {
    throw_for_python(InvalidArgument("pin_memory=True for a tensor on mtia_sim", "empty",
                                     "only CPU tensors can be pinned: make it on the CPU"));
  }
}

void fill_if_deterministic(at::Tensor& tensor) {
  if (C10_UNLIKELY(at::globalContext().deterministicAlgorithms() &&
                   at::globalContext().deterministicFillUninitializedMemory())) {
    // Pairs of halves, which nothing computes in.
    const bool is_pair = tensor.scalar_type() == c10::kComplexHalf;
    at::Tensor numbers = is_pair ? at::view_as_real(tensor) : tensor;
    at::native::fill_empty_deterministic_(numbers);
  }
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                 std::optional<at::Device> device, std::optional<bool> pin_memory,
                 std::optional<at::MemoryFormat> memory_format) {
  check_options(layout, pin_memory);
  const c10::OptionalDeviceGuard guard(device);
  at::Tensor tensor =
      at::detail::empty_generic(sizes, &device_allocator(), device_key, c10::dtype_or_default(dtype), memory_format);
  fill_if_deterministic(tensor);
  return tensor;
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout> layout, std::optional<at::Device> device,
                         std::optional<bool> pin_memory) {
  check_options(layout, pin_memory);
  const c10::OptionalDeviceGuard guard(device);
  at::Tensor tensor =
      at::detail::empty_strided_generic(sizes, strides, &device_allocator(), device_key, c10::dtype_or_default(dtype));
  fill_if_deterministic(tensor);
  return tensor;
}

// No memory lies behind it: what forward-mode differentiation makes tensors of zeros of.
at::Tensor efficient_zero_tensor(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype,
                                 std::optional<at::Layout> layout, std::optional<at::Device> device,
                                 std::optional<bool> pin_memory) {
  check_options(layout, pin_memory);
  const c10::OptionalDeviceGuard guard(device);
  at::native::ZeroTensorAllocator allocator(c10::Device(c10::DeviceType::PrivateUse1, current_device()));
  const c10::DispatchKeySet keys = device_key | c10::DispatchKeySet(c10::DispatchKey::ZeroTensor);
  return at::detail::empty_generic(sizes, &allocator, keys, c10::dtype_or_default(dtype), std::nullopt);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", TORCH_FN(empty));
  library.impl("_efficientzerotensor", TORCH_FN(efficient_zero_tensor));
  library.impl("empty_strided", TORCH_FN(empty_strided));
}

}  // namespace mtia::torch_backend
