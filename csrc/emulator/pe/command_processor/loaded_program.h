// A tile program decoded for one chip.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/pe/command_processor/op.h"
#include "emulator/timing/cost_model.h"
#include "program/tile_program.h"

namespace mtia::emulator {

class InstructionObserver;
struct TimedProgram;  // timing_mode/timed_program.h

// Owns the details of decoded instructions, of whatever type.
class DetailStore {
 public:
  template <typename T, typename... Arguments>
  T* make(Arguments&&... arguments) {
    auto owned = std::make_shared<T>(std::forward<Arguments>(arguments)...);
    T* raw = owned.get();
    owners_.push_back(std::move(owned));
    return raw;
  }

 private:
  std::vector<std::shared_ptr<void>> owners_;
};

class LoadedProgram {
 public:
  LoadedProgram(TileProgram source, const ChipSpec& chip)
      : program(std::move(source)), costs(chip, program.waits_for_products) {}

  TileProgram program;
  CostModel costs;
  std::vector<Op> ops;
  std::deque<Tick> ticks;
  DetailStore details;
  SlotLayout layout;
  std::vector<uint64_t> scalars;  // initial contents: constants, the rest 0
  std::vector<ParameterInfo> parameters;
  uint32_t loop_count = 0;
  size_t strip_bytes = 0;
  size_t scratch_bytes = 0;
  // Results depend on the order of programs, or one may wait for another: they run one after the other, on one host
  // thread.
  bool ordered = false;
  // Faults may be the caller's: check_range and assert_ tell of numbers that a launch was given.
  bool checks_operands = false;
  // Accesses outside of a launch's memory read 0 and write nothing (emulator/tolerance.h).
  bool tolerates_out_of_bounds = false;
  // Sees each instruction, which is then an Op of its own whose tiles all lie in local memory.
  std::shared_ptr<InstructionObserver> observer;
  // checks/provenance.h, found when the program first runs in checked mode.
  mutable std::once_flag origins_found;
  mutable std::vector<uint32_t> origins;
  // Of a program for timing mode: what each instruction's result is needed for (timing_mode/needed_values.h). Empty for
  // others, which know their twin for timing mode once it was asked for.
  std::vector<uint8_t> needs;
  std::vector<uint32_t> transfer_of;  // by instruction (timing_mode/alike_programs.h)
  mutable std::once_flag timed_made;
  mutable std::shared_ptr<const TimedProgram> timed_twin;

  // Whether an operation is a chain of element-wise instructions (vector_core/chain.h).
  bool is_chain(const Op& op) const;
};

}  // namespace mtia::emulator
