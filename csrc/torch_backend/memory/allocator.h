// The c10::DeviceAllocator of mtia_sim: one caching allocator a device.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include "torch_backend/memory/caching_allocator.h"

namespace mtia::torch_backend {

c10::DeviceAllocator& device_allocator();

CachingAllocator& caching_allocator(c10::DeviceIndex index);

// An allocation on a device that need not be the current one, on that device's current stream.
c10::DataPtr allocate_on(c10::DeviceIndex index, size_t bytes);

// The device that holds a device address, or -1.
c10::DeviceIndex device_of_address(const void* address) noexcept;

}  // namespace mtia::torch_backend
