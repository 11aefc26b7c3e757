// Guards and digests, kept until the host waits.
#include "torch_backend/memory/pinned_watch.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "emulator/checks/checker.h"
#include "emulator/checks/locations.h"
#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/memory/host_allocator.h"
#include "torch_backend/memory/page_guard.h"
#include "torch_backend/memory/pinned_arena.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t granule = 64;
constexpr size_t most_watches = 4096;                      // of copies to the device
constexpr size_t most_digested_bytes = size_t{256} << 20;  // their digests take an eighth of that

struct Watch {
  PinnedUse use = PinnedUse::read_by_device;
  emulator::TensorNote tensor;  // in host addresses
  const std::byte* data = nullptr;
  size_t bytes = 0;
  int device = 0;
  runtime::Ticket ticket = 0;
  uint32_t location = 0;
  std::unique_ptr<PageGuard> guard;
  // Of the bytes before and behind the guarded pages.
  size_t head = 0;
  size_t tail = 0;  // where it begins
  std::vector<uint64_t> digests;

  bool overlaps(const std::byte* begin, size_t count) const { return data < begin + count && begin < data + bytes; }
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

// Never guarded.
const std::byte* bytes_at(const Watch& watch, size_t at) {
  return static_cast<const std::byte*>(device_view(watch.data)) + at;
}

// Calls body(first byte, count) for each granule outside of the guarded pages.
template <typename Body>
void for_digested(const Watch& watch, const Body& body) {
  for (const auto& [begin, end] : {std::pair(size_t{0}, watch.head), std::pair(watch.tail, watch.bytes)}) {
    for (size_t at = begin; at < end; at += granule) {
      if (!body(at, std::min(granule, end - at))) return;
    }
  }
}

emulator::TensorNote note_of(const at::Tensor& host) {
  emulator::TensorNote note;
  note.name = "the pinned tensor";
  note.address = reinterpret_cast<uint64_t>(host.const_data_ptr());
  note.item_bytes = host.element_size();
  note.sizes = host.sizes().vec();
  note.strides = host.strides().vec();
  note.find_reach();
  return note;
}

// The pages of which the copy has every byte that the block's owner has.
std::pair<std::byte*, std::byte*> pages_of(const Watch& watch) {
  const auto [block, requested, whole] = pinned_extent(watch.data);
  size_t begin = static_cast<size_t>(watch.data - block);
  size_t end = begin + watch.bytes;
  begin = (begin + pinned_page - 1) / pinned_page * pinned_page;
  end = end == requested ? whole : end / pinned_page * pinned_page;
  return {block + begin, block + std::max(begin, end)};
}

class Watches {
 public:
  void add(Watch watch) {
    const std::lock_guard lock(mutex_);
    const bool reads = watch.use == PinnedUse::read_by_device;
    if (reads && watches_.size() >= most_watches) return;
    if (is_in_arena(watch.data)) {
      const auto [begin, end] = pages_of(watch);
      watch.head = std::min(static_cast<size_t>(begin - watch.data), watch.bytes);
      watch.tail = begin == end ? watch.head : std::min(static_cast<size_t>(end - watch.data), watch.bytes);
      watch.guard =
          std::make_unique<PageGuard>(begin, end, reads ? PageGuard::Forbids::writes : PageGuard::Forbids::all);
    }
    if (reads && !device_writes(watch)) take_digests(watch);
    watches_.push_back(std::move(watch));
  }

  // Reports on and forgets those that `is_over` says.
  template <typename Predicate>
  void finish(const Predicate& is_over) {
    const std::lock_guard lock(mutex_);
    std::erase_if(watches_, [&](const Watch& watch) {
      if (!is_over(watch)) return false;
      if (!report_access(watch)) compare(watch);
      digested_bytes_ -= watch.digests.size() * granule;
      return true;
    });
  }

