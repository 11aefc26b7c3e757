// Current device and lazy initialisation.
#include "torch_backend/device.h"

#include <string>

#include "base/local_ranks.h"
#include "torch_backend/errors.h"

namespace mtia::torch_backend {
namespace {

constexpr c10::DeviceIndex not_set = -1;
thread_local c10::DeviceIndex current_index = not_set;
void (*initialiser)() = nullptr;

// Rank i of a host begins on device i, on every thread. Asked for once: a program may set LOCAL_RANK before.
c10::DeviceIndex first_device() noexcept {
  static const c10::DeviceIndex first = [] {
    const int rank = local_ranks().rank;
    return rank < device_count() ? static_cast<c10::DeviceIndex>(rank) : c10::DeviceIndex{0};
  }();
  return first;
}

void check_index(c10::DeviceIndex index) {
  const c10::DeviceIndex count = device_count();
  if (index >= 0 && index < count) return;
  throw_for_python(InvalidArgument(
      concat("device index ", static_cast<int>(index), " is out of range"), "mtia_sim",
      concat("there are ", static_cast<int>(count),
             " devices, numbered from 0; the environment variable MTIA_SIM_DEVICE_COUNT sets how many")));
}

}  // namespace

c10::DeviceIndex device_count() noexcept {
  if (const int count = runtime::device_count(); count != 0) return static_cast<c10::DeviceIndex>(count);
  try {
    return static_cast<c10::DeviceIndex>(runtime::device_count_from_environment());
  } catch (const Error&) {
    return 0;
  }
}

c10::DeviceIndex current_device() noexcept { return current_index == not_set ? first_device() : current_index; }

void set_device(c10::DeviceIndex index) {
  check_index(index);
  current_index = index;
}

c10::DeviceIndex exchange_device(c10::DeviceIndex index) {
  const c10::DeviceIndex previous = current_device();
  if (index != previous) set_device(index);
  return previous;
}

void set_device_unchecked(c10::DeviceIndex index) noexcept { current_index = index; }

runtime::Device& device_of(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  if (runtime::Device* made = runtime::device_if_made(index); made != nullptr && !runtime::is_in_bad_fork())
    return *made;
  ensure_initialised();
  check_index(index);
  return surfacing_errors([&]() -> runtime::Device& { return runtime::device(index); });
}

void set_initialiser(void (*initialise)()) { initialiser = initialise; }

void ensure_initialised() {
  if (!runtime::is_configured() && initialiser != nullptr) initialiser();
}

}  // namespace mtia::torch_backend
