// Device addresses of tensors.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/core/StorageImpl.h>
#include <c10/core/impl/COWDeleter.h>

#include <cstdint>

namespace mtia::torch_backend {

// Where a tensor's first element lies in device memory, for whoever may write there: a storage that is shared until it
// is written (torch._lazy_clone) gets memory of its own first. 0 of an undefined tensor.
inline uint64_t address_of(const at::TensorBase& tensor) {
  return tensor.defined() ? reinterpret_cast<uint64_t>(tensor.mutable_data_ptr()) : 0;
}

// The same for whoever reads alone. Where one storage is read and written, ask for the address to write first.
inline uint64_t address_to_read(const at::TensorBase& tensor) {
  return tensor.defined() ? reinterpret_cast<uint64_t>(tensor.const_data_ptr()) : 0;
}

// Whether the storage's memory is shared until one of its owners writes.
inline bool is_copy_on_write(const c10::StorageImpl& storage) {
  return storage.data_ptr().get_deleter() == &c10::impl::cow::cow_deleter;
}

}  // namespace mtia::torch_backend
