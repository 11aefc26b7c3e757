// Reads the kernel's own estimate; a few microseconds, so that it is asked for large allocations only.
#include "emulator/memory/host_memory.h"

#include <fstream>
#include <limits>
#include <string>

namespace mtia::emulator {

uint64_t available_host_bytes() {
  std::ifstream lines("/proc/meminfo");
  std::string name, unit;
  uint64_t kibibytes = 0;
  while (lines >> name >> kibibytes) {
    if (name == "MemAvailable:") return kibibytes * 1024;
    std::getline(lines, unit);
  }
  return std::numeric_limits<uint64_t>::max();
}

}  // namespace mtia::emulator
