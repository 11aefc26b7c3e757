// Chip time by instruction of one launch of a tile program.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/emulator.h"

namespace mtia::emulator {

// What one instruction took on the PE that finished last. Sub-cycles are 1/256 of a chip cycle.
struct InstructionTime {
  uint64_t count = 0;      // how often it ran
  uint64_t busy = 0;       // sub-cycles for which it kept units and the scalar core
  uint64_t exposed = 0;    // sub-cycles by which it put off the end of the work: these sum to the PE's time
  uint64_t transfers = 0;  // bytes it moved between the PE and SRAM or DRAM
};

struct LaunchProfile {
  std::vector<InstructionTime> instructions;  // by index in the tile program
  uint64_t pe_cycles = 0;                     // of that PE
  uint32_t pe = 0;
  uint64_t programs = 0;  // that the PE ran
  LaunchAccount account;
};

// The same program for one launch that fills `profile`.
std::shared_ptr<const LoadedProgram> profiling(const LoadedProgram& program, std::shared_ptr<LaunchProfile> profile);

}  // namespace mtia::emulator
