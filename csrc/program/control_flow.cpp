// One pass with a stack of open blocks.
#include "program/control_flow.h"

namespace mtia {

ControlFlow::ControlFlow(const TileProgram& program)
    : match(program.instructions.size(), absent), else_of(program.instructions.size(), absent) {
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i < program.instructions.size(); ++i) {
    switch (program.instructions[i].opcode) {
      case Opcode::for_begin:
      case Opcode::while_begin:
      case Opcode::if_begin:
        open.push_back(i);
        break;
      case Opcode::while_test:
        match[i] = open.back();
        break;
      case Opcode::else_begin:
        else_of[open.back()] = i;
        break;
      case Opcode::end:
        match[open.back()] = i;
        match[i] = open.back();
        if (else_of[open.back()] != absent) match[else_of[open.back()]] = i;
        open.pop_back();
        break;
      default:
        break;
    }
  }
}

unsigned ControlFlow::successors(const TileProgram& program, uint32_t i, std::array<uint32_t, 2>& next) const {
  switch (program.instructions[i].opcode) {
    case Opcode::for_begin:
      next = {i + 1, match[i] + 1};
      return 2;
    case Opcode::while_test:
      next = {i + 1, match[match[i]] + 1};
      return 2;
    case Opcode::if_begin:
      next = {i + 1, (else_of[i] != absent ? else_of[i] : match[i]) + 1};
      return 2;
    case Opcode::else_begin:
      next[0] = match[i];
      return 1;
    case Opcode::end:
      switch (program.instructions[match[i]].opcode) {
        case Opcode::if_begin:
          next[0] = i + 1;
          return 1;
        case Opcode::while_begin:
          next[0] = match[i];
          return 1;
        default:
          next = {match[i], i + 1};
          return 2;
      }
    case Opcode::return_:
      return 0;
    default:
      next[0] = i + 1;
      return 1;
  }
}

}  // namespace mtia
