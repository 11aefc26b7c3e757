// The decoder's analyses and its control flow.
#include "emulator/pe/command_processor/decoder.h"

#include <algorithm>

#include "base/error.h"
#include "emulator/pe/command_processor/control.h"

namespace mtia::emulator {
namespace {

bool writes_memory(Opcode opcode) {
  switch (opcode) {
    case Opcode::dma_store:
    case Opcode::scatter:
    case Opcode::scatter_rows:
    case Opcode::atomic_rmw:
    case Opcode::atomic_cas:
      return true;
    default:
      return false;
  }
}

}  // namespace

Decoder::Decoder(LoadedProgram& program_to_load)
    : loaded(program_to_load), program(program_to_load.program), costs(program_to_load.costs) {}

Place Decoder::place(uint32_t id) const {
  const Value& v = value(id);
  if (v.is_tile()) return {0, program.slots[v.slot].offset};
  return {1, id * 8};
}

bool Decoder::slots_overlap(uint32_t a, uint32_t b) const {
  const Slot& x = program.slots[a];
  const Slot& y = program.slots[b];
  return x.offset < y.offset + y.bytes * y.buffers && y.offset < x.offset + x.bytes * x.buffers;
}

uint64_t Decoder::local_bytes(const Instruction& instruction) const {
  uint64_t total = 0;
  for (const uint32_t id : instruction.results) total += bytes_of(id);
  for (const uint32_t id : instruction.operands) total += bytes_of(id);
  return total;
}

Tick& Decoder::make_tick(uint32_t index) {
  const Instruction& instruction = program.instructions[index];
  Tick& tick = loaded.ticks.emplace_back();
  tick.unit = info_of(instruction.opcode).unit;
  tick.instruction = index;
  std::vector<uint32_t> waits;
  for (const uint32_t id : instruction.operands) {
    if (id == absent) continue;
    if (is_tile(id)) {
      const auto slot = static_cast<uint16_t>(value(id).slot);
      const auto* end = tick.read_slots.begin() + tick.reads;
      if (std::find(static_cast<const uint16_t*>(tick.read_slots.begin()), end, slot) != end) continue;
      if (tick.reads < Tick::max_reads) tick.read_slots[tick.reads++] = slot;
    } else if (is_late(id)) {
      if (tick.late_reads < Tick::max_late) {
        tick.late_scalars[tick.late_reads++] = id;
      } else {
        waits.push_back(id);
      }
    }
  }
  for (const uint32_t id : instruction.results) {
    if (id == absent) continue;
    if (is_tile(id)) {
      const auto slot = static_cast<uint16_t>(value(id).slot);
      for (unsigned r = 0; r < tick.reads; ++r) {
        if (tick.read_slots[r] == slot) tick.in_place |= static_cast<uint8_t>(1U << tick.writes);
      }
      if (tick.writes < Tick::max_writes) tick.write_slots[tick.writes++] = slot;
    } else {
      tick.late_result = id;
    }
  }
  emit_waits(waits);
  return tick;
}

void Decoder::emit_waits(const std::vector<uint32_t>& values) {
  for (const uint32_t id : values) {
    if (id == absent || is_tile(id) || !is_late(id)) continue;
    Op op;
    op.run = wait_scalar;
    op.a = id;
    loaded.ops.push_back(op);
  }
}

Op& Decoder::emit(Handler run, uint32_t index) {
  Op& op = loaded.ops.emplace_back();
  op.run = run;
  op.instruction = index;
  return op;
}

void Decoder::find_blocks() {
  flow_ = ControlFlow(program);
  loop_number_.assign(program.instructions.size(), 0);
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    if (program.instructions[i].opcode == Opcode::for_begin) loop_number_[i] = next_loop_++;
  }
  loaded.loop_count = next_loop_;
}

void Decoder::find_late_scalars() {
  late_.assign(program.values.size(), false);
  for (bool changed = true; changed;) {
    changed = false;
    for (const Instruction& instruction : program.instructions) {
      const Form form = info_of(instruction.opcode).form;
      const bool scalar_core = is_elementwise(form) || form == Form::program_id || form == Form::for_begin;
      bool any_late = !scalar_core;
      if (is_elementwise(form)) {
        for (const uint32_t id : instruction.operands) any_late = any_late || (id != absent && late_[id]);
      }
      if (!any_late) continue;
      for (const uint32_t id : instruction.results) {
        if (id == absent || is_tile(id) || late_[id]) continue;
        late_[id] = true;
        changed = true;
      }
    }
  }
}

