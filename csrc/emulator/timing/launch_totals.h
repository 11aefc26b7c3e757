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

// Of PEs and a memory, or of two memories, each with work of its own: each alone could hide the other, but where both
// take about as long, requests that come at odd moments wait for each other. Of n customers with random pauses and a
// server of constant time, by the machine repairman's law, the server is idle for about sqrt(1 / (pi n)) of the time
// where both are equal; a p-norm goes through that point and both ends. (L. Kleinrock, Queueing Systems I, 3.8, and
// half of its variance for constant service.)
class Queueing {
 public:
  explicit Queueing(uint32_t pes);
  // Time of both together.
  double together(double a, double b) const;

 private:
  double exponent_ = 0;  // 0: one customer, who waits for nobody
};

// The account of a launch that did this: its windows go through the cache, and bandwidths that all PEs share bound its
// time from below.
LaunchAccount charged(const LaunchTotals& totals, SramCache& cache, const ChipSpec& chip);

// Fills in time and energy of an account whose bytes are known; `overhead_seconds` come on top.
void finish(LaunchAccount& account, SubCycles longest, double overhead_seconds, uint64_t femtojoules,
            const ChipSpec& chip);

}  // namespace mtia::emulator
