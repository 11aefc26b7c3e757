// Recording of instructions by the scoreboards.
#include "emulator/trace.h"

#include "base/error.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "program/disassemble.h"

namespace mtia::emulator {

void PeTrace::record(const Tick& tick, SubCycles start, SubCycles end, SubCycles ready) {
  if (!has_room()) return;
  TracedInstruction& entry = instructions_.emplace_back();
  entry.start = start;
  entry.end = end;
  entry.ready = ready;
  entry.program = program_;
  entry.bytes = tick.local_bytes;
  entry.flops = tick.flops;
  entry.instruction = tick.instruction != Tick::no_instruction ? tick.instruction : call_;
  entry.opcode = tick.opcode;
  entry.unit = tick.unit;
  entry.queue = tick.queue;
}

void PeTrace::record_scalar(SubCycles start, SubCycles end, uint64_t count) {
  if (last_scalar_ < instructions_.size()) {
    TracedInstruction& last = instructions_[last_scalar_];
    if (last.end == start && last.program == program_) {
      last.end = last.ready = end;
      last.repeats += static_cast<uint32_t>(count);
      return;
    }
  }
  if (!has_room()) return;
  last_scalar_ = instructions_.size();
  TracedInstruction& entry = instructions_.emplace_back();
  entry.start = start;
  entry.end = entry.ready = end;
  entry.program = program_;
  entry.repeats = static_cast<uint32_t>(count);
}

void PeTrace::begin_call(const char* operation, const char* file, uint32_t line) {
  const auto [entry, is_new] =
      call_numbers_.emplace(std::tuple(operation, file, line), static_cast<uint32_t>(calls_.size()));
  call_ = entry->second;
  if (!is_new) return;
  const std::string path = file == nullptr ? "" : file;
  calls_.push_back({operation, concat(path.substr(path.rfind('/') + 1), ":", line)});
}

void PeTrace::record_occupancy(SubCycles time, uint32_t buffer, int32_t change) {
  if (has_room()) occupancies_.push_back({time, buffer, change});
}

LaunchTrace::LaunchTrace(const std::vector<uint32_t>& pes, uint64_t limit) {
  traces_.reserve(pes.size());
  for (const uint32_t pe : pes) {
    if (by_pe_.size() <= pe) by_pe_.resize(pe + 1, -1);
    if (by_pe_[pe] >= 0) continue;
    by_pe_[pe] = static_cast<int32_t>(traces_.size());
    traces_.emplace_back(pe, limit);
  }
}

std::vector<InstructionLabel> instruction_labels(const LoadedProgram& loaded) {
  std::vector<InstructionLabel> labels;
  const TileProgram& program = loaded.program;
  labels.reserve(program.instructions.size());
  for (const Instruction& instruction : program.instructions) {
    labels.push_back({std::string(name_of(instruction.opcode)), program.location_of(instruction),
                      disassemble(program, instruction)});
  }
  return labels;
}

// What a scoreboard calls when somebody traces its PE; out of line, so that the untraced path stays one test.
void trace_instruction(PeTrace& trace, const Tick& tick, SubCycles start, SubCycles end, SubCycles ready) {
  trace.record(tick, start, end, ready);
}

void trace_scalar(PeTrace& trace, SubCycles start, SubCycles end, uint64_t count) {
  trace.record_scalar(start, end, count);
}

}  // namespace mtia::emulator
