// Checked mode's random order of what may run in any: the same for the same seed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mtia::emulator {

// A number below `limit`; `state` starts as the seed and moves on. splitmix64
inline size_t random_below(uint64_t& state, size_t limit) {
  uint64_t word = state += 0x9E3779B97F4A7C15U;
  word = (word ^ (word >> 30U)) * 0xBF58476D1CE4E5B9U;
  word = (word ^ (word >> 27U)) * 0x94D049BB133111EBU;
  return static_cast<size_t>((word ^ (word >> 31U)) % limit);
}

}  // namespace mtia::emulator
