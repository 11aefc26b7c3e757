// Growing and shrinking of device storages.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/StorageImpl.h>

#include <optional>

namespace mtia::torch_backend {

// Gives the storage `bytes` bytes; the leading ones keep their contents.
void resize_storage(c10::StorageImpl& storage, size_t bytes);

// Sets sizes and strides (contiguous where absent) and grows the storage where they need more.
void set_geometry(const at::Tensor& tensor, at::IntArrayRef sizes, at::OptionalIntArrayRef strides);

}  // namespace mtia::torch_backend
