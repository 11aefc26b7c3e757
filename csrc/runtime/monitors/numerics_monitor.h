// Looks for NaNs and infinities in what each launch writes; where there are some, runs the launch again from what lay
// in memory before, one instruction at a time, to name what made them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "emulator/inspection/memory_journal.h"
#include "emulator/inspection/non_finite.h"
#include "runtime/monitors/launch_monitor.h"

namespace mtia::runtime {

struct NumericsOptions {
  bool infinities = true;                      // else only NaN
  bool raise = true;                           // the first finding is thrown as NonFinite; else all are collected
  uint64_t most_findings = 100;                // that are collected; launches after that are not examined
  std::function<std::string()> launcher;       // who launched what runs now, for the finding; may be empty
  uint64_t journal_bytes = uint64_t{4} << 30;  // a launch that overwrites more is not examined
};

struct NumericsCounts {
  uint64_t launches = 0;   // looked at
  uint64_t examined = 0;   // run again, one instruction at a time
  uint64_t too_large = 0;  // that wrote more than the journal holds
};

class NumericsMonitor : public LaunchMonitor {
 public:
  explicit NumericsMonitor(const NumericsOptions& options) : options_(options) {}

  // Throws NonFinite.
  emulator::LaunchAccount run(Device& device, const emulator::Launch& launch) override;

  std::vector<emulator::NonFiniteFinding> findings() const;
  NumericsCounts counts() const;

 private:
  bool wrote_non_finite(const emulator::DeviceMemory& memory) const;
  std::optional<emulator::NonFiniteFinding> examine(Device& device, const emulator::Launch& launch);

  NumericsOptions options_;
  std::unique_ptr<emulator::MemoryJournal> journal_;
  mutable std::mutex mutex_;
  std::vector<emulator::NonFiniteFinding> findings_;
  NumericsCounts counts_;
};

}  // namespace mtia::runtime
