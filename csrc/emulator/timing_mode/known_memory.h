// Which bytes of a device in timing mode hold what they would hold in functional mode.
#pragma once

#include <cstdint>
#include <map>

#include "emulator/memory/device_memory.h"

namespace mtia::emulator {

// A set of address ranges. Not for several threads while one changes it.
class KnownMemory {
 public:
  void add(AddressRange range);
  void remove(AddressRange range);
  // An empty range is covered.
  bool covers(AddressRange range) const;
  // Whether any byte of the range is in the set.
  bool touches(AddressRange range) const;

 private:
  std::map<uint64_t, uint64_t> ranges_;  // first address -> end; apart from each other
};

}  // namespace mtia::emulator
