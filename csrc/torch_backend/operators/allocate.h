// New device tensors for operators' results, past the dispatcher: `empty` costs a microsecond, this a fraction.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceGuard.h>

namespace mtia::torch_backend {

inline at::Tensor empty_device(c10::IntArrayRef sizes, c10::ScalarType dtype, c10::Device device) {
  const c10::DeviceGuard guard(device);
  return at::Tensor(at::detail::empty_generic(sizes, c10::GetAllocator(c10::kPrivateUse1),
                                              c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype, std::nullopt));
}

inline at::Tensor empty_device_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype,
                                       c10::Device device) {
  const c10::DeviceGuard guard(device);
  return at::Tensor(at::detail::empty_strided_generic(sizes, strides, c10::GetAllocator(c10::kPrivateUse1),
                                                      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype));
}

}  // namespace mtia::torch_backend
