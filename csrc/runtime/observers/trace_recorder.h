// Records what the devices do for torch.mtia_sim.trace: every command, and the instructions of chosen kernels on chosen
// PEs.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/trace.h"
#include "runtime/observers/command_observer.h"

namespace mtia::runtime {

struct TraceOptions {
  std::vector<uint32_t> pes;         // whose instructions are wanted
  std::vector<std::string> kernels;  // of kernels with such names: shell patterns (fnmatch), any of them
  uint64_t limit = 0;                // of commands and instructions together
};

struct TracedCommand {
  int device = 0;
  int stream = 0;
  Engine engine = Engine::grid;
  CommandKind kind = CommandKind::empty;
  std::string name;
  std::array<uint32_t, 3> grid{};
  double start = 0;       // seconds of chip time
  double work_start = 0;  // when the PEs begin, after the chip has replaced the former kernel
  double end = 0;
  int64_t host_nanoseconds = 0;
  uint64_t bytes = 0;  // of a copy or fill
  emulator::LaunchAccount account;
  bool failed = false;
  std::shared_ptr<const emulator::LoadedProgram> program;  // of a traced launch of a tile program
  std::vector<emulator::PeTrace> pes;
};

class TraceRecorder final : public CommandObserver {
 public:
  explicit TraceRecorder(TraceOptions options) : options_(std::move(options)) {}

  std::unique_ptr<emulator::LaunchTrace> trace_of(int device, const Command& command) override;
  void executed(const Execution& execution) override;

  // For after the recorder was removed from the devices.
  const std::vector<TracedCommand>& commands() const { return commands_; }
  // What the limit left out.
  uint64_t dropped_commands() const { return dropped_commands_; }
  uint64_t dropped_instructions() const { return dropped_instructions_; }

 private:
  uint64_t room() const { return recorded_ < options_.limit ? options_.limit - recorded_ : 0; }

  const TraceOptions options_;
  std::mutex mutex_;  // devices have a dispatcher each
  std::vector<TracedCommand> commands_;
  uint64_t recorded_ = 0;
  uint64_t dropped_commands_ = 0;
  uint64_t dropped_instructions_ = 0;
};

}  // namespace mtia::runtime
