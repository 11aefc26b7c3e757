// The structured control flow of a verified tile program, for whoever walks it: decoders and analyses.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "program/tile_program.h"

namespace mtia {

struct ControlFlow {
  std::vector<uint32_t> match;    // of a block's begin and else: its end; of an end or a while's test: its begin
  std::vector<uint32_t> else_of;  // of if_begin: its else_begin or absent

  ControlFlow() = default;
  explicit ControlFlow(const TileProgram& program);

  // The instructions that may run next; returns how many there are.
  unsigned successors(const TileProgram& program, uint32_t instruction, std::array<uint32_t, 2>& next) const;
};

}  // namespace mtia
