// PyTorch's generic accelerator code reaches the device through these hooks.
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Storage.h>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/generator.h"
#include "torch_backend/memory/allocator.h"
#include "torch_backend/memory/host_allocator.h"
#include "torch_backend/memory/storage.h"

namespace mtia::torch_backend {
namespace {

struct Hooks final : at::PrivateUse1HooksInterface {
  void init() const override { ensure_initialised(); }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex index) const override { return runtime::device_if_made(index) != nullptr; }

  c10::DeviceIndex deviceCount() const override { return device_count(); }
  c10::DeviceIndex getCurrentDevice() const override { return current_device(); }
  void setCurrentDevice(c10::DeviceIndex index) const override { set_device(index); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override { return exchange_device(index); }
  // A negative index asks for no exchange.
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override {
    return index < 0 ? current_device() : exchange_device(index);
  }

  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return at::getHostAllocator(device_type); }
  c10::Device getDeviceFromPtr(void* data) const override {
    const c10::DeviceIndex index = device_of_address(data);
    if (index < 0) {
      throw_for_python(InvalidArgument(concat("the address ", data, " is not in the memory of any mtia_sim device"), "",
                                       "pass a pointer that tensor.data_ptr() of an mtia_sim tensor returned"));
    }
    return c10::Device(device_type, index);
  }

  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override { return default_generator(index); }
  at::Generator getNewGenerator(c10::DeviceIndex index) const override { return new_generator(index); }

  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    resize_storage(*storage.unsafeGetStorageImpl(), bytes);
  }
};

[[maybe_unused]] const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

}  // namespace
}  // namespace mtia::torch_backend
