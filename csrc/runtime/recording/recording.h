// One launch with all that it needs to run again in another process, and the monitor that makes it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "emulator/inspection/memory_journal.h"
#include "runtime/monitors/launch_monitor.h"
#include "runtime/recording/recorded_checks.h"

namespace mtia::runtime {

struct RecordedPage {
  uint64_t address = 0;
  std::vector<std::byte> before;
  std::vector<std::byte> after;  // empty where the launch did not write it
};

struct Recording {
  std::string kernel;
  std::vector<std::byte> program;  // serialised; empty for a C++ kernel
  std::string shared_object;       // path of the one that holds a C++ kernel; empty for those of mtia_sim itself
  std::array<uint32_t, 3> grid{};
  std::vector<uint64_t> arguments;
  std::vector<emulator::AddressRange> extents;      // that the launch may touch; empty: any live allocation
  std::vector<emulator::AddressRange> allocations;  // that its pages lie in
  uint64_t loop_limit = 0;
  uint64_t number = 0;  // of the launches that were looked at, from 0
  std::string launched_by;
  std::string error;                     // its message; empty where the launch succeeded
  std::optional<RecordedChecks> checks;  // where checked mode stopped it at errors
  std::vector<RecordedPage> pages;
};

// What is recorded: launches that fail, and those that match. `number` counts launches of any kernel, or, with a name,
// of that kernel.
struct RecordChoice {
  std::optional<std::string> kernel;
  std::optional<uint64_t> number;
  uint64_t most = 1;                        // recordings
  uint64_t most_bytes = uint64_t{1} << 30;  // of memory in one of them
};

class RecordMonitor : public LaunchMonitor {
 public:
  // `keep` takes a recording, on the dispatcher's thread; what it throws is the launch's failure.
  RecordMonitor(RecordChoice choice, std::function<std::string()> launcher, std::function<void(const Recording&)> keep)
      : choice_(std::move(choice)), launcher_(std::move(launcher)), keep_(std::move(keep)) {}

  emulator::LaunchAccount run(Device& device, const emulator::Launch& launch) override;

  uint64_t launches() const { return launches_; }
  uint64_t recorded() const { return recorded_; }

 private:
  bool is_chosen(const std::string& name);
  void record(Device& device, const emulator::Launch& launch, const std::string& name, const std::string& error,
              std::optional<RecordedChecks> checks);

  RecordChoice choice_;
  std::function<std::string()> launcher_;
  std::function<void(const Recording&)> keep_;
  std::unique_ptr<emulator::MemoryJournal> journal_;
  uint64_t matching_ = 0;
  std::atomic<uint64_t> launches_{0};
  std::atomic<uint64_t> recorded_{0};
};

// What a recorded launch is run again with.
struct ReplayOptions {
  std::optional<std::array<uint32_t, 3>> program;  // this one alone
  std::optional<uint32_t> pe;                      // what this PE runs alone
  // Shown each instruction of the programs that run: (program id, PE, instruction, source line, disassembly).
  std::function<void(const std::array<uint32_t, 3>&, uint32_t, uint32_t, const std::string&, const std::string&)> step;
};

struct ReplayResult {
  std::string error;  // message of the failure
  uint64_t cycles = 0;
  double seconds = 0;
  uint64_t compared_bytes = 0;
  // Where memory differs from what the recorded launch left, at most 16 of `differences`.
  uint64_t differences = 0;
  std::vector<uint64_t> first_differences;
};

// Runs a recording on an idle device of the recorded chip whose memory holds nothing. Throws InvalidArgument where the
// recorded addresses are not free.
ReplayResult replay(Device& device, const Recording& recording, const ReplayOptions& options);

}  // namespace mtia::runtime
