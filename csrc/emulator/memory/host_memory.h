// How much memory the host has left for the device memory that it stands in for.
#pragma once

#include <cstdint>

namespace mtia::emulator {

// Bytes that the host could commit without swapping (MemAvailable of /proc/meminfo); the largest number where it does
// not say.
uint64_t available_host_bytes();

}  // namespace mtia::emulator
