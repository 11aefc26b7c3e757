// A launch beside operations with other chips: these take some of the DRAM's bandwidth, and on some chips PEs.
#pragma once

#include <span>

#include "emulator/timing/account.h"
#include "network/contention.h"

namespace mtia::runtime {

class Device;

// What a launch takes that begins at `begin`, in chip time, and would take account.seconds alone.
double seconds_beside(const ChipSpec& chip, std::span<const network::LinkUse> uses, double begin,
                      const emulator::LaunchAccount& account);

// The account of a launch on an idle chip becomes that of one which starts at `start` beside what uses its links.
void slow_beside_exchanges(const Device& device, double start, emulator::LaunchAccount& account);

}  // namespace mtia::runtime
