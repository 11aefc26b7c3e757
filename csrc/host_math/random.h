// Bulk Philox 4x32-10 random numbers (Salmon et al., SC 2011): number i depends on seed, stream and i alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "host_math/instruction_set.h"

namespace mtia::host_math {

// Element i of a sequence is word i % 4 of the block with counter {(first + i) / 4 in 64 bits, stream in 64 bits}
// and key seed. `first` is a multiple of 4.
struct PhiloxSequence {
  uint64_t seed;
  uint64_t stream;
  uint64_t first;
};

using PhiloxLoop = void (*)(uint32_t* dst, PhiloxSequence sequence, size_t n);
using PhiloxFloatLoop = void (*)(float* dst, PhiloxSequence sequence, size_t n);

void philox_bits(uint32_t* dst, PhiloxSequence sequence, size_t n, HostIsa isa = selected_isa());

// Multiples of 2^-24 in [0, 1).
void philox_uniform(float* dst, PhiloxSequence sequence, size_t n, HostIsa isa = selected_isa());

// Standard normal numbers: Box-Muller on neighbouring pairs of words, |result| <= 5.77.
void philox_normal(float* dst, PhiloxSequence sequence, size_t n, HostIsa isa = selected_isa());

}  // namespace mtia::host_math
