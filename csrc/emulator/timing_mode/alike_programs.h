// Which programs of a grid do the same but for the place in their tensors: what a PE that runs such a sequence of them
// costs is what another one costs that runs the same sequence.
//
// Programs differ by their numbers alone. The analysis follows these through the scalars that an account depends on, up
// to the last ones outside of any block: these either decide (trip counts, conditions, strides) and must be equal, or
// bound a tile and must be equal once clamped to it, or only move addresses, by a sum that is known before a program
// runs.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/timing_mode/needed_values.h"
#include "program/tile_program.h"

namespace mtia::emulator {

// Adds scale * root * the product of the factors to an address.
struct AddressTerm {
  uint32_t root = 0;  // scalars of the program
  std::vector<uint32_t> factors;
  int64_t scale = 1;

  friend bool operator==(const AddressTerm&, const AddressTerm&) = default;
  friend auto operator<=>(const AddressTerm&, const AddressTerm&) = default;
};

struct AlikePrograms {
  struct Bound {
    uint32_t scalar = 0;
    int64_t low = 0;  // below and above it is as good as they
    int64_t high = 0;
  };

  // A tile's dimension that starts anew where its coordinates reach `size`.
  struct Wrap {
    uint32_t start = 0;  // scalars
    uint32_t size = 0;
    int64_t extent = 0;

    // Whether it never does, so that the start only moves addresses.
    static bool is_whole(int64_t start, int64_t size, int64_t extent) { return start >= 0 && start <= size - extent; }
  };

  bool is_known = false;           // otherwise an account may depend on more than numbers of programs
  std::vector<uint32_t> makers;    // instructions that make the scalars below from a program's number, in order
  std::vector<uint32_t> deciding;  // scalars
  std::vector<Bound> bounds;
  std::vector<Wrap> wraps;                          // must be equal where they start anew
  std::vector<std::vector<AddressTerm>> transfers;  // of each load and store: what moves its addresses
  std::vector<uint32_t> transfer_of;                // by instruction: number in transfers, or absent
};

// `program` is verified.
AlikePrograms alike_programs(const TileProgram& program, const NeededValues& needed);

}  // namespace mtia::emulator
