// The current device of each thread, and the way from a c10 device index to the runtime's device.
#pragma once

#include <c10/core/Device.h>

#include "runtime/runtime.h"

namespace mtia::torch_backend {

inline constexpr c10::DeviceType device_type = c10::DeviceType::PrivateUse1;

// Never throws: 0 where the environment is wrong (the error then comes from initialisation).
c10::DeviceIndex device_count() noexcept;

c10::DeviceIndex current_device() noexcept;
// Throws InvalidArgument for an index that does not exist.
void set_device(c10::DeviceIndex index);
c10::DeviceIndex exchange_device(c10::DeviceIndex index);
void set_device_unchecked(c10::DeviceIndex index) noexcept;

// The runtime's device; -1 is the current one. Initialises on first use. Errors arrive as Python exceptions of their
// category.
runtime::Device& device_of(c10::DeviceIndex index);

// What makes the runtime know its chip when C++ needs a device before Python called _lazy_init. Set by the bindings.
void set_initialiser(void (*initialise)());
void ensure_initialised();

}  // namespace mtia::torch_backend
