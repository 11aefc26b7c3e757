// Blocks by address; a new block replaces whatever stood in its place.
#include "emulator/checks/memory_registry.h"

#include "base/error.h"
#include "emulator/checks/locations.h"

namespace mtia::emulator {

void MemoryRegistry::erase(uint64_t begin, uint64_t end) {
  auto block = blocks_.lower_bound(begin);
  if (block != blocks_.begin() && std::prev(block)->second.block_end > begin) --block;
  while (block != blocks_.end() && block->first < end) block = blocks_.erase(block);
}

void MemoryRegistry::allocate(uint64_t address, uint64_t bytes, uint64_t block_bytes, uint32_t location) {
  erase(address, address + block_bytes);
  blocks_[address] = {address + bytes, address + block_bytes, true, location, 0};
}

void MemoryRegistry::free(uint64_t address, uint64_t block_bytes, uint32_t location) {
  const auto found = blocks_.find(address);
  if (found != blocks_.end()) {
    found->second.is_live = false;
    found->second.freed = location;
    return;
  }
  erase(address, address + block_bytes);
  blocks_[address] = {address + block_bytes, address + block_bytes, false, 0, location};
}

const std::pair<const uint64_t, MemoryRegistry::Block>* MemoryRegistry::find(uint64_t address) const {
  auto above = blocks_.upper_bound(address);
  if (above == blocks_.begin()) return nullptr;
  --above;
  return address < above->second.block_end ? &*above : nullptr;
}

std::string MemoryRegistry::history(uint64_t address) const {
  const auto* block = find(address);
  if (block == nullptr) return {};
  std::string text = concat("the memory, ", block->second.end - block->first, " bytes");
  if (block->second.allocated != 0) text += ", was allocated at " + location_text(block->second.allocated);
  if (!block->second.is_live) {
    text += block->second.allocated != 0 ? " and freed" : ", was freed";
    if (block->second.freed != 0) text += " at " + location_text(block->second.freed);
  }
  return text;
}

}  // namespace mtia::emulator
