// Pinned host memory: what asynchronous copies read and write while the program goes on.
#pragma once

#include <c10/core/Device.h>

#include <cstddef>

#include "runtime/device.h"

namespace mtia::torch_backend {

// Whether the byte lies in a live or cached block of the pinned allocator.
bool is_pinned(const void* data) noexcept;

// Whether a copy from or to its block is still under way.
bool is_pinned_in_use(const void* data) noexcept;

// Waits until no copy from or to its block is under way, so that host code may read and write it. Devices synchronise:
// what failed on them is thrown. No-op for pageable memory and for blocks that no device uses.
void wait_for_pinned(const void* data);

// The block that holds a byte: how much of it was asked for, and how much it has.
struct PinnedExtent {
  std::byte* data = nullptr;
  size_t requested = 0;
  size_t bytes = 0;
};
PinnedExtent pinned_extent(const void* data);

// The pinned block that holds `data` is not reused before the ticket of the device is complete. No-op for pageable
// memory.
void use_pinned(const void* data, c10::DeviceIndex device, runtime::Ticket ticket);

}  // namespace mtia::torch_backend
