// Turns a verified tile program into decoded instructions: block structure, liveness of slots, chains, costs.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "emulator/pe/command_processor/loaded_program.h"
#include "program/control_flow.h"

namespace mtia::emulator {

class Decoder {
 public:
  explicit Decoder(LoadedProgram& loaded);
  void decode();

  // ---- for the units' decode functions
  LoadedProgram& loaded;
  const TileProgram& program;
  const CostModel& costs;

  const Value& value(uint32_t id) const { return program.values[id]; }
  bool is_tile(uint32_t id) const { return id != absent && program.values[id].is_tile(); }
  Place place(uint32_t id) const;
  // The operand's number, or absent.
  static uint32_t operand(const Instruction& instruction, size_t index) {
    return index < instruction.operands.size() ? instruction.operands[index] : absent;
  }
  // A tick with the instruction's slots and late scalars; its cost is filled in by the caller. Scalar operands that do
  // not fit are waited for by an instruction emitted before.
  Tick& make_tick(uint32_t index);
  // Scalar core waits for the late ones among these (control flow, addresses).
  void emit_waits(const std::vector<uint32_t>& values);
  Op& emit(Handler run, uint32_t index);
  uint64_t bytes_of(uint32_t id) const { return id == absent ? 0 : (is_tile(id) ? value(id).bytes() : 0); }
  // Local memory traffic of an instruction: its tile operands and results.
  uint64_t local_bytes(const Instruction& instruction) const;
  void need_scratch(size_t bytes) { loaded.scratch_bytes = std::max(loaded.scratch_bytes, bytes); }

  bool is_late(uint32_t id) const { return id < late_.size() && late_[id]; }
  // Whether a slot is read, before being written, after the instruction at `index`.
  bool live_after(uint32_t index, uint32_t slot) const { return live_out_[index][slot]; }
  bool is_lazy(uint32_t index) const { return lazy_[index]; }
  // Whether readers find a value through the frame's lazy table.
  bool lazy_value(uint32_t id) const { return lazy_values_[id]; }
  bool slots_overlap(uint32_t a, uint32_t b) const;
  // Any instruction but an element-wise one on tiles.
  void decode_one(uint32_t index);

 private:
  void find_blocks();
  void find_late_scalars();
  void find_liveness();
  void find_lazy();
  void find_order();
  // Whether a load of a number is in a `while` that leaves its address as it is.
  bool polls(uint32_t index) const;
  void make_layout();
  void decode_control(uint32_t index);
  void patch(uint32_t op, uint32_t target_op) { patches_.push_back({op, target_op}); }

  ControlFlow flow_;
  std::vector<bool> late_;                              // values
  std::vector<std::vector<bool>> live_out_;             // per instruction: slots
  std::vector<bool> lazy_;                              // per instruction: a load or permute that leaves a view
  std::vector<bool> lazy_values_;                       // values
  std::vector<uint32_t> op_of_;                         // first op of each instruction
  std::vector<std::pair<uint32_t, uint32_t>> patches_;  // op, instruction whose first op it jumps to
  std::vector<uint32_t> loop_number_;
  uint32_t next_loop_ = 0;
};

// One decode function a unit.
void decode_scalar(Decoder& decoder, uint32_t index);
void decode_philox(Decoder& decoder, uint32_t index);
void decode_histogram(Decoder& decoder, uint32_t index);
void decode_dma(Decoder& decoder, uint32_t index);
void decode_indexed(Decoder& decoder, uint32_t index);
void decode_indexed_rows(Decoder& decoder, uint32_t index);
void decode_atomic(Decoder& decoder, uint32_t index);
void decode_layout(Decoder& decoder, uint32_t index);
void decode_sort(Decoder& decoder, uint32_t index);
void decode_reduction(Decoder& decoder, uint32_t index);
void decode_dot(Decoder& decoder, uint32_t index);
void decode_dot_scaled(Decoder& decoder, uint32_t index);
void decode_range_check(Decoder& decoder, uint32_t index);
void decode_message(Decoder& decoder, uint32_t index);  // print and assert_

// Decodes the chain of element-wise instructions, loads and stores that starts at `index`; returns the index after its
// last instruction, or `index` where none starts.
uint32_t decode_chain(Decoder& decoder, uint32_t index);

}  // namespace mtia::emulator
