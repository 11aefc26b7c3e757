// The process-wide table of devices. It is never destroyed: tensors freed late, by other static objects, still find
// their device.
#include "runtime/runtime.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/local_ranks.h"
#include "chip/chip_spec.h"
#include "emulator/grid/worker_pool.h"
#include "emulator/timing_mode/timing_mode.h"

namespace mtia::runtime {
namespace {

constexpr int maximum_devices = 64;
constexpr int default_devices = 2;

struct Table {
  std::mutex mutex;
  std::optional<ChipSpec> chip;
  std::atomic<int> count{0};
  std::array<std::unique_ptr<Device>, maximum_devices> owned;
  std::array<std::atomic<Device*>, maximum_devices> made{};
  std::vector<ObserverPointer> observers;  // of all devices
  std::array<std::optional<Mode>, maximum_devices> modes;
  std::atomic<bool> shut_down{false};
};

Table& table() {
  static Table* const instance = new Table;
  return *instance;
}

std::atomic<bool> bad_fork{false};

void after_fork_in_child() { bad_fork.store(true); }

uint64_t number_from_environment(const char* variable, uint64_t otherwise, uint64_t most) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return otherwise;
  uint64_t number = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, failure] = std::from_chars(text, end, number);
  if (failure != std::errc{} || rest != end || number < 1 || number > most) {
    throw InvalidArgument(concat(variable, " is '", text, "'"), "", concat("set it to a number from 1 to ", most));
  }
  return number;
}

Mode mode_from_environment() {
  const char* text = std::getenv("MTIA_SIM_MODE");
  return text == nullptr || *text == '\0' ? Mode::functional : mode_named(text);
}

Device& make_device(int index) {
  Table& devices = table();
  if (is_in_bad_fork()) {
    throw InvalidArgument("mtia_sim was already used by the parent of this forked process", "",
                          "start workers with multiprocessing's 'spawn' method");
  }
  const int count = devices.count.load();
  if (count == 0) throw InternalError("a device was asked for before runtime::configure");
  if (index < 0 || index >= count) {
    throw InvalidArgument(concat("device index ", index, " is out of range"), "",
                          concat("there are ", count, " devices; MTIA_SIM_DEVICE_COUNT sets how many"));
  }
  const std::lock_guard lock(devices.mutex);
  const auto slot = static_cast<size_t>(index);
  if (!devices.owned[slot]) {
    static const int handler = pthread_atfork(nullptr, nullptr, after_fork_in_child);
    if (handler != 0) throw InternalError(concat("pthread_atfork failed: ", std::strerror(handler)));
    devices.owned[slot] = std::make_unique<Device>(index, *devices.chip, emulator::WorkerPool::shared(),
                                                   devices.modes[slot].value_or(mode_from_environment()));
    for (const ObserverPointer& observer : devices.observers) devices.owned[slot]->add_observer(observer);
    devices.made[slot].store(devices.owned[slot].get());
  }
  return *devices.owned[slot];
}

}  // namespace

int device_count_from_environment() {
  // One for each process of a job on this host, so that rank i finds a device i.
  const int otherwise = std::clamp(local_ranks().size, default_devices, maximum_devices);
  return static_cast<int>(
      number_from_environment("MTIA_SIM_DEVICE_COUNT", static_cast<uint64_t>(otherwise), maximum_devices));
}

uint64_t loop_limit_from_environment() {
  return number_from_environment("MTIA_SIM_LOOP_LIMIT", emulator::default_loop_limit, UINT64_MAX);
}

uint64_t kept_bytes_from_environment() {
  return number_from_environment("MTIA_SIM_TIMING_KEPT_BYTES", emulator::TimingMode::default_kept_bytes, UINT64_MAX);
}

void configure(const ChipSpec& chip, int devices) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  for (const std::unique_ptr<Device>& device : all.owned) {
    if (device) {
      throw InvalidArgument("the chip cannot change once a device is in use", "",
                            "set MTIA_SIM_CHIP, or call torch.mtia_sim.set_chip, before the first tensor");
    }
  }
  all.chip = chip;
  all.count.store(devices);
}

Mode mode_named(std::string_view name) {
  if (name == "functional") return Mode::functional;
  if (name == "timing") return Mode::timing;
  throw InvalidArgument(concat("there is no mode '", name, "'"), "", "modes are 'functional' and 'timing'");
}

void set_mode(Mode mode, int index) {
  if (index >= maximum_devices) throw InvalidArgument(concat("device index ", index, " is out of range"));
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  for (int i = 0; i < maximum_devices; ++i) {
    if (index >= 0 && i != index) continue;
    const auto slot = static_cast<size_t>(i);
    if (all.owned[slot] && all.owned[slot]->mode() != mode) {
      throw InvalidArgument(concat("the mode of mtia_sim:", i, " cannot change once the device is in use"), "",
                            "set MTIA_SIM_MODE, or call torch.mtia_sim.set_mode, before its first tensor");
    }
    all.modes[slot] = mode;
  }
}

Mode mode_of(int index) {
  if (const Device* made = device_if_made(index)) return made->mode();
  if (index < 0 || index >= maximum_devices) throw InvalidArgument(concat("device index ", index, " is out of range"));
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  return all.modes[static_cast<size_t>(index)].value_or(mode_from_environment());
}

bool is_configured() { return table().count.load() != 0; }

int device_count() { return table().count.load(); }

const ChipSpec& chip() {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  if (!all.chip) throw InternalError("the chip was asked for before runtime::configure");
  return *all.chip;
}

Device& device(int index) {
  if (Device* made = device_if_made(index)) {
    if (!is_in_bad_fork()) return *made;
  }
  return make_device(index);
}

Device* device_if_made(int index) noexcept {
  if (index < 0 || index >= maximum_devices) return nullptr;
  return table().made[static_cast<size_t>(index)].load(std::memory_order_acquire);
}

void add_observer(ObserverPointer observer) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  for (const std::unique_ptr<Device>& device : all.owned) {
    if (device) device->add_observer(observer);
  }
  all.observers.push_back(std::move(observer));
}

void remove_observer(const CommandObserver& observer) {
  Table& all = table();
  {
    const std::lock_guard lock(all.mutex);
    std::erase_if(all.observers, [&](const ObserverPointer& entry) { return entry.get() == &observer; });
  }
  for (int index = 0; index < maximum_devices; ++index) {
    Device* made = device_if_made(index);
    if (made == nullptr) continue;
    if (!is_in_bad_fork()) made->wait(made->submitted());
    made->remove_observer(observer);
  }
}

bool is_in_bad_fork() noexcept { return bad_fork.load(std::memory_order_relaxed); }

std::string shutdown() {
  std::string unseen;
  table().shut_down.store(true);
  if (is_in_bad_fork()) return unseen;
  for (int index = 0; index < maximum_devices; ++index) {
    Device* made = device_if_made(index);
    if (made == nullptr) continue;
    made->stop();
    try {
      made->deferred_error().rethrow();
    } catch (const std::exception& error) {
      if (unseen.empty()) unseen = error.what();
    }
  }
  return unseen;
}

bool is_shut_down() noexcept { return table().shut_down.load(std::memory_order_relaxed); }

}  // namespace mtia::runtime
