// Programs whose accesses outside of a launch's memory read 0 and write nothing, as GPUs let them, with a warning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "emulator/memory/device_memory.h"

namespace mtia {
struct ChipSpec;
}

namespace mtia::emulator {

struct Frame;
class LoadedProgram;

// As load_program. The first access of each kernel and line that is outside is told on stderr.
std::shared_ptr<const LoadedProgram> load_tolerant_program(std::span<const std::byte> bytes, const ChipSpec& chip);

// The first access of a program that was outside.
struct Tolerated {
  uint64_t program = UINT64_MAX;
  uint32_t instruction = 0;
  std::string problem;
};

// The host pointer of one element, device bytes [low, high); nullptr where it is outside and that is tolerated. Throws
// OutOfBounds where it is not.
std::byte* element_span(Frame& frame, uint64_t low, uint64_t high, Access access, uint32_t instruction);

// Tells of a launch's first such access, once a kernel and line.
void warn_of(const LoadedProgram& program, const Tolerated& first);

}  // namespace mtia::emulator
