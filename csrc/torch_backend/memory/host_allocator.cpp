// at::HostAllocator of mtia_sim. The host of an emulated device needs no page locking; what counts is reuse only after
// the copies.
#include "torch_backend/memory/host_allocator.h"

#include <ATen/core/CachingHostAllocator.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/memory/pinned_arena.h"
#include "torch_backend/memory/pinned_watch.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t minimum_bytes = 512;

struct PinnedBlock {
  std::byte* data = nullptr;
  size_t bytes = 0;  // a power of two: the class in which the block is cached
  size_t requested = 0;
  std::vector<std::pair<c10::DeviceIndex, runtime::Ticket>> uses;

  static bool is_over(const std::pair<c10::DeviceIndex, runtime::Ticket>& use) {
    const runtime::Device* device = runtime::device_if_made(use.first);
    return device == nullptr || device->is_complete(use.second);
  }

  bool is_idle() const { return std::all_of(uses.begin(), uses.end(), is_over); }
};

void free_pinned(void* context);

class PinnedAllocator final : public at::HostAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &free_pinned, c10::Device(c10::DeviceType::CPU)};
    // Checked mode watches whole pages.
    const bool watched = runtime::is_checking();
    const size_t rounded = std::bit_ceil(std::max(bytes, watched ? pinned_page : minimum_bytes));
    const std::lock_guard lock(mutex_);
    collect_idle();
    PinnedBlock* block = take_cached(rounded, watched);
    if (block == nullptr) block = make_block(rounded, watched);
    block->requested = bytes;
    stats_.active_requests.increase(1);
    stats_.active_bytes.increase(block->bytes);
    return {block->data, block, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* destination, const void* source, size_t bytes) const override {
    std::memcpy(destination, source, bytes);
  }

  void free(PinnedBlock* block) {
    if (runtime::is_checking()) unwatch_pinned(block->data, block->bytes);
    const std::lock_guard lock(mutex_);
    stats_.active_requests.decrease(1);
    stats_.active_bytes.decrease(block->bytes);
    if (block->is_idle()) {
      cache(block);
    } else {
      waiting_.push_back(block);
    }
  }

  bool record_event(void* data, void*, c10::Stream stream) override {
    if (!holds(data)) return false;
    record_use(data, stream.device_index(), device_of(stream.device_index()).last_ticket(stream.id()));
    return true;
  }

  void record_use(const void* data, c10::DeviceIndex device, runtime::Ticket ticket) {
    const std::lock_guard lock(mutex_);
    PinnedBlock* block = find(data);
    if (block == nullptr) return;
    std::erase_if(block->uses, [&](const auto& use) { return use.first == device && use.second <= ticket; });
    block->uses.emplace_back(device, ticket);
  }

  bool holds(const void* data) {
    const std::lock_guard lock(mutex_);
    return find(data) != nullptr;
  }

  void empty_cache() override {
    const std::lock_guard lock(mutex_);
    collect_idle();
    for (std::vector<PinnedBlock*>& cached : cache_) {
      for (PinnedBlock* block : cached) {
        blocks_.erase(block->data);
        stats_.allocations.decrease(1);
        stats_.allocated_bytes.decrease(block->bytes);
        stats_.num_host_free += 1;
        is_in_arena(block->data) ? give_to_arena(block->data, block->bytes) : std::free(block->data);
        delete block;
      }
      cached.clear();
    }
  }

  PinnedExtent extent(const void* data) {
    const std::lock_guard lock(mutex_);
    const PinnedBlock* block = find(data);
    return block == nullptr ? PinnedExtent{} : PinnedExtent{block->data, block->requested, block->bytes};
  }

  bool is_used(const void* data) {
    const std::lock_guard lock(mutex_);
    const PinnedBlock* block = find(data);
    return block != nullptr && !block->is_idle();
  }

  // The devices that have yet to copy from or to the block.
  std::vector<c10::DeviceIndex> users(const void* data) {
    const std::lock_guard lock(mutex_);
    std::vector<c10::DeviceIndex> devices;
    if (const PinnedBlock* block = find(data)) {
      for (const auto& use : block->uses) {
        if (!PinnedBlock::is_over(use)) devices.push_back(use.first);
      }
    }
    return devices;
  }

  at::HostStats get_stats() override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void reset_accumulated_stats() override {
    for_each_stat([](c10::CachingAllocator::Stat& stat) { stat.reset_accumulated(); });
  }
  void reset_peak_stats() override {
    for_each_stat([](c10::CachingAllocator::Stat& stat) { stat.reset_peak(); });
  }

 private:
  static size_t class_of(size_t power_of_two) { return static_cast<size_t>(std::countr_zero(power_of_two)); }

  template <typename Function>
  void for_each_stat(Function&& function) {
    const std::lock_guard lock(mutex_);
    for (c10::CachingAllocator::Stat* stat :
         {&stats_.active_requests, &stats_.active_bytes, &stats_.allocations, &stats_.allocated_bytes})
      function(*stat);
  }

  // The last one given back, which is the likeliest to be in the host's caches.
  PinnedBlock* take_cached(size_t bytes, bool watched) {
    std::vector<PinnedBlock*>& cached = cache_[class_of(bytes)];
    const auto found = std::find_if(cached.rbegin(), cached.rend(),
                                    [&](const PinnedBlock* block) { return !watched || is_in_arena(block->data); });
    if (found == cached.rend()) return nullptr;
    PinnedBlock* block = *found;
    cached.erase(std::next(found).base());
    return block;
  }

  PinnedBlock* make_block(size_t bytes, bool watched) {
    std::byte* data = watched ? take_from_arena(bytes) : nullptr;
    if (data == nullptr)
      data = static_cast<std::byte*>(std::aligned_alloc(bytes < pinned_page ? minimum_bytes : pinned_page, bytes));
    if (data == nullptr) throw std::bad_alloc();
    auto* block = new PinnedBlock{data, bytes, bytes, {}};
    blocks_.emplace(data, block);
    stats_.allocations.increase(1);
    stats_.allocated_bytes.increase(bytes);
    stats_.num_host_alloc += 1;
    return block;
  }

  PinnedBlock* find(const void* data) const {
    const auto* byte = static_cast<const std::byte*>(data);
    auto after = blocks_.upper_bound(byte);
    if (after == blocks_.begin()) return nullptr;
    PinnedBlock* block = std::prev(after)->second;
    return byte < block->data + block->bytes ? block : nullptr;
  }

  void cache(PinnedBlock* block) {
    block->uses.clear();
    cache_[class_of(block->bytes)].push_back(block);
  }

  void collect_idle() {
    std::erase_if(waiting_, [&](PinnedBlock* block) {
      if (!block->is_idle()) return false;
      cache(block);
      return true;
    });
  }

  std::mutex mutex_;
  std::map<const std::byte*, PinnedBlock*> blocks_;
  std::array<std::vector<PinnedBlock*>, 64> cache_;
  std::vector<PinnedBlock*> waiting_;  // freed by the program, still read or written by the device
  at::HostStats stats_;
};

PinnedAllocator& instance() {
  static auto* const allocator = new PinnedAllocator;
  return *allocator;
}

void free_pinned(void* context) {
  if (context != nullptr) instance().free(static_cast<PinnedBlock*>(context));
}

REGISTER_HOST_ALLOCATOR(c10::DeviceType::PrivateUse1, &instance())

}  // namespace

bool is_pinned(const void* data) noexcept { return data != nullptr && instance().holds(data); }

bool is_pinned_in_use(const void* data) noexcept { return data != nullptr && instance().is_used(data); }

void wait_for_pinned(const void* data) {
  if (data == nullptr) return;
  for (const c10::DeviceIndex device : instance().users(data)) device_of(device).synchronize();
}

PinnedExtent pinned_extent(const void* data) { return instance().extent(data); }

void use_pinned(const void* data, c10::DeviceIndex device, runtime::Ticket ticket) {
  instance().record_use(data, device, ticket);
}

}  // namespace mtia::torch_backend
