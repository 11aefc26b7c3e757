// What a recorded event knows: where in the queue of its device it stands, and the chip time at which its stream
// reached it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace mtia::runtime {

class Device;

// Position in a device's submission order: the number of commands submitted up to and including this one; 0 is
// "nothing".
using Ticket = uint64_t;

// One recording of an event. The dispatcher writes `chip_seconds` before it completes the ticket; readers wait for the
// ticket first.
struct EventRecord {
  Device* device = nullptr;
  Ticket ticket = 0;
  double chip_seconds = 0.0;
  int stream = 0;
  bool is_free = false;       // an instrument's: it takes no chip time
  std::vector<Ticket> clock;  // in checked mode: what happened before it, by stream (stream_order.h)
};

using EventRecordPointer = std::shared_ptr<EventRecord>;

}  // namespace mtia::runtime
