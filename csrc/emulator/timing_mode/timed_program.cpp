// Replaces the handlers of what need not be computed; the operations and their order stay those of the functional
// decode, so that the scoreboard sees the same instructions in the same order.
#include "emulator/timing_mode/timed_program.h"

#include "emulator/pe/command_processor/control.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"

namespace mtia::emulator {
namespace {

const Op* account_unit(const Op* op, Frame& frame) {
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

const Op* account_scalar(const Op* op, Frame& frame) {
  frame.pe->board.issue_scalar();
  return op + 1;
}

Handler replacement(const LoadedProgram& loaded, const Op& op) {
  if (op.detail == nullptr) return op.run;  // scalars and control flow
  const Form form = info_of(loaded.program.instructions[op.instruction].opcode).form;
  if (loaded.is_chain(op)) return timed_chain;
  const bool needed = loaded.needs[op.instruction] != 0;
  switch (form) {
    case Form::dma_load:
    case Form::dma_store:
      return timed_dma;
    case Form::gather:
      return timed_gather;
    case Form::scatter:
      return timed_scatter;
    case Form::gather_rows:
    case Form::scatter_rows:
      return timed_rows;
    case Form::atomic_rmw:
    case Form::atomic_cas:
      return timed_atomic;
    case Form::range_check:
      return timed_range_check;
    case Form::assertion:
    case Form::print:
      return op.tick != nullptr ? account_unit : account_scalar;
    default:
      return needed || op.tick == nullptr ? op.run : account_unit;
  }
}

}  // namespace

const TimedProgram& timed(const LoadedProgram& program) {
  std::call_once(program.timed_made, [&program] {
    auto made = std::make_unique<TimedProgram>();
    made->needed = needed_values(program.program);
    auto loaded = std::make_shared<LoadedProgram>(program.program, program.costs.chip());
    loaded->tolerates_out_of_bounds = program.tolerates_out_of_bounds;
    loaded->needs = made->needed.instructions;
    Decoder(*loaded).decode();
    loaded->ordered = loaded->ordered && made->is_decided_by_memory();
    for (Op& op : loaded->ops) op.run = replacement(*loaded, op);
    made->alike = alike_programs(program.program, made->needed);
    loaded->transfer_of = made->alike.transfer_of;
    std::vector<bool> makes(program.program.instructions.size(), false);
    for (const uint32_t instruction : made->alike.makers) makes[instruction] = true;
    for (const Op& op : loaded->ops) {
      if (&op != &loaded->ops.back() && makes[op.instruction]) made->makers.push_back(&op);
    }
    made->program = std::move(loaded);
    program.timed_twin = std::move(made);
  });
  return *program.timed_twin;
}

}  // namespace mtia::emulator
