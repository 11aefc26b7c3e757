// What the PEs of a launch did together, before the caches and shared bandwidths turn it into an account.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/timing/account.h"
#include "emulator/timing/scoreboard.h"
#include "emulator/timing/traffic.h"

namespace mtia {
struct ChipSpec;
}

namespace mtia::emulator {

struct LaunchTotals {
  LaunchAccount counts;         // instructions, operations, bytes of local memory and busy cycles; the rest is 0
  std::vector<Window> windows;  // touched ones, each once, by address
  SubCycles longest = 0;        // the slowest PE
  uint64_t femtojoules = 0;
};

// The account of a launch that did this: its windows go through the cache, and bandwidths that all PEs share bound its
// time from below.
LaunchAccount charged(const LaunchTotals& totals, SramCache& cache, const ChipSpec& chip);

// Fills in time and energy of an account whose bytes are known; `overhead_seconds` come on top.
void finish(LaunchAccount& account, SubCycles longest, double overhead_seconds, uint64_t femtojoules,
            const ChipSpec& chip);

}  // namespace mtia::emulator
