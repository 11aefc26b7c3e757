// Which instructions of a tile program make values that its account depends on: addresses, offsets, masks, trip counts.
#pragma once

#include <cstdint>
#include <vector>

#include "program/tile_program.h"

namespace mtia::emulator {

// What for, as bits.
enum Need : uint8_t {
  not_needed = 0,
  needed_for_mask = 1,     // of a DMA, which counts only where its whole box may not be touched
  needed_for_address = 2,  // or for an offset, an extent, or the mask of an indexed access
  needed_for_control = 4,  // trip counts and conditions
  needed_for_loop = 8,     // conditions of whiles among these, which go round until values say so
};

struct NeededValues {
  std::vector<uint8_t> instructions;  // by instruction: Need bits of what it makes
  std::vector<bool> arguments;        // by launch argument: whether the account depends on it
  // Old values of atomics, or of loads that may wait for another program, decide what happens next: such a launch has
  // to be computed.
  bool atomics_decide = false;
  bool loads_decide = false;
};

// A backward analysis: by slot and point of the program for tiles, which share slots over time, by register for
// scalars. `program` is verified.
NeededValues needed_values(const TileProgram& program);

}  // namespace mtia::emulator
