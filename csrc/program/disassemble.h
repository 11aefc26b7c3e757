// Text of tile programs, for people, golden files and error messages; generated from instructions.def.
#pragma once

#include <string>

#include "program/tile_program.h"

namespace mtia {

std::string disassemble(const TileProgram& program);

// One instruction, as "%7:f32[64,128]@2 = add_f %5, 1.0:f32"; tolerates an ill-typed program.
std::string disassemble(const TileProgram& program, const Instruction& instruction);

}  // namespace mtia
