// The analysis walks the structured control flow backwards until nothing changes.
#include "emulator/timing_mode/needed_values.h"

#include <algorithm>
#include <array>

#include "isa/opcode.h"
#include "program/control_flow.h"

namespace mtia::emulator {
namespace {

class Analysis {
 public:
  explicit Analysis(const TileProgram& program)
      : program_(program),
        slots_(program.slots.size()),
        scalars_(program.values.size(), not_needed),
        needs_(program.instructions.size(), not_needed),
        live_((program.instructions.size() + 1) * slots_, not_needed),
        flow_(program) {
    find_overlaps();
  }

  NeededValues run() {
    do {
      changed_ = false;
      for (auto i = static_cast<uint32_t>(program_.instructions.size()); i-- > 0;) visit(i);
    } while (changed_);
    NeededValues result;
    result.instructions = needs_;
    for (const Argument& argument : program_.arguments) result.arguments.push_back(scalars_[argument.value] != 0);
    int conditions = 0;
    for (uint32_t i = 0; i < program_.instructions.size(); ++i) {
      const Opcode opcode = program_.instructions[i].opcode;
      if (opcode == Opcode::while_begin) ++conditions;
      if (opcode == Opcode::while_test) --conditions;
      const bool atomic = opcode == Opcode::atomic_rmw || opcode == Opcode::atomic_cas;
      const bool load = opcode == Opcode::dma_load || opcode == Opcode::gather || opcode == Opcode::gather_rows;
      if (atomic && needs_[i] != 0) result.atomics_decide = true;
      if (load && (needs_[i] & needed_for_control) != 0 && conditions > 0) result.loads_decide = true;
    }
    return result;
  }

 private:
  uint8_t* live_in(uint32_t instruction) { return live_.data() + instruction * slots_; }

  void find_overlaps() {
    overlaps_.resize(slots_);
    for (size_t a = 0; a < slots_; ++a) {
      for (size_t b = 0; b < slots_; ++b) {
        const Slot& x = program_.slots[a];
        const Slot& y = program_.slots[b];
        const bool overlap = x.offset < y.offset + y.bytes * y.buffers && y.offset < x.offset + x.bytes * x.buffers;
        if (a == b || overlap) overlaps_[a].push_back(static_cast<uint32_t>(b));
      }
    }
  }

  bool is_tile(uint32_t id) const { return program_.values[id].is_tile(); }

  void need(std::vector<uint8_t>& live, uint32_t id, uint8_t bits) {
    if (id == absent || bits == 0) return;
    if (is_tile(id)) {
      live[program_.values[id].slot] |= bits;
    } else if ((scalars_[id] | bits) != scalars_[id]) {
      scalars_[id] |= bits;
      changed_ = true;
    }
  }

  void need_from(std::vector<uint8_t>& live, const Instruction& instruction, size_t first, uint8_t bits) {
    for (size_t i = first; i < instruction.operands.size(); ++i) need(live, instruction.operands[i], bits);
  }

  void need_at(std::vector<uint8_t>& live, const Instruction& instruction, size_t index, uint8_t bits) {
    if (index < instruction.operands.size()) need(live, instruction.operands[index], bits);
  }

  // What an instruction's account depends on, whoever reads its result.
  void need_own(std::vector<uint8_t>& live, const Instruction& instruction) {
    switch (info_of(instruction.opcode).form) {
      case Form::for_begin:
        return need_from(live, instruction, 0, needed_for_control);
      case Form::test: {
        const bool loops = instruction.opcode == Opcode::while_test;
        return need_from(live, instruction, 0, loops ? needed_for_control | needed_for_loop : needed_for_control);
      }
      case Form::dma_load:
      case Form::dma_store: {
        need_at(live, instruction, 0, needed_for_address);
        const uint32_t mask = instruction.operands[2];
        need(live, mask, mask != absent && is_tile(mask) ? needed_for_mask : needed_for_address);
        return need_from(live, instruction, 3, needed_for_address);
      }
      case Form::gather:
        for (const size_t operand : {0, 1, 2}) need_at(live, instruction, operand, needed_for_address);
        return;
      case Form::gather_rows:
        for (const size_t operand : {0, 1, 2, 4, 5}) need_at(live, instruction, operand, needed_for_address);
        return;
      case Form::scatter:
      case Form::atomic_rmw:
        for (const size_t operand : {0, 1, 3}) need_at(live, instruction, operand, needed_for_address);
        return;
      case Form::scatter_rows:
        for (const size_t operand : {0, 1, 3, 4, 5}) need_at(live, instruction, operand, needed_for_address);
        return;
      case Form::atomic_cas:
        for (const size_t operand : {0, 1}) need_at(live, instruction, operand, needed_for_address);
        return;
      default:
        return;
    }
  }

  void visit(uint32_t i) {
    const Instruction& instruction = program_.instructions[i];
    std::array<uint32_t, 2> next{};
    const unsigned count = flow_.successors(program_, i, next);
    std::vector<uint8_t> live(slots_, not_needed);
    for (unsigned n = 0; n < count; ++n) {
      const uint8_t* after = live_in(next[n]);
      for (size_t slot = 0; slot < slots_; ++slot) live[slot] |= after[slot];
    }
    uint8_t wanted = needs_[i];
    for (const uint32_t id : instruction.results) {
      if (id == absent) continue;
      if (!is_tile(id)) {
        wanted |= scalars_[id];
        continue;
      }
      for (const uint32_t slot : overlaps_[program_.values[id].slot]) wanted |= live[slot];
    }
    if (instruction.opcode == Opcode::check_range) {  // what it lets through is needed behind it, or not at all
      const uint32_t value = instruction.operands[0];
      wanted |= is_tile(value) ? live[program_.values[value].slot] : scalars_[value];
    }
    for (const uint32_t id : instruction.results) {
      if (id != absent && is_tile(id)) live[program_.values[id].slot] = not_needed;
    }
    if (wanted != needs_[i]) {
      needs_[i] = wanted;
      changed_ = true;
    }
    need_own(live, instruction);
    if (wanted != 0) need_from(live, instruction, 0, wanted);
    uint8_t* in = live_in(i);
    for (size_t slot = 0; slot < slots_; ++slot) {
      if ((in[slot] | live[slot]) == in[slot]) continue;
      in[slot] |= live[slot];
      changed_ = true;
    }
  }

  const TileProgram& program_;
  const size_t slots_;
  std::vector<uint8_t> scalars_;  // by value
  std::vector<uint8_t> needs_;    // by instruction
  std::vector<uint8_t> live_;     // before each instruction, by slot
  const ControlFlow flow_;
  std::vector<std::vector<uint32_t>> overlaps_;
  bool changed_ = false;
};

}  // namespace

NeededValues needed_values(const TileProgram& program) { return Analysis(program).run(); }

}  // namespace mtia::emulator
