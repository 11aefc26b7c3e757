// Runs each launch of a Triton kernel a second time in float64, on the same memory, and says how far the results lie
// apart.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/inspection/memory_journal.h"
#include "runtime/monitors/launch_monitor.h"

namespace mtia::runtime {

// The launches of one kernel from one place. Errors are those of all floats that a launch writes: the norm of the
// differences over the norm of the reference, and the largest difference in units of the last place, at the reference's
// element or its root mean square, whichever is larger.
struct KernelError {
  std::string kernel;
  std::string launched_by;
  std::string dtypes;  // of what it writes
  uint64_t calls = 0;
  uint64_t elements = 0;  // written by all calls
  double worst_relative = 0;
  double sum_relative = 0;
  double worst_ulps = 0;
  std::string skipped;  // why it was not compared; empty where it was
};

class ComparisonMonitor : public LaunchMonitor {
 public:
  ComparisonMonitor(uint64_t journal_bytes, std::function<std::string()> launcher)
      : journal_bytes_(journal_bytes), launcher_(std::move(launcher)) {}

  emulator::LaunchAccount run(Device& device, const emulator::Launch& launch) override;

  // Launches made while it is off are not compared.
  void set_enabled(bool enabled) { enabled_ = enabled; }
  std::vector<KernelError> errors() const;

 private:
  void compare(Device& device, const emulator::Launch& launch, KernelError& error);
  void add(KernelError error);

  uint64_t journal_bytes_;
  std::function<std::string()> launcher_;
  std::atomic<bool> enabled_{true};
  std::unique_ptr<emulator::MemoryJournal> journal_;
  std::map<std::shared_ptr<const emulator::LoadedProgram>, std::shared_ptr<const emulator::LoadedProgram>> twins_;
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, KernelError> errors_;
};

}  // namespace mtia::runtime
