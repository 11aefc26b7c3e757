// Fabric traffic of a launch by region of device memory, and the shared SRAM as a last-level cache of DRAM.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "emulator/memory/device_memory.h"
#include "emulator/timing/account.h"

namespace mtia::emulator {

// What one PE (or, merged, one launch) moved to and from one allocation or tensor.
struct Window {
  AddressRange range;         // what may be touched
  uint64_t low = UINT64_MAX;  // bounding range of what was touched
  uint64_t high = 0;
  uint64_t bytes_read = 0;  // requested, whole DRAM accesses
  uint64_t bytes_written = 0;
  bool resident = false;  // the SRAM held most of `range` when the launch began

  void merge(const Window& other) {
    low = other.low < low ? other.low : low;
    high = other.high > high ? other.high : high;
    bytes_read += other.bytes_read;
    bytes_written += other.bytes_written;
  }
};

// Which parts of DRAM the SRAM holds: address ranges, least recently used first out, dirty parts written back when they
// leave. A launch is one use of each of its windows. A region's bytes are taken to be spread evenly over its bounding
// range.
class SramCache {
 public:
  explicit SramCache(uint64_t capacity_bytes) : capacity_(capacity_bytes) {}
  SramCache(const SramCache& other);
  SramCache& operator=(const SramCache&) = delete;

  // Fraction of [low, high) that is resident.
  double resident_fraction(uint64_t low, uint64_t high) const;

  // One launch's use of a window; adds the bytes moved at the SRAM and DRAM levels.
  void use(const Window& window, LevelBytes& bytes);

  // Forgets all that is resident; adds the dirty bytes to what is written to DRAM.
  void flush(LevelBytes& bytes);

  uint64_t resident_bytes() const { return used_; }

 private:
  struct Entry {
    uint64_t end;
    uint64_t bytes;  // resident bytes within the range
    uint64_t dirty;
    std::list<uint64_t>::iterator age;
  };
  // Removes what lies in [low, high); returns the dirty bytes that were there.
  uint64_t remove(uint64_t low, uint64_t high);
  void insert(uint64_t low, uint64_t high, uint64_t bytes, uint64_t dirty);
  // What can leave before the oldest of [low, high) has to, counted up to `wanted`. A stream that misses more pushes
  // out what it still has ahead of itself.
  uint64_t room_before(uint64_t low, uint64_t high, uint64_t wanted) const;
  // Makes room of `wanted` bytes, or of all that the oldest range has, from its beginning on; returns its dirty bytes.
  uint64_t evict(uint64_t wanted);

  uint64_t capacity_;
  uint64_t used_ = 0;
  std::map<uint64_t, Entry> entries_;  // by first address
  std::list<uint64_t> ages_;           // first addresses, oldest first
};

}  // namespace mtia::emulator
