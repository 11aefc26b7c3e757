// Blocks of device memory: segments taken from the device, split into blocks that tensors occupy, merged again when
// freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "runtime/event.h"

namespace mtia::torch_backend {

// A contiguous part of a segment. Neighbours are linked, so that a freed block merges with free neighbours.
struct Block {
  uint64_t address = 0;
  size_t bytes = 0;      // rounded
  size_t requested = 0;  // what the caller asked for
  int stream = 0;        // only allocations of this stream reuse it
  bool is_small = false;
  bool is_allocated = false;
  bool is_pending = false;   // freed, but a recorded stream may still use it
  size_t segment_bytes = 0;  // of the first block of a segment
  Block* previous = nullptr;
  Block* next = nullptr;
  std::vector<int> recorded_streams;  // other streams that use it, from record_stream

  bool is_free() const { return !is_allocated && !is_pending; }
  bool is_whole_segment() const { return previous == nullptr && next == nullptr; }
};

// Sizes follow the CUDA caching allocator, whose users' habits and tests assume them.
struct BlockSizes {
  static constexpr size_t minimum_block = 512;
  static constexpr size_t small_limit = size_t{1} << 20;  // requests up to this come from small segments
  static constexpr size_t small_segment = size_t{2} << 20;
  static constexpr size_t medium_limit = size_t{10} << 20;  // larger requests get a segment of their own
  static constexpr size_t medium_segment = size_t{20} << 20;
  static constexpr size_t large_granule = size_t{2} << 20;

  static size_t rounded(size_t bytes) {
    return bytes < minimum_block ? minimum_block : (bytes + minimum_block - 1) / minimum_block * minimum_block;
  }
  static bool is_small(size_t bytes) { return bytes <= small_limit; }
  static size_t segment_for(size_t bytes) {
    if (bytes <= small_limit) return small_segment;
    if (bytes < medium_limit) return medium_segment;
    return (bytes + large_granule - 1) / large_granule * large_granule;
  }
  static bool worth_splitting(bool small, size_t remainder) {
    return small ? remainder >= minimum_block : remainder > small_limit;
  }
};

// The blocks of one device. Not thread-safe; knows nothing of the device itself.
class BlockPool {
 public:
  // The smallest free block of the stream that holds `bytes` (rounded), or nullptr. It leaves the free set.
  Block* take_best_fit(size_t bytes, int stream);
  // A new segment as one free block that is not in the free set.
  Block* add_segment(uint64_t address, size_t bytes, size_t requested_bytes, int stream);
  // Cuts a taken block down to `bytes` where the rest is worth keeping. Returns the rest, already free, or nullptr.
  Block* split(Block* block, size_t bytes);
  // Puts a block back, merged with its free neighbours.
  Block* put_back(Block* block);
  // Takes every segment that is one free block out of the pool; returns their addresses and sizes.
  std::vector<std::pair<uint64_t, size_t>> remove_free_segments();

  // The first blocks of all segments, by address.
  std::vector<const Block*> segments() const;
  size_t largest_free_block() const;

 private:
  struct BySize {
    bool operator()(const Block* a, const Block* b) const {
      if (a->stream != b->stream) return a->stream < b->stream;
      if (a->bytes != b->bytes) return a->bytes < b->bytes;
      return a->address < b->address;
    }
  };
  using FreeBlocks = std::set<Block*, BySize>;

  FreeBlocks& free_blocks(bool is_small) { return is_small ? small_free_ : large_free_; }
  Block* make_block();
  void recycle(Block* block);

  FreeBlocks small_free_;
  FreeBlocks large_free_;
  std::unordered_map<uint64_t, Block*> segments_;  // by address
  std::vector<std::unique_ptr<Block>> storage_;
  std::vector<Block*> spare_;
};

}  // namespace mtia::torch_backend
