// resize_ and set_ of device tensors, and which tensors may take each other's place (x.data = y, Module.to).
#include "torch_backend/memory/storage.h"

#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/native/ResizeCommon.h>
#include <torch/library.h>

#include <algorithm>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/memory/allocator.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {

void resize_storage(c10::StorageImpl& storage, size_t bytes) {
  if (!storage.resizable()) {
    throw_for_python(
        InvalidArgument("the storage of this tensor cannot be resized", "resize_", "clone the tensor first"));
  }
  const c10::DeviceIndex index = storage.device().index();
  c10::DataPtr data = allocate_on(index, bytes);
  const size_t kept = std::min(bytes, storage.nbytes());
  if (kept != 0) {
    surfacing_errors([&] {
      submit_copy(index, reinterpret_cast<uint64_t>(data.get()), reinterpret_cast<uint64_t>(storage.data()), kept);
    });
  }
  storage.set_data_ptr_noswap(std::move(data));
  storage.set_nbytes(bytes);
}

void set_geometry(const at::Tensor& tensor, at::IntArrayRef sizes, at::OptionalIntArrayRef strides) {
  c10::TensorImpl* implementation = tensor.unsafeGetTensorImpl();
  if (strides.has_value()) {
    implementation->set_sizes_and_strides(sizes, *strides);
  } else {
    implementation->set_sizes_contiguous(sizes);
  }
  if (implementation->numel() == 0) return;
  const auto offset = static_cast<size_t>(implementation->storage_offset());
  const size_t needed = strides.has_value()
                            ? at::detail::computeStorageNbytes(sizes, *strides, implementation->itemsize(), offset)
                            : at::detail::computeStorageNbytesContiguous(sizes, implementation->itemsize(), offset);
  c10::StorageImpl* storage = implementation->unsafe_storage().unsafeGetStorageImpl();
  if (needed > storage->nbytes()) resize_storage(*storage, needed);
}

namespace {

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef sizes,
                          std::optional<at::MemoryFormat> memory_format) {
  const int64_t former_bytes = self.storage() ? static_cast<int64_t>(self.storage().nbytes()) : 0;
  if (self.sizes() != sizes) set_geometry(self, sizes, std::nullopt);
  if (memory_format.has_value()) {
    if (*memory_format == at::MemoryFormat::Preserve) {
      throw_for_python(
          InvalidArgument("memory_format=torch.preserve_format", "resize_", "pass contiguous_format or channels_last"));
    }
    self.unsafeGetTensorImpl()->empty_tensor_restride(*memory_format);
  }
  if (at::globalContext().deterministicAlgorithms() && at::globalContext().deterministicFillUninitializedMemory()) {
    at::native::fill_resize_deterministic_(self, former_bytes);
  }
  return self;
}

at::Tensor& set_storage_offset(at::Tensor& result, at::Storage storage, int64_t offset, at::IntArrayRef sizes,
                               at::IntArrayRef strides) {
  at::native::checkSetStorage(result, std::move(storage), offset, sizes, strides, /*check_offset_in_bounds=*/true);
  result.unsafeGetTensorImpl()->set_storage_offset(offset);
  set_geometry(result, sizes, strides.data() != nullptr ? at::OptionalIntArrayRef(strides) : std::nullopt);
  return result;
}

at::Tensor& set_storage(at::Tensor& result, at::Storage storage) {
  const auto elements = static_cast<int64_t>(storage.nbytes() / result.dtype().itemsize());
  return set_storage_offset(result, std::move(storage), 0, elements, {});
}

at::Tensor& set_tensor(at::Tensor& result, const at::Tensor& source) {
  if (result.unsafeGetTensorImpl() == source.unsafeGetTensorImpl()) return result;
  return set_storage_offset(result, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

at::Tensor& set_empty(at::Tensor& result) {
  const c10::Device device = result.device();
  c10::Storage storage(c10::Storage::use_byte_size_t(), 0, allocate_on(device.index(), 0), &device_allocator(), true);
  return set_storage_offset(result, std::move(storage), 0, {0}, {});
}

// TensorImpl lists the backends that share its plain implementation with the CPU; PrivateUse1 does too but is not
// listed.
bool may_replace(const at::Tensor& self, const at::Tensor& from) {
  const auto plain = [](const at::Tensor& tensor) {
    return tensor.layout() == at::kStrided && (tensor.is_cpu() || tensor.is_privateuseone());
  };
  return plain(self) && plain(from);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("resize_", TORCH_FN(resize_));
  library.impl("set_.source_Storage", TORCH_FN(set_storage));
  library.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage_offset));
  library.impl("set_.source_Tensor", TORCH_FN(set_tensor));
  library.impl("set_", TORCH_FN(set_empty));
  library.impl("_has_compatible_shallow_copy_type", TORCH_FN(may_replace));
}

}  // namespace mtia::torch_backend
