// What the PEs of a launch did together, before the caches and shared bandwidths turn it into an account.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/timing/account.h"
#include "emulator/timing/scoreboard.h"
#include "emulator/timing/traffic.h"

namespace mtia::emulator {

struct LaunchTotals {
  LaunchAccount counts;         // instructions, operations, bytes of local memory and busy cycles; the rest is 0
  std::vector<Window> windows;  // touched ones, each once, by address
  SubCycles longest = 0;        // the slowest PE
  uint64_t femtojoules = 0;
};

}  // namespace mtia::emulator