void Decoder::find_liveness() {
  const size_t count = program.instructions.size();
  const size_t slots = program.slots.size();
  live_out_.assign(count, std::vector<bool>(slots, false));
  // Derived from live_out on the fly.
  std::vector<std::vector<bool>> live_in(count + 1, std::vector<bool>(slots, false));
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t i = static_cast<uint32_t>(count); i-- > 0;) {
      std::array<uint32_t, 2> next{};
      const unsigned n = flow_.successors(program, i, next);
      std::vector<bool> live(slots, false);
      for (unsigned s = 0; s < n; ++s) {
        for (size_t slot = 0; slot < slots; ++slot) live[slot] = live[slot] || live_in[next[s]][slot];
      }
      live_out_[i] = live;
      const Instruction& instruction = program.instructions[i];
      for (const uint32_t id : instruction.results) {
        if (is_tile(id)) live[value(id).slot] = false;
      }
      for (const uint32_t id : instruction.operands) {
        if (is_tile(id)) live[value(id).slot] = true;
      }
      if (live != live_in[i]) {
        live_in[i] = std::move(live);
        changed = true;
      }
    }
  }
}

// A load (or a permute) that only dots read need not move bytes on the host: the dot reads device memory (or the
// permute's source) through strides. It must be the only writer of its slot, and nothing may store (or reuse the
// source's bytes) before the last reader.
void Decoder::find_lazy() {
  const auto count = static_cast<uint32_t>(program.instructions.size());
  lazy_.assign(count, false);
  lazy_values_.assign(program.values.size(), false);
  if (loaded.observer != nullptr) return;  // it reads every tile in local memory
  const auto sole_writer = [&](uint32_t index, uint32_t slot) {
    for (uint32_t i = 0; i < count; ++i) {
      for (const uint32_t id : program.instructions[i].results) {
        if (i != index && is_tile(id) && value(id).slot == slot) return false;
      }
    }
    return true;
  };
  // The end of the span of instructions in which the value made at `index` may be read: the last reader, or the end of
  // a loop that holds a reader but not the maker.
  const auto reach = [&](uint32_t index, uint32_t last) {
    uint32_t end = last;
    for (uint32_t i = index + 1; i <= last; ++i) {
      const Opcode opcode = program.instructions[i].opcode;
      if ((opcode == Opcode::for_begin || opcode == Opcode::while_begin) && flow_.match[i] > end) end = flow_.match[i];
    }
    return end;
  };
  std::vector<uint32_t> span_end(count, 0);
  for (uint32_t i = count; i-- > 0;) {
    const Instruction& instruction = program.instructions[i];
    const bool load = instruction.opcode == Opcode::dma_load;
    const bool permute = instruction.opcode == Opcode::permute;
    if ((!load && !permute) || !is_tile(instruction.results[0])) continue;
    const uint32_t d = instruction.results[0];
    const Value& tile = value(d);
    if (tile.rank < 2 || tile.rank > 3) continue;
    if (load && (operand(instruction, 2) != absent || instruction.is_volatile_load()))
      continue;  // masked, or read anew
    if (permute) {
      // Only the last two dimensions may trade places.
      const bool swaps = tile.rank == 2 ? instruction.attributes[0] == 1 && instruction.attributes[1] == 0
                                        : instruction.attributes[0] == 0 && instruction.attributes[1] == 2 &&
                                              instruction.attributes[2] == 1;
      if (!swaps) continue;
    }
    if (!sole_writer(i, tile.slot)) continue;
    uint32_t last = i;
    bool fits = true;
    for (uint32_t r = 0; r < count && fits; ++r) {
      const Instruction& reader = program.instructions[r];
      for (size_t o = 0; o < reader.operands.size(); ++o) {
        if (!is_tile(reader.operands[o]) || value(reader.operands[o]).slot != tile.slot) continue;
        const bool dot = reader.opcode == Opcode::dot && o < 2;
        const bool onward = reader.opcode == Opcode::permute && lazy_[r];
        fits = fits && r > i && reader.operands[o] == d && (dot || onward);
        last = std::max(last, onward ? span_end[r] : r);
      }
    }
    if (!fits || last == i) continue;
    const uint32_t end = reach(i, last);
    for (uint32_t w = i + 1; w <= end && fits; ++w) {
      const Instruction& between = program.instructions[w];
      if (writes_memory(between.opcode) || between.is_volatile_load()) fits = false;
      if (!permute) continue;
      for (const uint32_t id : between.results) {
        if (is_tile(id) && slots_overlap(value(id).slot, value(instruction.operands[0]).slot)) fits = false;
      }
    }
    if (!fits) continue;
    lazy_[i] = true;
    lazy_values_[d] = true;
    span_end[i] = end;
  }
}

