// What a recording keeps of checked mode, so that a finding is found again when the launch runs alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "emulator/checks/checker.h"

namespace mtia::runtime {

struct RecordedChecks {
  std::shared_ptr<const emulator::LaunchNotes> notes;  // null where the launch had none: then its extents bound it
  std::vector<uint64_t> unwritten;                     // addresses where the launch met bytes that nothing had written
  uint64_t seed = 0;                                   // of the order of roles
};

// The findings that a launch adds to a device's.
class LaunchFindings {
 public:
  // checker: null outside of checked mode.
  explicit LaunchFindings(const emulator::Checker* checker)
      : checker_(checker), before_(checker == nullptr ? 0 : checker->finding_count()) {}

  // The message of the launch's failure: `thrown`, or where that is empty its first finding of an error. What touched
  // memory before is left out, since other launches did.
  std::string error(const std::string& thrown) const;
  RecordedChecks checks(const emulator::Launch& launch) const;

 private:
  std::vector<emulator::Finding> added() const;

  const emulator::Checker* checker_;
  uint64_t before_;
};

// A checker that knows what the recorded launch's knew.
std::unique_ptr<emulator::Checker> checker_of(const RecordedChecks& checks, const emulator::DeviceMemory& memory,
                                              uint32_t pes);

}  // namespace mtia::runtime
