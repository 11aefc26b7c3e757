// Which host_math loop an element-wise instruction is.
#pragma once

#include "emulator/pe/command_processor/op.h"
#include "program/tile_program.h"

namespace mtia::emulator {

struct ElementLoop {
  enum class Kind : uint8_t { move, unary, binary, ternary, iota };
  Kind kind = Kind::move;
  LoopFunction function;
};

// `d`: dtype of the result; `a`: of the first operand (of `a` for select). Throws InvalidProgram where there is no such
// loop.
ElementLoop element_loop(Opcode opcode, DType d, DType a, int64_t attribute);
ElementLoop element_loop(const TileProgram& program, const Instruction& instruction);

}  // namespace mtia::emulator
