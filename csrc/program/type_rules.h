// The type rules of the verifier: what each form of instruction asks of its operands' kinds, dtypes, shapes and places.
#pragma once

#include "program/tile_program.h"

namespace mtia {

// Throws InvalidProgram where `instruction`, whose value numbers exist, breaks the rule of its form.
void check_types(const TileProgram& program, const Instruction& instruction);

// InvalidProgram about one instruction, with its disassembly and source line.
[[noreturn]] void refuse_instruction(const TileProgram& program, const Instruction& instruction,
                                     const std::string& problem);

}  // namespace mtia