 private:
  // A copy before this one changes the bytes, whenever it is carried out.
  bool device_writes(const Watch& watch) const {
    return std::any_of(watches_.begin(), watches_.end(), [&](const Watch& other) {
      return other.use == PinnedUse::written_by_device && other.overlaps(watch.data, watch.bytes);
    });
  }

  void take_digests(Watch& watch) {
    if (digested_bytes_ + watch.head + (watch.bytes - watch.tail) > most_digested_bytes) return;
    for_digested(watch, [&](size_t at, size_t bytes) {
      watch.digests.push_back(digest(bytes_at(watch, at), bytes));
      return true;
    });
    digested_bytes_ += watch.digests.size() * granule;
  }

  static void report(const Watch& watch, const std::byte* at, uint32_t location, std::string problem) {
    runtime::Device* device = runtime::device_if_made(watch.device);
    if (device == nullptr || device->checker() == nullptr) return;
    const bool reads = watch.use == PinnedUse::read_by_device;
    emulator::Finding finding;
    finding.check = emulator::Check::race_with_host;
    finding.kernel = reads ? "copy to the device" : "copy to the host";
    finding.line = emulator::location_text(location);
    finding.launched = emulator::location_text(watch.location);
    finding.tensor = watch.tensor.name;
    finding.sizes = watch.tensor.sizes;
    finding.strides = watch.tensor.strides;
    finding.address = reinterpret_cast<uint64_t>(std::max(at, watch.data));
    finding.index = watch.tensor.index_of(finding.address / watch.tensor.item_bytes * watch.tensor.item_bytes);
    finding.bytes = watch.tensor.item_bytes;
    finding.problem = concat(problem, " element ", emulator::describe_tuple(finding.index), " of ",
                             emulator::describe_tensor(finding.tensor, finding.sizes), ", which the copy ",
                             reads ? "reads" : "writes", ", before it has waited for the copy");
    device->checker()->report(std::move(finding));
  }

  static bool report_access(const Watch& watch) {
    const auto access = watch.guard ? watch.guard->access() : std::nullopt;
    if (!access) return false;
    report(watch, access->address, access->location, access->writes ? "the host writes" : "the host reads");
    return true;
  }

  static void compare(const Watch& watch) {
    if (watch.digests.empty()) return;
    size_t number = 0;
    for_digested(watch, [&](size_t at, size_t bytes) {
      if (digest(bytes_at(watch, at), bytes) == watch.digests[number++]) return true;
      report(watch, watch.data + at, 0, "the host changed");
      return false;
    });
  }

  std::mutex mutex_;
  std::vector<Watch> watches_;
  size_t digested_bytes_ = 0;
};

Watches& watches() {
  static auto* const instance = new Watches;
  return *instance;
}

// Commands run in submission order, so a wait for any stream covers all that was submitted before. A wait for one
// device may cover what another did before it by way of events: whatever it has done by then.
void host_waited(int device, runtime::Ticket ticket) {
  watches().finish([&](const Watch& watch) {
    if (watch.device == device) return watch.ticket <= ticket;
    const runtime::Device* other = runtime::device_if_made(watch.device);
    return other == nullptr || other->is_complete(watch.ticket);
  });
}

}  // namespace

void watch_pinned(const at::Tensor& host, PinnedUse use, c10::DeviceIndex device, runtime::Ticket ticket) {
  runtime::set_host_wait_observer(&host_waited);
  Watch watch;
  watch.use = use;
  watch.tensor = note_of(host);
  watch.data = static_cast<const std::byte*>(host.const_data_ptr());
  watch.bytes = host.nbytes();
  watch.device = device;
  watch.ticket = ticket;
  watch.location = runtime::present_location();
  watches().add(std::move(watch));
}

void unwatch_pinned(const void* data, size_t bytes) {
  watches().finish([&](const Watch& watch) { return watch.overlaps(static_cast<const std::byte*>(data), bytes); });
}

}  // namespace mtia::torch_backend
