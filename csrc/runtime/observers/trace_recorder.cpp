// What of the executions is kept for a trace, within its limit.
#include "runtime/observers/trace_recorder.h"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

#include "chip/chip_spec.h"
#include "runtime/runtime.h"

namespace mtia::runtime {

std::unique_ptr<emulator::LaunchTrace> TraceRecorder::trace_of(int, const Command& command) {
  if (options_.pes.empty()) return nullptr;
  const std::string name(name_of(command));
  const bool wanted = std::any_of(options_.kernels.begin(), options_.kernels.end(), [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
  if (!wanted) return nullptr;
  const std::lock_guard lock(mutex_);
  // The launch itself is one of the events.
  const uint64_t instructions = room() == 0 ? 0 : room() - 1;
  return std::make_unique<emulator::LaunchTrace>(options_.pes, instructions / options_.pes.size());
}

void TraceRecorder::executed(const Execution& execution) {
  const Command& command = *execution.command;
  const std::lock_guard lock(mutex_);
  if (room() == 0) {
    ++dropped_commands_;
    return;
  }
  ++recorded_;
  TracedCommand& traced = commands_.emplace_back();
  traced.device = execution.device;
  traced.stream = execution.stream;
  traced.engine = execution.engine;
  traced.kind = command.kind;
  traced.name = execution.name;
  traced.start = traced.work_start = execution.start;
  traced.end = execution.end;
  traced.host_nanoseconds = execution.host_nanoseconds;
  traced.account = execution.account;
  traced.failed = execution.failed;
  if (command.kind != CommandKind::launch) {
    traced.bytes = command.bytes;
    return;
  }
  const ChipSpec& spec = chip();
  traced.grid = command.launch.grid;
  if (traced.grid[0] == 0) traced.grid[0] = spec.pe_count();  // a C++ kernel on all PEs
  traced.work_start += spec.replace_ns * 1e-9;
  if (execution.trace == nullptr) return;
  traced.program = command.launch.program;
  for (emulator::PeTrace& pe : execution.trace->take()) {
    recorded_ += pe.instructions().size() + pe.occupancies().size();
    dropped_instructions_ += pe.dropped();
    traced.pes.push_back(std::move(pe));
  }
}

}  // namespace mtia::runtime
