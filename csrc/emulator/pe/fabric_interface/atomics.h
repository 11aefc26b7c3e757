// Atomic read-modify-write of one element of device memory, on the host's own atomics.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "isa/opcode.h"

namespace mtia::emulator {

// Returns the old bits. `memory` is aligned to the element. Floats: add in the element's own precision (narrow ones in
// f32, rounded once), max and min as max_f and min_f.
uint64_t atomic_update(std::byte* memory, DType dtype, AtomicKind kind, uint64_t operand);

// Returns the old bits; bitwise comparison.
uint64_t atomic_compare_and_swap(std::byte* memory, size_t size, uint64_t expected, uint64_t desired);

}  // namespace mtia::emulator
