// Look, undo, run again stepped.
#include "runtime/monitors/numerics_monitor.h"

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/inspection/call_tracker.h"
#include "emulator/inspection/elements.h"
#include "emulator/inspection/origin_tracker.h"
#include "runtime/device.h"
#include "runtime/monitors/launch_watch.h"

namespace mtia::runtime {

using emulator::FloatClass;
using emulator::MemoryJournal;
using emulator::NonFiniteFinding;

namespace {

constexpr const char* remedy =
    "look at the values it was made from; torch.mtia_sim.numerics(infinities=False) looks for NaN only";

}  // namespace

bool NumericsMonitor::wrote_non_finite(const emulator::DeviceMemory& memory) const {
  constexpr uint64_t granule = MemoryJournal::granule_bytes;
  for (const MemoryJournal::Saved& page : journal_->saved()) {
    for (uint64_t offset = 0; offset < MemoryJournal::page_bytes; offset += granule) {
      const auto dtype = journal_->written_dtype(page.address + offset);
      if (!dtype) continue;
      const std::byte* now = memory.backing_of(page.address + offset);
      const size_t size = size_of(*dtype);
      const uint64_t count = granule / size;
      // What was there before does not excuse it: freed memory is used again, often for the same values.
      for (uint64_t i = emulator::first_non_finite(*dtype, now, count); i < count;
           i = emulator::first_non_finite(*dtype, now, count, i + 1)) {
        if (options_.infinities || emulator::class_of(*dtype, now + i * size) == FloatClass::nan) return true;
      }
    }
  }
  return false;
}

std::optional<NonFiniteFinding> NumericsMonitor::examine(Device& device, const emulator::Launch& launch) {
  emulator::Emulator& emulator = device.emulator();
  const emulator::NonFiniteRules rules{options_.infinities};
  journal_->swap();
  if (launch.program != nullptr) {
    const auto tracker = std::make_shared<emulator::OriginTracker>(rules);
    emulator::Launch again = launch;
    again.program = emulator::observed(*launch.program, tracker);
    emulator.run(again);
    return tracker->finding();
  }
  emulator::CallTracker tracker(launch.kernel->name, launch.kernel->entry == nullptr, emulator.chip().pe_count(),
                                rules);
  const LaunchWatch watch(emulator, nullptr, &tracker);
  emulator.run(launch);
  return tracker.finding();
}

emulator::LaunchAccount NumericsMonitor::run(Device& device, const emulator::Launch& launch) {
  if (!journal_) journal_ = std::make_unique<MemoryJournal>(device.memory(), options_.journal_bytes);
  emulator::LaunchAccount account;
  journal_->clear();
  {
    const LaunchWatch watch(device.emulator(), journal_.get());
    account = device.emulator().run(launch);
  }
  {
    const std::lock_guard lock(mutex_);
    ++counts_.launches;
    if (findings_.size() >= options_.most_findings) return account;
    if (!journal_->complete()) {
      ++counts_.too_large;
      return account;
    }
  }
  if (!wrote_non_finite(device.memory())) return account;
  std::optional<NonFiniteFinding> found = examine(device, launch);
  if (found && options_.launcher) found->launched_by = options_.launcher();
  const std::lock_guard lock(mutex_);
  ++counts_.examined;
  if (!found) return account;
  findings_.push_back(*found);
  if (options_.raise) throw NonFinite(found->problem(), found->where(), remedy);
  return account;
}

std::vector<NonFiniteFinding> NumericsMonitor::findings() const {
  const std::lock_guard lock(mutex_);
  return findings_;
}

NumericsCounts NumericsMonitor::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace mtia::runtime
