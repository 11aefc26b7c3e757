// Registration with c10, and the deleter that every tensor's storage carries.
#include "torch_backend/memory/allocator.h"

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t maximum_devices = 64;

struct AllocatorTable {
  std::mutex mutex;
  std::array<std::unique_ptr<CachingAllocator>, maximum_devices> owned;
  std::array<std::atomic<CachingAllocator*>, maximum_devices> made{};
};

// Never destroyed: tensors may outlive static objects.
AllocatorTable& table() {
  static auto* const instance = new AllocatorTable;
  return *instance;
}

CachingAllocator* allocator_if_made(c10::DeviceIndex index) noexcept {
  return index < 0 ? nullptr : table().made[static_cast<size_t>(index)].load(std::memory_order_acquire);
}

// Runs in destructors, at interpreter exit, and in forked children, where the memory belongs to the parent.
void free_device_memory(void* data) {
  if (data == nullptr || runtime::is_in_bad_fork() || runtime::is_shut_down()) return;
  const c10::DeviceIndex index = device_of_address(data);
  if (CachingAllocator* allocator = allocator_if_made(index)) allocator->free(reinterpret_cast<uint64_t>(data));
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override { return allocate_on(current_device(), bytes); }
  c10::DeleterFnPtr raw_deleter() const override { return &free_device_memory; }
  void copy_data(void* destination, const void* source, size_t bytes) const override {
    const c10::DeviceIndex index = device_of_address(destination);
    surfacing_errors([&] {
      submit_copy(index, reinterpret_cast<uint64_t>(destination), reinterpret_cast<uint64_t>(source), bytes);
    });
  }

  bool initialized() override { return runtime::is_configured(); }
  void emptyCache(c10::MempoolId_t) override {
    for (c10::DeviceIndex index = 0; index < device_count(); ++index) {
      if (CachingAllocator* allocator = allocator_if_made(index)) allocator->empty_cache();
    }
  }
  void recordStream(const c10::DataPtr& data, c10::Stream stream) override {
    if (data.get() == nullptr) return;
    caching_allocator(stream.device_index())
        .record_stream(reinterpret_cast<uint64_t>(data.get()), static_cast<int>(stream.id()));
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override {
    return caching_allocator(index).stats();
  }
  void resetAccumulatedStats(c10::DeviceIndex index) override { caching_allocator(index).reset_accumulated_stats(); }
  void resetPeakStats(c10::DeviceIndex index) override { caching_allocator(index).reset_peak_stats(); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex index) override {
    return caching_allocator(index).memory_info();
  }
};

Allocator& instance() {
  static auto* const allocator = new Allocator;
  return *allocator;
}

REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &instance())

}  // namespace

c10::DeviceAllocator& device_allocator() { return instance(); }

CachingAllocator& caching_allocator(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  if (CachingAllocator* made = allocator_if_made(index)) return *made;
  runtime::Device& device = device_of(index);
  AllocatorTable& all = table();
  const std::lock_guard lock(all.mutex);
  const auto slot = static_cast<size_t>(index);
  if (!all.owned[slot]) {
    all.owned[slot] = std::make_unique<CachingAllocator>(device);
    all.made[slot].store(all.owned[slot].get(), std::memory_order_release);
  }
  return *all.owned[slot];
}

c10::DataPtr allocate_on(c10::DeviceIndex index, size_t bytes) {
  const c10::Device device(device_type, index);
  if (runtime::is_in_bad_fork()) device_of(index);  // throws, and says why
  CachingAllocator& allocator = caching_allocator(index);
  if (bytes == 0) return {nullptr, nullptr, &free_device_memory, device};
  if (GraphCapture* capture = capture_on(index)) [[unlikely]]
    return capture->allocate(bytes);
  void* data = reinterpret_cast<void*>(allocator.allocate(bytes, static_cast<int>(current_stream_id(index))));
  return {data, data, &free_device_memory, device};
}

c10::DeviceIndex device_of_address(const void* address) noexcept {
  for (int index = 0; index < runtime::device_count(); ++index) {
    runtime::Device* device = runtime::device_if_made(index);
    if (device != nullptr && device->memory().owns(reinterpret_cast<uint64_t>(address)))
      return static_cast<c10::DeviceIndex>(index);
  }
  return -1;
}

}  // namespace mtia::torch_backend
