// Digests of 64 bytes each, kept until the host waits.
#include "torch_backend/pinned_watch.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "emulator/checks/checker.h"
#include "emulator/checks/locations.h"
#include "runtime/checking.h"
#include "torch_backend/device.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t granule = 64;
constexpr size_t most_watched_bytes = size_t{256} << 20;  // their digests take an eighth of that

struct Watch {
  const std::byte* data;
  size_t bytes;
  int device;
  runtime::Ticket ticket;
  uint32_t location;
  std::vector<uint64_t> digests;
};

uint64_t digest(const std::byte* data, size_t bytes) {
  uint64_t hash = 0x9E3779B97F4A7C15U;
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data + i, std::min<size_t>(8, bytes - i));
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDU;
    hash ^= hash >> 32;
  }
  return hash;
}

class Watches {
 public:
  void add(Watch watch) {
    const std::lock_guard lock(mutex_);
    if (watched_bytes_ + watch.bytes > most_watched_bytes) return;
    for (size_t begin = 0; begin < watch.bytes; begin += granule)
      watch.digests.push_back(digest(watch.data + begin, std::min(granule, watch.bytes - begin)));
    watched_bytes_ += watch.bytes;
    watches_.push_back(std::move(watch));
  }

  // Compares and forgets those that `is_over` says.
  template <typename Predicate>
  void finish(const Predicate& is_over) {
    const std::lock_guard lock(mutex_);
    std::erase_if(watches_, [&](const Watch& watch) {
      if (!is_over(watch)) return false;
      compare(watch);
      watched_bytes_ -= watch.bytes;
      return true;
    });
  }

 private:
  static void compare(const Watch& watch) {
    for (size_t i = 0; i < watch.digests.size(); ++i) {
      const size_t begin = i * granule;
      const size_t bytes = std::min(granule, watch.bytes - begin);
      if (digest(watch.data + begin, bytes) == watch.digests[i]) continue;
      runtime::Device* device = runtime::device_if_made(watch.device);
      if (device == nullptr || device->checker() == nullptr) return;
      emulator::Finding finding;
      finding.check = emulator::Check::race_with_host;
      finding.kernel = "copy to the device";
      finding.launched = emulator::location_text(watch.location);
      finding.bytes = watch.bytes;
      finding.problem = concat("the host changed bytes ", begin, " to ", begin + bytes - 1, " of the ", watch.bytes,
                               " bytes of pinned memory that the copy reads, before it waited for the copy");
      return device->checker()->report(std::move(finding));
    }
  }

  std::mutex mutex_;
  std::vector<Watch> watches_;
  size_t watched_bytes_ = 0;
};

Watches& watches() {
  static auto* const instance = new Watches;
  return *instance;
}

// Commands run in submission order, so a wait for any stream covers all that was submitted before.
void host_waited(int device, runtime::Ticket ticket) {
  watches().finish([&](const Watch& watch) { return watch.device == device && watch.ticket <= ticket; });
}

}  // namespace

void watch_pinned_source(const void* data, size_t bytes, c10::DeviceIndex device, runtime::Ticket ticket) {
  runtime::set_host_wait_observer(&host_waited);
  watches().add({static_cast<const std::byte*>(data), bytes, device, ticket, runtime::present_location(), {}});
}

void unwatch_pinned(const void* data, size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  watches().finish([&](const Watch& watch) { return watch.data < begin + bytes && begin < watch.data + watch.bytes; });
}

}  // namespace mtia::torch_backend
