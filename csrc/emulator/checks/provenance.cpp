// A flow-insensitive analysis: a register's origin is the one pointer argument that flows into it, over all paths.
#include "emulator/checks/provenance.h"

#include <algorithm>

namespace mtia::emulator {
namespace {

constexpr uint32_t none = UINT32_MAX - 1;  // no pointer flows in

uint32_t joined(uint32_t a, uint32_t b) {
  if (a == none || a == b) return b;
  return b == none ? a : unknown_origin;
}

// Instructions whose result may be an address made of addresses; what is read from memory is nobody's.
bool carries_addresses(const TileProgram& program, const Instruction& instruction) {
  const Form form = info_of(instruction.opcode).form;
  const bool moves = is_elementwise(form) || (form >= Form::permute && form <= Form::scan && form != Form::histogram);
  if (!moves || instruction.results.empty() || instruction.results[0] == absent) return false;
  return program.values[instruction.results[0]].dtype == DType::I64;
}

class Origins {
 public:
  explicit Origins(const TileProgram& program)
      : program_(program), scalars_(program.values.size(), none), slots_(program.slots.size(), none) {
    for (uint32_t i = 0; i < program.arguments.size(); ++i) {
      if (program.arguments[i].is_pointer) scalars_[program.arguments[i].value] = i;
    }
    while (propagate()) {
    }
  }

  uint32_t of(uint32_t value) const {
    if (value == absent) return none;
    return program_.values[value].is_tile() ? slots_[program_.values[value].slot] : scalars_[value];
  }

 private:
  bool propagate() {
    bool changed = false;
    for (const Instruction& instruction : program_.instructions) {
      if (!carries_addresses(program_, instruction)) continue;
      uint32_t origin = none;
      const size_t first = instruction.opcode == Opcode::select ? 1 : 0;  // a condition is no address
      for (size_t i = first; i < instruction.operands.size(); ++i) origin = joined(origin, of(instruction.operands[i]));
      const Value& result = program_.values[instruction.results[0]];
      uint32_t& kept = result.is_tile() ? slots_[result.slot] : scalars_[instruction.results[0]];
      const uint32_t now = joined(kept, origin);
      changed = changed || now != kept;
      kept = now;
    }
    return changed;
  }

  const TileProgram& program_;
  std::vector<uint32_t> scalars_;
  std::vector<uint32_t> slots_;  // tiles that share a slot may be views of each other
};

}  // namespace

std::vector<uint32_t> origins_of(const TileProgram& program) {
  const Origins origins(program);
  std::vector<uint32_t> result(program.instructions.size(), unknown_origin);
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    const Form form = info_of(instruction.opcode).form;
    if (form < Form::dma_load || form > Form::atomic_cas) continue;
    uint32_t origin = origins.of(instruction.operands[0]);
    if (form >= Form::gather) origin = joined(origin, origins.of(instruction.operands[1]));
    result[i] = origin == none ? unknown_origin : origin;
  }
  return result;
}

}  // namespace mtia::emulator