void Decoder::find_order() {
  int conditions = 0;  // conditions of `while` around an instruction
  for (uint32_t i = 0; i < program.instructions.size(); ++i) {
    const Instruction& instruction = program.instructions[i];
    const Opcode opcode = instruction.opcode;
    if (opcode == Opcode::while_begin) ++conditions;
    if (opcode == Opcode::while_test) --conditions;
    // A condition that reads device memory may wait for another program; so may any volatile load, and a number that a
    // loop reads from the same address again and again.
    const bool reads = instruction.is_load();
    if (opcode == Opcode::atomic_cas || (reads && conditions > 0) || instruction.is_volatile_load() || polls(i))
      loaded.ordered = true;
    if (opcode == Opcode::atomic_rmw) {
      const auto kind = static_cast<AtomicKind>(instruction.attributes[0]);
      const bool observed = !instruction.results.empty() && instruction.results[0] != absent;
      if (observed || kind == AtomicKind::add_f || kind == AtomicKind::exchange) loaded.ordered = true;
    }
  }
}

bool Decoder::polls(uint32_t index) const {
  const Instruction& instruction = program.instructions[index];
  if (instruction.opcode != Opcode::dma_load || is_tile(instruction.results[0])) return false;
  for (uint32_t begin = index; begin-- > 0;) {
    if (program.instructions[begin].opcode != Opcode::while_begin || flow_.match[begin] < index) continue;
    bool same = true;
    for (uint32_t i = begin; i < flow_.match[begin] && same; ++i) {
      for (const uint32_t id : program.instructions[i].results) same = same && id != instruction.operands[0];
    }
    if (same) return true;
  }
  return false;
}

void Decoder::make_layout() {
  SlotLayout& layout = loaded.layout;
  const size_t slots = program.slots.size();
  layout.overlap_first.assign(slots + 1, 0);
  for (size_t i = 0; i < slots; ++i) {
    layout.first_buffer.push_back(layout.buffer_count);
    layout.buffers.push_back(program.slots[i].buffers);
    layout.buffer_count += program.slots[i].buffers;
    for (size_t j = 0; j < slots; ++j) {
      if (j != i && slots_overlap(static_cast<uint32_t>(i), static_cast<uint32_t>(j)))
        layout.overlap_slots.push_back(static_cast<uint16_t>(j));
    }
    layout.overlap_first[i + 1] = static_cast<uint32_t>(layout.overlap_slots.size());
  }
  const uint64_t capacity = costs.chip().local_memory_bytes;
  const uint64_t used = std::max<uint64_t>(program.local_memory_bytes, 1);
  layout.copies = static_cast<uint32_t>(std::clamp<uint64_t>(capacity / used, 1, 4));
  layout.late_scalars = static_cast<uint32_t>(program.values.size());
  layout.takes_turns = costs.takes_turns();
}

void Decoder::decode() {
  find_blocks();
  find_late_scalars();
  find_liveness();
  find_lazy();
  make_layout();
  for (const Value& v : program.values) loaded.scalars.push_back(v.kind == ValueKind::constant ? v.bits : 0);
  for (const Argument& argument : program.arguments) {
    loaded.parameters.push_back({argument.name, argument.is_pointer, static_cast<uint8_t>(argument.dtype)});
  }
  find_order();
  const auto count = static_cast<uint32_t>(program.instructions.size());
  op_of_.assign(count + 1, 0);
  for (uint32_t i = 0; i < count;) {
    op_of_[i] = static_cast<uint32_t>(loaded.ops.size());
    uint32_t after = decode_chain(*this, i);
    if (after == i) {
      decode_one(i);
      after = i + 1;
    }
    for (size_t op = op_of_[i]; op < loaded.ops.size(); ++op) {
      if (loaded.ops[op].run == wait_scalar) loaded.ops[op].instruction = i;
    }
    for (uint32_t j = i + 1; j < after; ++j) op_of_[j] = op_of_[i];
    i = after;
  }
  op_of_[count] = static_cast<uint32_t>(loaded.ops.size());
  emit(end_program, count == 0 ? 0 : count - 1);
  for (const auto& [op, instruction] : patches_) loaded.ops[op].target = &loaded.ops[op_of_[instruction]];
}

