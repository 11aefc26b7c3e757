// Host and device on pinned memory, in checked mode: what the host changes before it has waited for a copy that reads
// it.
//
// No timing is involved: between the submission of an asynchronous copy to the device and the host's first wait that
// covers it, the bytes must stay as they are; that wait compares them.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>

#include "runtime/event.h"

namespace mtia::torch_backend {

// An asynchronous copy of pinned memory to the device was submitted. Only where runtime::is_checking().
void watch_pinned_source(const void* data, size_t bytes, c10::DeviceIndex device, runtime::Ticket ticket);

// The device, or the host by the allocator's leave, writes the bytes from now on: what is watched of them is compared
// now, and no more.
void unwatch_pinned(const void* data, size_t bytes);

}  // namespace mtia::torch_backend
