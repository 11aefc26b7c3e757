// A tile program decoded a second time, into operations that account and compute only what the account depends on.
#pragma once

#include <memory>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/timing_mode/alike_programs.h"
#include "emulator/timing_mode/needed_values.h"

namespace mtia::emulator {

struct Frame;
struct Op;

struct TimedProgram {
  std::shared_ptr<const LoadedProgram> program;
  NeededValues needed;
  AlikePrograms alike;
  std::vector<const Op*> makers;  // of alike.makers

  // Such a launch is computed like any other.
  bool is_decided_by_memory() const { return needed.atomics_decide || needed.loads_decide; }
};

// Made at the first call and kept with the program.
const TimedProgram& timed(const LoadedProgram& program);

// ---- what operations of such a program are: handlers beside the functional ones that they replace
const Op* timed_dma(const Op* op, Frame& frame);     // fabric_interface/dma.cpp
const Op* timed_gather(const Op* op, Frame& frame);  // fabric_interface/indexed.cpp
const Op* timed_scatter(const Op* op, Frame& frame);
const Op* timed_atomic(const Op* op, Frame& frame);
const Op* timed_rows(const Op* op, Frame& frame);         // fabric_interface/indexed_rows.cpp
const Op* timed_chain(const Op* op, Frame& frame);        // vector_core/chain_run.cpp
const Op* timed_range_check(const Op* op, Frame& frame);  // command_processor/range_check.cpp

}  // namespace mtia::emulator
