// Pointers are followed forwards from the parameters to the addresses of stores, whatever the order of instructions.
#include "emulator/written_parameters.h"

#include "emulator/pe/command_processor/loaded_program.h"
#include "isa/opcode.h"
#include "program/tile_program.h"

namespace mtia::emulator {
namespace {

using Origins = std::vector<bool>;  // by parameter: whether a value may be an address made from it

bool merge(Origins& into, const Origins& from) {
  bool changed = false;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!from[i] || into[i]) continue;
    into[i] = true;
    changed = true;
  }
  return changed;
}

class PointerFlow {
 public:
  explicit PointerFlow(const TileProgram& program)
      : program_(program),
        of_scalar_(program.values.size(), Origins(program.arguments.size())),
        of_tiles_(program.arguments.size()) {
    for (size_t i = 0; i < program.arguments.size(); ++i) {
      if (program.arguments[i].is_pointer) of_scalar_[program.arguments[i].value][i] = true;
    }
    while (spread()) {
    }
  }

  std::vector<bool> written() const {
    Origins result(program_.arguments.size());
    for (const Instruction& instruction : program_.instructions) {
      const Opcode opcode = instruction.opcode;
      if (opcode != Opcode::dma_store && opcode != Opcode::scatter && opcode != Opcode::scatter_rows &&
          opcode != Opcode::atomic_rmw && opcode != Opcode::atomic_cas)
        continue;
      const uint32_t base = instruction.operands[0];
      merge(result, origins_of(base != absent ? base : instruction.operands[1]));
    }
    return result;
  }

 private:
  // Tiles share slots over time, and hardly ever hold addresses: one answer for all of them.
  const Origins& origins_of(uint32_t id) const { return program_.values[id].is_tile() ? of_tiles_ : of_scalar_[id]; }
  Origins& origins_of(uint32_t id) { return program_.values[id].is_tile() ? of_tiles_ : of_scalar_[id]; }

  bool spread() {
    bool changed = false;
    for (const Instruction& instruction : program_.instructions) {
      const bool reads_memory =
          instruction.is_load() || instruction.opcode == Opcode::atomic_rmw || instruction.opcode == Opcode::atomic_cas;
      if (reads_memory) continue;
      for (const uint32_t result : instruction.results) {
        if (result == absent) continue;
        for (const uint32_t operand : instruction.operands) {
          if (operand != absent) changed |= merge(origins_of(result), origins_of(operand));
        }
      }
    }
    return changed;
  }

  const TileProgram& program_;
  std::vector<Origins> of_scalar_;
  Origins of_tiles_;
};

}  // namespace

std::vector<bool> written_parameters(const LoadedProgram& program) { return PointerFlow(program.program).written(); }

}  // namespace mtia::emulator
