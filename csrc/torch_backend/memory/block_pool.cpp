// Best fit, split and merge.
#include "torch_backend/memory/block_pool.h"

#include <algorithm>

namespace mtia::torch_backend {

Block* BlockPool::make_block() {
  if (spare_.empty()) {
    storage_.push_back(std::make_unique<Block>());
    return storage_.back().get();
  }
  Block* block = spare_.back();
  spare_.pop_back();
  return block;
}

void BlockPool::recycle(Block* block) {
  *block = Block{};
  spare_.push_back(block);
}

Block* BlockPool::take_best_fit(size_t bytes, int stream) {
  Block key;
  key.bytes = bytes;
  key.stream = stream;
  FreeBlocks& free = free_blocks(BlockSizes::is_small(bytes));
  const auto found = free.lower_bound(&key);
  if (found == free.end() || (*found)->stream != stream) return nullptr;
  Block* block = *found;
  free.erase(found);
  return block;
}

Block* BlockPool::add_segment(uint64_t address, size_t bytes, size_t requested_bytes, int stream) {
  Block* block = make_block();
  block->address = address;
  block->bytes = block->segment_bytes = bytes;
  block->stream = stream;
  block->is_small = BlockSizes::is_small(requested_bytes);
  segments_.emplace(address, block);
  return block;
}

Block* BlockPool::split(Block* block, size_t bytes) {
  const size_t remainder = block->bytes - bytes;
  if (remainder == 0 || !BlockSizes::worth_splitting(block->is_small, remainder)) return nullptr;
  Block* rest = make_block();
  rest->address = block->address + bytes;
  rest->bytes = remainder;
  rest->stream = block->stream;
  rest->is_small = block->is_small;
  rest->previous = block;
  rest->next = block->next;
  if (block->next != nullptr) block->next->previous = rest;
  block->next = rest;
  block->bytes = bytes;
  free_blocks(rest->is_small).insert(rest);
  return rest;
}

Block* BlockPool::put_back(Block* block) {
  FreeBlocks& free = free_blocks(block->is_small);
  if (Block* next = block->next; next != nullptr && next->is_free()) {
    free.erase(next);
    block->bytes += next->bytes;
    block->next = next->next;
    if (block->next != nullptr) block->next->previous = block;
    recycle(next);
  }
  if (Block* previous = block->previous; previous != nullptr && previous->is_free()) {
    free.erase(previous);
    previous->bytes += block->bytes;
    previous->next = block->next;
    if (previous->next != nullptr) previous->next->previous = previous;
    recycle(block);
    block = previous;
  }
  free.insert(block);
  return block;
}

std::vector<std::pair<uint64_t, size_t>> BlockPool::remove_free_segments() {
  std::vector<std::pair<uint64_t, size_t>> removed;
  for (auto entry = segments_.begin(); entry != segments_.end();) {
    Block* block = entry->second;
    if (!block->is_whole_segment() || !block->is_free()) {
      ++entry;
      continue;
    }
    removed.emplace_back(block->address, block->bytes);
    free_blocks(block->is_small).erase(block);
    recycle(block);
    entry = segments_.erase(entry);
  }
  return removed;
}

std::vector<const Block*> BlockPool::segments() const {
  std::vector<const Block*> all;
  all.reserve(segments_.size());
  for (const auto& [address, block] : segments_) all.push_back(block);
  std::sort(all.begin(), all.end(), [](const Block* a, const Block* b) { return a->address < b->address; });
  return all;
}

size_t BlockPool::largest_free_block() const {
  size_t largest = 0;
  for (const FreeBlocks* free : {&small_free_, &large_free_}) {
    for (const Block* block : *free) largest = std::max(largest, block->bytes);
  }
  return largest;
}

}  // namespace mtia::torch_backend
