// Checked mode of all devices: whether it is on, and what it does with findings.
#pragma once

#include <atomic>
#include <cstdint>

namespace mtia::runtime {

namespace detail {
inline std::atomic<bool> checking{false};
}

// Read before every launch, allocation and copy.
inline bool is_checking() noexcept { return detail::checking.load(std::memory_order_relaxed); }

enum class OnFinding : uint8_t { raise, warn };

// Waits for all devices. Starting forgets what an earlier period knew of memory, and clears no findings. Throws a
// deferred failure of a device.
void start_checking(OnFinding on_finding);
void stop_checking();
OnFinding on_finding() noexcept;

// While it lives, copies to the host by this thread only move bytes: that nobody wrote them is no finding. For copies
// of whole argument lists, outputs among them.
class MovingScope {
 public:
  MovingScope() : former_(is_open_) { is_open_ = true; }
  ~MovingScope() { is_open_ = former_; }
  MovingScope(const MovingScope&) = delete;
  MovingScope& operator=(const MovingScope&) = delete;
  static bool is_open() { return is_open_; }

 private:
  inline static thread_local bool is_open_ = false;
  bool former_;
};

// Called, in checked mode, when a host thread has waited for a device's commands up to a ticket.
void set_host_wait_observer(void (*observer)(int device, uint64_t ticket));
void observe_host_wait(int device, uint64_t ticket);

// Where the line of the program that submits a command comes from: a number of emulator/checks/locations.h.
void set_location_source(uint32_t (*source)());
uint32_t present_location();

}  // namespace mtia::runtime
