// Device addresses of tensors.
#pragma once

#include <ATen/core/TensorBase.h>

#include <cstdint>

namespace mtia::torch_backend {

// Where a tensor's first element lies in device memory; 0 of an undefined one.
inline uint64_t address_of(const at::TensorBase& tensor) {
  return tensor.defined() ? reinterpret_cast<uint64_t>(tensor.const_data_ptr()) : 0;
}

}  // namespace mtia::torch_backend
