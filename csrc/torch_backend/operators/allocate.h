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

// A tensor that a kernel can write in this format, to be copied into `wanted` where that lies otherwise. What `wanted`
// held is not in it.
class Dense {
 public:
  explicit Dense(const at::Tensor& wanted, at::MemoryFormat format = at::MemoryFormat::Contiguous) : wanted_(wanted) {
    if (wanted.is_contiguous(format)) {
      dense_ = wanted;
      return;
    }
    const c10::DeviceGuard guard(wanted.device());
    dense_ = at::Tensor(at::detail::empty_generic(wanted.sizes(), c10::GetAllocator(c10::kPrivateUse1),
                                                  c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                  wanted.scalar_type(), format));
  }
  const at::Tensor& tensor() const { return dense_; }
  void finish() const {
    if (!dense_.is_same(wanted_)) wanted_.copy_(dense_);
  }

 private:
  at::Tensor wanted_;
  at::Tensor dense_;
};

}  // namespace mtia::torch_backend
