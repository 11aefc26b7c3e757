// What uses the links of each device's chip: exchanges note themselves when they begin, the device notes their ends.
#pragma once

#include "network/contention.h"

namespace mtia::runtime {

class Device;

// For the dispatcher of the device alone.
network::LinkCalendar& links_of(const Device& device);

}  // namespace mtia::runtime
