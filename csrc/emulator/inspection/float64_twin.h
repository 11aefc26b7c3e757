// The same kernel in higher precision: every float that a tile program computes with becomes float64, and is rounded
// once, when it is stored.
#pragma once

#include <memory>

#include "emulator/emulator.h"

namespace mtia::emulator {

// A program that takes the same arguments and touches the same memory. It may need more local memory than a PE has,
// which nobody checks. Throws Unsupported for a program that looks at the bits of its floats.
std::shared_ptr<const LoadedProgram> float64_twin(const LoadedProgram& program);

}  // namespace mtia::emulator
