// Which device memory is a tensor's at the moment, in the order of the device's commands, and who had it before.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "emulator/memory/device_memory.h"

namespace mtia::emulator {

// Blocks that were handed out or taken back since checked mode began; of other memory nothing is known.
class MemoryRegistry {
 public:
  struct Block {
    uint64_t end = 0;        // of what was asked for
    uint64_t block_end = 0;  // of what was reserved for it
    bool is_live = false;
    uint32_t allocated = 0;  // locations
    uint32_t freed = 0;
  };

  void allocate(uint64_t address, uint64_t bytes, uint64_t block_bytes, uint32_t location);
  void free(uint64_t address, uint64_t block_bytes, uint32_t location);
  void clear() { blocks_.clear(); }

  // The block that holds `address`, with its first address; nullptr where nothing is known.
  const std::pair<const uint64_t, Block>* find(uint64_t address) const;
  // "the memory, 4096 bytes, was allocated at train.py:12 and freed at train.py:20", or an empty string.
  std::string history(uint64_t address) const;

 private:
  void erase(uint64_t begin, uint64_t end);

  std::map<uint64_t, Block> blocks_;  // by first address; they do not overlap
};

}  // namespace mtia::emulator
