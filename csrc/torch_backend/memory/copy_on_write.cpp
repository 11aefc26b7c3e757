// torch._lazy_clone: two tensors share memory until one of them is written. Who writes asks for a mutable address
// (memory/address.h, KernelCall::part_from_clones), and torch then clones the memory by the storage's allocator.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_lazy_clone_native.h>
#include <torch/library.h>

#include <memory>
#include <vector>

#include "torch_backend/device.h"
#include "torch_backend/memory/allocator.h"

namespace mtia::torch_backend {
namespace {

// torch clones a storage's memory on whatever device is the current one when somebody writes. This allocator has one
// device.
class DeviceMemory final : public c10::Allocator {
 public:
  explicit DeviceMemory(c10::DeviceIndex device) : device_(device) {}
  c10::DataPtr allocate(size_t bytes) override { return allocate_on(device_, bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return device_allocator().raw_deleter(); }
  void copy_data(void* destination, const void* source, size_t bytes) const override {
    device_allocator().copy_data(destination, source, bytes);
  }

 private:
  c10::DeviceIndex device_;
};

c10::Allocator* memory_of(c10::DeviceIndex device) {
  static auto* const allocators = [] {
    auto* all = new std::vector<std::unique_ptr<DeviceMemory>>;  // never destroyed: storages may outlive them
    for (c10::DeviceIndex index = 0; index < device_count(); ++index)
      all->push_back(std::make_unique<DeviceMemory>(index));
    return all;
  }();
  return (*allocators)[static_cast<size_t>(device)].get();
}

at::Tensor lazy_clone(const at::Tensor& self) {
  self.storage().unsafeGetStorageImpl()->set_allocator(memory_of(self.device().index()));
  return at::native::_lazy_clone(self);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) { library.impl("_lazy_clone", TORCH_FN(lazy_clone)); }

}  // namespace mtia::torch_backend
