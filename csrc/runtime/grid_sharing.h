// A launch beside operations with other chips: these take some of the DRAM's bandwidth, and on some chips PEs.
#pragma once

#include <span>

#include "emulator/timing/account.h"
#include "network/contention.h"

namespace mtia::runtime {

// What a launch takes that begins at `begin`, in chip time, and would take account.seconds alone.
double seconds_beside(const ChipSpec& chip, std::span<const network::LinkUse> uses, double begin,
                      const emulator::LaunchAccount& account);

}  // namespace mtia::runtime
