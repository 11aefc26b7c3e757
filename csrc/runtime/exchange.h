// One operation with other chips, as a device's queue sees it: it begins where its stream has reached it, goes on
// beside the queue, and ends where somebody waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>

namespace mtia::runtime {

class Device;

// When an exchange was over, in seconds of chip time, and what it took.
struct ExchangeEnd {
  double begin = 0;  // when its last rank had arrived
  double end = 0;
  double joules = 0;
  uint64_t bytes = 0;  // that this chip sent
};

// Calls come from the dispatcher of the device, begin() before finish(); both may read and write its memory by
// Device::fetch and Device::deliver.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual std::string_view name() const = 0;
  // The stream has reached it at this chip time. Waits for nobody.
  virtual void begin(Device& device, double chip_seconds) = 0;
  // Waits for the other ranks, then writes what they sent. Throws what went wrong.
  virtual ExchangeEnd finish(Device& device) = 0;

  // What either threw; read once the ticket of end_exchange is complete. What did not begin is not finished.
  std::exception_ptr failure;
};

using ExchangePointer = std::shared_ptr<Exchange>;

}  // namespace mtia::runtime
