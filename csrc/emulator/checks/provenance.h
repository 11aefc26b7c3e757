// Which argument of a tile program each of its memory instructions reaches memory through.
#pragma once

#include <cstdint>
#include <vector>

#include "program/tile_program.h"

namespace mtia::emulator {

inline constexpr uint32_t unknown_origin = UINT32_MAX;

// By instruction: the one pointer argument that its address is computed from; unknown_origin where there are several,
// or none.
std::vector<uint32_t> origins_of(const TileProgram& program);

}  // namespace mtia::emulator
