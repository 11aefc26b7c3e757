// Races within a launch whose programs synchronise: accesses with the times at which their programs told of themselves
// and learnt of others.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "emulator/checks/access_log.h"

namespace mtia::emulator {

struct TimedAccess {
  AccessRecord record;
  uint64_t program = 0;
  std::array<uint32_t, 3> id{};
  uint32_t pe = 0;
};

struct ClockRace {
  const TimedAccess* first = nullptr;
  const TimedAccess* second = nullptr;
  uint64_t address = 0;
};

// Some races, at most `most`; the search gives up quietly after a bounded number of comparisons.
std::vector<ClockRace> find_clock_races(const std::vector<TimedAccess>& accesses, size_t most);

}  // namespace mtia::emulator
