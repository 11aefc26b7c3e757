// Small programs that between them hold every form of instruction.
#pragma once

#include <vector>

#include "program/tile_program.h"

namespace mtia::test {

std::vector<TileProgram> specimens();

}  // namespace mtia::test