void Decoder::decode_one(uint32_t index) {
  const Instruction& instruction = program.instructions[index];
  switch (info_of(instruction.opcode).form) {
    case Form::philox:
      return decode_philox(*this, index);
    case Form::permute:
    case Form::slice:
    case Form::concatenate:
    case Form::interleave:
    case Form::gather_local:
      return decode_layout(*this, index);
    case Form::sort:
      return decode_sort(*this, index);
    case Form::histogram:
      return decode_histogram(*this, index);
    case Form::reduce:
    case Form::reduce_index:
    case Form::scan:
      return decode_reduction(*this, index);
    case Form::dot:
      return decode_dot(*this, index);
    case Form::dot_scaled:
      return decode_dot_scaled(*this, index);
    case Form::dma_load:
    case Form::dma_store:
      return decode_dma(*this, index);
    case Form::gather:
    case Form::scatter:
      return decode_indexed(*this, index);
    case Form::gather_rows:
    case Form::scatter_rows:
      return decode_indexed_rows(*this, index);
    case Form::atomic_rmw:
    case Form::atomic_cas:
      return decode_atomic(*this, index);
    case Form::range_check:
      return decode_range_check(*this, index);
    case Form::assertion:
    case Form::print:
      return decode_message(*this, index);
    case Form::program_id:
    case Form::for_begin:
    case Form::block_begin:
    case Form::test:
    case Form::block_else:
    case Form::block_end:
    case Form::none:
      return decode_control(index);
    default:
      return decode_scalar(*this, index);  // element-wise on scalars: tiles went to decode_chain
  }
}

void Decoder::decode_control(uint32_t index) {
  const Instruction& instruction = program.instructions[index];
  const auto here = [this] { return static_cast<uint32_t>(loaded.ops.size()) - 1; };
  switch (instruction.opcode) {
    case Opcode::program_id:
    case Opcode::num_programs: {
      Op& op = emit(instruction.opcode == Opcode::program_id ? program_id : num_programs, index);
      op.d = instruction.results[0];
      op.a = static_cast<uint32_t>(instruction.attributes[0]);
      return;
    }
    case Opcode::for_begin: {
      emit_waits(instruction.operands);
      Op& op = emit(for_begin, index);
      op.d = instruction.results[0];
      op.a = instruction.operands[0];
      op.b = instruction.operands[1];
      op.c = instruction.operands[2];
      op.immediate = loop_number_[index];
      patch(here(), flow_.match[index] + 1);
      return;
    }
    case Opcode::while_begin:
      return;
    case Opcode::while_test:
    case Opcode::if_begin: {
      emit_waits(instruction.operands);
      Op& op = emit(jump_unless, index);
      op.a = instruction.operands[0];
      const uint32_t begin = instruction.opcode == Opcode::if_begin ? index : flow_.match[index];
      const uint32_t other = instruction.opcode == Opcode::if_begin && flow_.else_of[index] != absent
                                 ? flow_.else_of[index]
                                 : flow_.match[begin];
      patch(here(), other + 1);
      return;
    }
    case Opcode::else_begin:
      emit(jump, index);
      patch(here(), flow_.match[index] + 1);
      return;
    case Opcode::end: {
      const uint32_t begin = flow_.match[index];
      const Opcode opcode = program.instructions[begin].opcode;
      if (opcode == Opcode::if_begin) return;
      if (opcode == Opcode::while_begin) {
        emit(jump, index);
        patch(here(), begin);
        return;
      }
      Op& op = emit(for_end, index);
      op.d = program.instructions[begin].results[0];
      op.immediate = loop_number_[begin];
      op.c = static_cast<uint32_t>(value(op.d).dtype);
      patch(here(), begin + 1);
      return;
    }
    case Opcode::return_:
      emit(end_program, index);
      return;
    case Opcode::barrier:
      emit(barrier, index);
      return;
    default:
      throw InternalError(concat("control instruction ", name_of(instruction.opcode), " has no decoder"));
  }
}

}  // namespace mtia::emulator
