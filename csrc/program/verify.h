// The verifier of tile programs: structure, signatures, types, shapes, placement in local memory.
#pragma once

#include "program/tile_program.h"

namespace mtia {

// Throws InvalidProgram, which names the program, the instruction and its source line, where running the program could
// touch anything but its own registers and slots, or where an instruction breaks the type rule of its form. A verified
// program needs no checks at run time but those of device addresses and of values (indices, steps).
void verify(const TileProgram& program);

}  // namespace mtia
