// Findings of one launch among those of its device.
#include "runtime/recording/recorded_checks.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "emulator/emulator.h"

namespace mtia::runtime {
namespace {

std::string message_of(const emulator::Finding& finding) {
  try {
    emulator::throw_finding(finding, 0);
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

std::vector<emulator::Finding> LaunchFindings::added() const {
  if (checker_ == nullptr || checker_->finding_count() == before_) return {};
  std::vector<emulator::Finding> found = checker_->findings();
  const uint64_t count = std::min<uint64_t>(checker_->finding_count() - before_, found.size());
  found.erase(found.begin(), found.end() - static_cast<ptrdiff_t>(count));
  std::erase_if(found, [](const emulator::Finding& finding) {
    return !finding.has_program || emulator::info_of(finding.check).severity != emulator::Severity::error;
  });
  return found;
}

std::string LaunchFindings::error(const std::string& thrown) const {
  for (emulator::Finding& finding : added()) {
    const std::string whole = message_of(finding);
    if (!thrown.empty() && thrown != whole) continue;
    finding.before.clear();
    return message_of(finding);
  }
  return thrown;
}

RecordedChecks LaunchFindings::checks(const emulator::Launch& launch) const {
  RecordedChecks result;
  result.seed = checker_->seed();
  result.notes = launch.notes;
  for (const emulator::Finding& finding : added()) {
    if (finding.check == emulator::Check::uninitialised_read) result.unwritten.push_back(finding.address);
  }
  return result;
}

std::unique_ptr<emulator::Checker> checker_of(const RecordedChecks& checks, const emulator::DeviceMemory& memory,
                                              uint32_t pes) {
  auto checker = std::make_unique<emulator::Checker>(memory, pes);
  checker->set_stopping(true);
  checker->set_seed(checks.seed);
  for (const uint64_t address : checks.unwritten) checker->mark_unwritten({address, address + 1});
  return checker;
}

}  // namespace mtia::runtime
