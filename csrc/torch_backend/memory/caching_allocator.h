// The caching allocator of one device: hands out blocks, keeps freed ones, counts, and gives segments back when memory
// runs out.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <deque>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/device.h"
#include "torch_backend/memory/block_pool.h"

namespace mtia::torch_backend {

// allocated bytes, bytes asked for, capacity, free bytes of the device
using OutOfMemoryObserver = std::function<void(int64_t device, int64_t requested, int64_t capacity, int64_t free)>;

// One line of an allocator's history; `action` as torch.cuda.memory._snapshot names it.
struct AllocatorEvent {
  const char* action;
  uint64_t address;
  size_t bytes;
  int stream;
  int64_t nanoseconds;  // of the host's steady clock
};

class CachingAllocator {
 public:
  explicit CachingAllocator(runtime::Device& device) : device_(device) {}

  // Never returns 0. Throws c10::OutOfMemoryError once cached segments were released in vain.
  uint64_t allocate(size_t bytes, int stream);
  void free(uint64_t address);
  void record_stream(uint64_t address, int stream);
  // Waits for the device, then gives every segment without a live block back to it.
  void empty_cache();

  c10::CachingDeviceAllocator::DeviceStats stats();
  void reset_accumulated_stats();
  void reset_peak_stats();
  // Free bytes of the device, and its capacity.
  std::pair<size_t, size_t> memory_info();
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> snapshot();

  // Keeps the last `capacity` allocations and releases for traces(); 0 stops and forgets them.
  void record_history(size_t capacity);
  std::vector<AllocatorEvent> history();

  // Called with the lock released, before OutOfMemoryError is thrown.
  static void add_out_of_memory_observer(OutOfMemoryObserver observer);

 private:
  using Stats = c10::CachingDeviceAllocator::DeviceStats;
  struct PendingFree {
    Block* block;
    runtime::Ticket ticket;
    std::vector<int> streams;  // that use it until then
  };

  bool host_is_short_of(size_t bytes);
  Block* take_new_segment(size_t bytes, int stream);
  void finish_pending(bool wait);
  void release_block(Block* block);
  void quarantine(Block* block);
  void end_quarantine(size_t bytes_to_keep);
  void release_segments();
  [[noreturn]] void throw_out_of_memory(size_t bytes, std::unique_lock<std::mutex>& lock);

  void note(const char* action, uint64_t address, size_t bytes, int stream);

  template <typename Function>
  void for_pools(bool is_small, Function&& function);

  runtime::Device& device_;
  std::mutex mutex_;
  BlockPool pool_;
  std::unordered_map<uint64_t, Block*> allocated_;
  std::vector<PendingFree> pending_;
  std::deque<Block*> quarantined_;  // in checked mode: freed blocks that nobody gets yet
  size_t quarantined_bytes_ = 0;
  Stats stats_;
  size_t history_capacity_ = 0;
  std::deque<AllocatorEvent> history_;
};

}  // namespace mtia::torch_backend
