// What a device has done since its counters were last reset: the accounts of all launches and copies, in submission
// order.
#pragma once

#include <cstdint>

#include "emulator/timing/account.h"

namespace mtia::runtime {

struct Counters {
  emulator::LaunchAccount total;  // launches and transfers
  uint64_t copies = 0;
  uint64_t bytes_to_device = 0;
  uint64_t bytes_from_device = 0;
  double host_link_seconds = 0.0;   // busy time of the host link, both directions added
  uint64_t collectives = 0;         // and messages, that have ended
  uint64_t bytes_to_peers = 0;      // sent in them
  double collective_seconds = 0.0;  // that they took, from the arrival of the last rank
  double elapsed_seconds = 0.0;     // chip time from the reset to the end of the last command of any stream

  Counters& operator+=(const Counters& other) {
    total += other.total;
    copies += other.copies;
    bytes_to_device += other.bytes_to_device;
    bytes_from_device += other.bytes_from_device;
    host_link_seconds += other.host_link_seconds;
    collectives += other.collectives;
    bytes_to_peers += other.bytes_to_peers;
    collective_seconds += other.collective_seconds;
    elapsed_seconds += other.elapsed_seconds;
    return *this;
  }
};

}  // namespace mtia::runtime
