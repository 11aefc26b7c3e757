// The order between programs that wait for each other by volatile loads of what others store.
#pragma once

#include <vector>

#include "emulator/checks/clock_races.h"

namespace mtia::emulator {

// A program that reads another's write by a volatile load learns of what came before that write: lowers `released` of
// the writer's accesses and raises `acquired` of the reader's. False where the launch made too many accesses to tell.
bool order_by_flags(std::vector<TimedAccess>& accesses);

}  // namespace mtia::emulator
