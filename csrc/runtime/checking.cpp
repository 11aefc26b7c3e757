// Switches every device that was made, and those made later.
#include "runtime/checking.h"

#include "base/error.h"
#include "runtime/runtime.h"
#include "runtime/schedule_seed.h"

namespace mtia::runtime {
namespace {

std::atomic<OnFinding> chosen{OnFinding::raise};
std::atomic<uint64_t> seed{0};
std::atomic<uint32_t (*)()> location_source{nullptr};
std::atomic<void (*)(int, uint64_t)> host_wait_observer{nullptr};

template <typename Function>
void for_devices(Function&& function) {
  for (int index = 0; index < device_count(); ++index) {
    if (Device* device = device_if_made(index)) function(*device);
  }
}

}  // namespace

void start_checking(OnFinding on_finding) {
  for_devices([](const Device& device) {
    if (device.mode() != Mode::timing) return;
    throw InvalidArgument(concat("checked mode of mtia_sim:", device.index(), ", which is in timing mode"), "",
                          "checks look at values: use a process whose devices are in functional mode");
  });
  for_devices([](Device& device) { device.synchronize(); });
  chosen = on_finding;
  detail::checking = true;
  for_devices([](Device& device) { device.follow_checking(); });
}

void stop_checking() {
  // What was watched until the host waits must not outlive the period: nobody tells of its changes afterwards.
  for_devices([](Device& device) {
    const Ticket last = device.submitted();
    device.wait(last);
    observe_host_wait(device.index(), last);
  });
  detail::checking = false;
  for_devices([](Device& device) { device.follow_checking(); });
}

OnFinding on_finding() noexcept { return chosen; }

void set_schedule_seed(uint64_t chosen_seed) { seed = chosen_seed; }
uint64_t schedule_seed() noexcept { return seed; }

void set_host_wait_observer(void (*observer)(int, uint64_t)) { host_wait_observer = observer; }

void observe_host_wait(int device, uint64_t ticket) {
  void (*observer)(int, uint64_t) = host_wait_observer;
  if (observer != nullptr) observer(device, ticket);
}

void set_location_source(uint32_t (*source)()) { location_source = source; }

uint32_t present_location() {
  uint32_t (*source)() = location_source;
  return source == nullptr ? 0 : source();
}

}  // namespace mtia::runtime
