// Allocation policy and statistics of one device.
#include "torch_backend/memory/caching_allocator.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "emulator/memory/host_memory.h"
#include "runtime/checking.h"

namespace mtia::torch_backend {
namespace {

using c10::CachingAllocator::format_size;
using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

// In checked mode a freed block rests while so many bytes were freed after it: a stale address finds nobody else's
// data.
constexpr size_t quarantine_bytes = size_t{64} << 20;

// May take Python's lock, so it comes before the allocator's.
uint32_t location_if_checking() { return runtime::is_checking() ? runtime::present_location() : 0; }

std::mutex observers_mutex;
std::vector<OutOfMemoryObserver>& observers() {
  static auto* const all = new std::vector<OutOfMemoryObserver>;
  return *all;
}

template <typename Function>
void for_each_stat_array(c10::CachingDeviceAllocator::DeviceStats& stats, Function&& function) {
  for (StatArray* array :
       {&stats.allocation, &stats.segment, &stats.active, &stats.inactive_split, &stats.allocated_bytes,
        &stats.reserved_bytes, &stats.active_bytes, &stats.inactive_split_bytes, &stats.requested_bytes}) {
    for (Stat& stat : *array) function(stat);
  }
}

bool is_inactive_split(const Block& block) { return block.is_free() && !block.is_whole_segment(); }

}  // namespace

// Every statistic is kept for the whole and for the pool that the block belongs to.
template <typename Function>
void CachingAllocator::for_pools(bool is_small, Function&& function) {
  function(static_cast<size_t>(StatType::AGGREGATE));
  function(static_cast<size_t>(is_small ? StatType::SMALL_POOL : StatType::LARGE_POOL));
}

void CachingAllocator::note(const char* action, uint64_t address, size_t bytes, int stream) {
  if (history_capacity_ == 0) return;
  if (history_.size() == history_capacity_) history_.pop_front();
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  history_.push_back(
      {action, address, bytes, stream, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()});
}

void CachingAllocator::record_history(size_t capacity) {
  const std::lock_guard lock(mutex_);
  history_capacity_ = capacity;
  history_.clear();
}

std::vector<AllocatorEvent> CachingAllocator::history() {
  const std::lock_guard lock(mutex_);
  return {history_.begin(), history_.end()};
}

uint64_t CachingAllocator::allocate(size_t bytes, int stream) {
  const size_t rounded = BlockSizes::rounded(bytes);
  const uint32_t location = location_if_checking();
  std::unique_lock lock(mutex_);
  if (!pending_.empty()) finish_pending(false);
  Block* block = pool_.take_best_fit(rounded, stream);
  if (block != nullptr && is_inactive_split(*block)) {
    for_pools(block->is_small, [&](size_t kind) {
      stats_.inactive_split[kind].decrease(1);
      stats_.inactive_split_bytes[kind].decrease(block->bytes);
    });
  }
  if (block == nullptr && !host_is_short_of(rounded)) block = take_new_segment(rounded, stream);
  if (block == nullptr) {
    stats_.num_alloc_retries += 1;
    finish_pending(true);
    end_quarantine(0);
    release_segments();
    block = take_new_segment(rounded, stream);
  }
  if (block == nullptr) throw_out_of_memory(bytes, lock);

  if (const Block* rest = pool_.split(block, rounded)) {
    for_pools(rest->is_small, [&](size_t kind) {
      stats_.inactive_split[kind].increase(1);
      stats_.inactive_split_bytes[kind].increase(rest->bytes);
    });
  }
  block->is_allocated = true;
  block->requested = bytes;
  allocated_.emplace(block->address, block);
  note("alloc", block->address, block->bytes, stream);
  if (runtime::is_checking()) device_.note_allocated(stream, block->address, bytes, block->bytes, location);
  for_pools(block->is_small, [&](size_t kind) {
    stats_.allocation[kind].increase(1);
    stats_.allocated_bytes[kind].increase(block->bytes);
    stats_.active[kind].increase(1);
    stats_.active_bytes[kind].increase(block->bytes);
    stats_.requested_bytes[kind].increase(bytes);
  });
  c10::reportMemoryUsageToProfiler(
      reinterpret_cast<void*>(block->address), static_cast<int64_t>(block->bytes),
      static_cast<size_t>(stats_.allocated_bytes[0].current), static_cast<size_t>(stats_.reserved_bytes[0].current),
      c10::Device(c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(device_.index())));
  return block->address;
}

// The chip may have more memory than the host that stands in for it: cached blocks are then worth less than new ones.
bool CachingAllocator::host_is_short_of(size_t bytes) {
  constexpr size_t worth_asking = 64 << 20;
  const int64_t cached = stats_.reserved_bytes[0].current - stats_.allocated_bytes[0].current;
  return bytes >= worth_asking && cached > 0 && emulator::available_host_bytes() < bytes + bytes / 4;
}

Block* CachingAllocator::take_new_segment(size_t bytes, int stream) {
  const size_t segment_bytes = BlockSizes::segment_for(bytes);
  uint64_t address = 0;
  try {
    address = device_.memory().allocate(segment_bytes);
  } catch (const OutOfDeviceMemory&) {
    return nullptr;
  }
  Block* block = pool_.add_segment(address, segment_bytes, bytes, stream);
  stats_.num_device_alloc += 1;
  note("segment_alloc", address, segment_bytes, stream);
  for_pools(block->is_small, [&](size_t kind) {
    stats_.segment[kind].increase(1);
    stats_.reserved_bytes[kind].increase(segment_bytes);
  });
  return block;
}

void CachingAllocator::free(uint64_t address) {
  const uint32_t location = location_if_checking();
  const std::lock_guard lock(mutex_);
  const auto found = allocated_.find(address);
  if (found == allocated_.end()) throw InternalError(concat("address ", address, " was freed but is not allocated"));
  Block* block = found->second;
  allocated_.erase(found);
  block->is_allocated = false;
  note("free_requested", address, block->bytes, block->stream);
  if (runtime::is_checking()) device_.note_freed(block->stream, address, block->bytes, location);
  for_pools(block->is_small, [&](size_t kind) {
    stats_.allocation[kind].decrease(1);
    stats_.allocated_bytes[kind].decrease(block->bytes);
    stats_.requested_bytes[kind].decrease(block->requested);
  });
  c10::reportMemoryUsageToProfiler(
      reinterpret_cast<void*>(address), -static_cast<int64_t>(block->bytes),
      static_cast<size_t>(stats_.allocated_bytes[0].current), static_cast<size_t>(stats_.reserved_bytes[0].current),
      c10::Device(c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(device_.index())));
  // Work of the block's own stream that was already submitted runs before whatever reuses the block. Other streams must
  // have finished.
  runtime::Ticket last = 0;
  std::vector<int> streams = std::move(block->recorded_streams);
  block->recorded_streams.clear();
  for (const int stream : streams) last = std::max(last, device_.last_ticket(stream));
  if (last != 0 && !device_.is_complete(last)) {
    block->is_pending = true;
    pending_.push_back({block, last, std::move(streams)});
    return;
  }
  if (runtime::is_checking()) return quarantine(block);
  // In this order: what rested beside the block merges with it only once it is in the pool.
  release_block(block);
  end_quarantine(0);
}

void CachingAllocator::quarantine(Block* block) {
  block->is_pending = true;
  quarantined_.push_back(block);
  quarantined_bytes_ += block->bytes;
  end_quarantine(quarantine_bytes);
}

// The oldest blocks first.
void CachingAllocator::end_quarantine(size_t bytes_to_keep) {
  while (quarantined_bytes_ > bytes_to_keep) {
    Block* block = quarantined_.front();
    quarantined_.pop_front();
    quarantined_bytes_ -= block->bytes;
    release_block(block);
  }
}

void CachingAllocator::release_block(Block* block) {
  block->is_pending = false;
  note("free_completed", block->address, block->bytes, block->stream);
  const bool is_small = block->is_small;
  for_pools(is_small, [&](size_t kind) {
    stats_.active[kind].decrease(1);
    stats_.active_bytes[kind].decrease(block->bytes);
    for (const Block* neighbour : {block->previous, block->next}) {
      if (neighbour == nullptr || !neighbour->is_free()) continue;
      stats_.inactive_split[kind].decrease(1);
      stats_.inactive_split_bytes[kind].decrease(neighbour->bytes);
    }
  });
  const Block* merged = pool_.put_back(block);
  if (!is_inactive_split(*merged)) return;
  for_pools(is_small, [&](size_t kind) {
    stats_.inactive_split[kind].increase(1);
    stats_.inactive_split_bytes[kind].increase(merged->bytes);
  });
}

void CachingAllocator::record_stream(uint64_t address, int stream) {
  const std::lock_guard lock(mutex_);
  const auto found = allocated_.find(address);
  if (found == allocated_.end() || found->second->stream == stream) return;
  std::vector<int>& streams = found->second->recorded_streams;
  if (std::find(streams.begin(), streams.end(), stream) == streams.end()) streams.push_back(stream);
}

void CachingAllocator::finish_pending(bool wait) {
  if (wait) stats_.num_sync_all_streams += 1;
  std::erase_if(pending_, [&](const PendingFree& entry) {
    if (wait) device_.wait(entry.ticket);
    if (!device_.is_complete(entry.ticket)) return false;
    for (const int stream : entry.streams) {
      if (runtime::is_checking()) device_.note_host_waited(stream, entry.ticket);
    }
    release_block(entry.block);
    return true;
  });
}

void CachingAllocator::release_segments() {
  device_.wait(device_.submitted());  // queued launches may still use the memory of blocks freed since
  for (const auto& [address, bytes] : pool_.remove_free_segments()) {
    device_.memory().free(address);
    stats_.num_device_free += 1;
    note("segment_free", address, bytes, 0);
    for_pools(bytes == BlockSizes::small_segment, [&](size_t kind) {
      stats_.segment[kind].decrease(1);
      stats_.reserved_bytes[kind].decrease(bytes);
    });
  }
}

void CachingAllocator::empty_cache() {
  const std::lock_guard lock(mutex_);
  finish_pending(true);
  end_quarantine(0);
  release_segments();
}

void CachingAllocator::throw_out_of_memory(size_t bytes, std::unique_lock<std::mutex>& lock) {
  stats_.num_ooms += 1;
  note("oom", device_.memory().capacity() - device_.memory().bytes_in_use(), bytes, 0);
  const uint64_t capacity = device_.memory().capacity();
  const uint64_t free = capacity - device_.memory().bytes_in_use();
  const auto allocated = static_cast<size_t>(stats_.allocated_bytes[0].current);
  const auto reserved = static_cast<size_t>(stats_.reserved_bytes[0].current);
  const uint64_t largest = std::max<uint64_t>(device_.memory().largest_free_block(), pool_.largest_free_block());
  const c10::Device device(c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(device_.index()));
  c10::reportOutOfMemoryToProfiler(static_cast<int64_t>(bytes), allocated, reserved, device);
  lock.unlock();
  std::vector<OutOfMemoryObserver> notified;
  {
    const std::lock_guard observers_lock(observers_mutex);
    notified = observers();
  }
  for (const OutOfMemoryObserver& observer : notified) {
    observer(device_.index(), static_cast<int64_t>(bytes), static_cast<int64_t>(capacity), static_cast<int64_t>(free));
  }
  TORCH_CHECK_WITH(OutOfMemoryError, false, "mtia_sim:", device_.index(), " is out of memory: tried to allocate ",
                   format_size(bytes), "; of ", format_size(capacity), " tensors hold ", format_size(allocated), ", ",
                   format_size(reserved - allocated), " more are cached for reuse, ", format_size(free),
                   " are free, and the largest free block has ", format_size(largest),
                   ". Use a smaller batch or model, free tensors (torch.mtia_sim.memory_summary() lists what is held), "
                   "or a chip with more memory (MTIA_SIM_CHIP)");
}

c10::CachingDeviceAllocator::DeviceStats CachingAllocator::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_accumulated_stats() {
  const std::lock_guard lock(mutex_);
  for_each_stat_array(stats_, [](Stat& stat) { stat.reset_accumulated(); });
  stats_.num_alloc_retries = stats_.num_ooms = stats_.num_sync_all_streams = stats_.num_device_alloc =
      stats_.num_device_free = 0;
}

void CachingAllocator::reset_peak_stats() {
  const std::lock_guard lock(mutex_);
  for_each_stat_array(stats_, [](Stat& stat) { stat.reset_peak(); });
}

std::pair<size_t, size_t> CachingAllocator::memory_info() {
  const uint64_t capacity = device_.memory().capacity();
  return {capacity - device_.memory().bytes_in_use(), capacity};
}

std::vector<c10::CachingDeviceAllocator::SegmentInfo> CachingAllocator::snapshot() {
  const std::lock_guard lock(mutex_);
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> segments;
  for (const Block* first : pool_.segments()) {
    c10::CachingDeviceAllocator::SegmentInfo& segment = segments.emplace_back();
    segment.device = static_cast<c10::DeviceIndex>(device_.index());
    segment.address = first->address;
    segment.total_size = first->segment_bytes;
    segment.stream = reinterpret_cast<void*>(static_cast<uintptr_t>(first->stream));
    segment.is_large = !first->is_small;
    for (const Block* block = first; block != nullptr; block = block->next) {
      c10::CachingDeviceAllocator::BlockInfo& info = segment.blocks.emplace_back();
      info.size = block->bytes;
      info.requested_size = block->is_allocated ? block->requested : 0;
      info.allocated = block->is_allocated;
      info.active = !block->is_free();
      segment.requested_size += info.requested_size;
      segment.allocated_size += block->is_allocated ? block->bytes : 0;
      segment.active_size += info.active ? block->bytes : 0;
    }
  }
  return segments;
}

void CachingAllocator::add_out_of_memory_observer(OutOfMemoryObserver observer) {
  const std::lock_guard lock(observers_mutex);
  observers().push_back(std::move(observer));
}

}  // namespace mtia::torch_backend
