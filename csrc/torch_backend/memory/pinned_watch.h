// Host and device on pinned memory, in checked mode: what the program does with it before it has waited for an
// asynchronous copy.
//
// No timing is involved: between the submission of the copy and the host's first wait that covers it, the program may
// not write what the copy reads, nor touch what it writes. Blocks of pinned_arena.h are guarded page by page, which
// names the program's line; of others, and of pages that the copy shares with other elements, digests of what it reads
// are compared when the host waits.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>

#include "runtime/event.h"

namespace mtia::torch_backend {

// An asynchronous copy between the device and a dense tensor in pinned memory was submitted. Only where
// runtime::is_checking().
enum class PinnedUse { read_by_device, written_by_device };
void watch_pinned(const at::Tensor& host, PinnedUse use, c10::DeviceIndex device, runtime::Ticket ticket);

// The device writes the bytes next, or the allocator takes them back: what is watched of them ends here.
void unwatch_pinned(const void* data, size_t bytes);

}  // namespace mtia::torch_backend
