// Zeroed host memory beside the device's: a table with an entry for each of its bytes or pages, committed by the host
// where touched.
#pragma once

#include <cstdint>

namespace mtia::emulator {

class Reservation {
 public:
  // `purpose` completes "the host refuses to reserve ... for". Throws OutOfDeviceMemory.
  Reservation(uint64_t bytes, const char* purpose);
  ~Reservation();
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  // All of it is zero again, and goes back to the host.
  void reset();

  template <typename Entry>
  Entry* as() const {
    return static_cast<Entry*>(memory_);
  }

 private:
  uint64_t bytes_;
  void* memory_;
};

}  // namespace mtia::emulator
