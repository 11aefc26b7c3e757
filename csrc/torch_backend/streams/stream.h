// Streams: the current one of each thread and device, and the two round-robin pools that torch.Stream draws from.
#pragma once

#include <c10/core/Stream.h>

#include "torch_backend/device.h"

namespace mtia::torch_backend {

// The default stream has id 0.
runtime::StreamId current_stream_id(c10::DeviceIndex index) noexcept;
void set_current_stream_id(c10::DeviceIndex index, runtime::StreamId id) noexcept;
runtime::StreamId stream_from_pool(c10::DeviceIndex index, bool is_high_priority);

// The next stream from each pool is its first one. For a program that has let go of all that it took.
void restart_pools(c10::DeviceIndex index);

inline c10::Stream as_c10_stream(c10::DeviceIndex index, runtime::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(device_type, index), id);
}

}  // namespace mtia::torch_backend
