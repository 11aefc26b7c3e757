// The id of a stream is its row in the runtime's timeline: 0 default, then the pools.
#include "torch_backend/streams/stream.h"

#include <array>
#include <atomic>
#include <cstdint>

#include "runtime/timeline.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t maximum_devices = 64;

thread_local std::array<uint8_t, maximum_devices> current_ids{};
static_assert(runtime::stream_count <= 256);

std::array<std::array<std::atomic<uint32_t>, 2>, maximum_devices> next_in_pool{};

}  // namespace

runtime::StreamId current_stream_id(c10::DeviceIndex index) noexcept {
  return current_ids[static_cast<uint8_t>(index) % maximum_devices];
}

void set_current_stream_id(c10::DeviceIndex index, runtime::StreamId id) noexcept {
  current_ids[static_cast<uint8_t>(index) % maximum_devices] = static_cast<uint8_t>(id);
}

runtime::StreamId stream_from_pool(c10::DeviceIndex index, bool is_high_priority) {
  std::atomic<uint32_t>& next = next_in_pool[static_cast<uint8_t>(index) % maximum_devices][is_high_priority ? 1 : 0];
  const auto place = static_cast<int>(next.fetch_add(1) % runtime::streams_per_pool);
  return 1 + (is_high_priority ? runtime::streams_per_pool : 0) + place;
}

void restart_pools(c10::DeviceIndex index) {
  for (std::atomic<uint32_t>& next : next_in_pool[static_cast<uint8_t>(index) % maximum_devices]) next = 0;
}

}  // namespace mtia::torch_backend
