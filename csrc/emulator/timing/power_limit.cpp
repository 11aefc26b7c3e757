// How a launch's time and energy follow the clock, and which clock keeps it within the limit.
#include "emulator/timing/power_limit.h"

#include <algorithm>
#include <cmath>

#include "chip/chip_spec.h"

namespace mtia::emulator {
namespace {

constexpr int bisections = 24;

double watts(const LaunchAccount& account) { return account.seconds > 0 ? account.joules / account.seconds : 0; }

// Adds the times and energies of a part of a launch.
void add_part(LaunchAccount& sum, const LaunchAccount& whole, double part) {
  sum.seconds += whole.seconds * part;
  sum.joules += whole.joules * part;
  sum.dynamic_joules += whole.dynamic_joules * part;
}

}  // namespace

LaunchAccount at_clock(const LaunchAccount& account, double clock, const ChipSpec& chip) {
  LaunchAccount slower = account;
  // What does not follow the clock: DRAM, where it takes longer than the PEs, and starting the launch.
  const double memory = account.dram_seconds;
  const double full = chip.seconds(static_cast<double>(account.cycles));
  const double rest = full - std::max(account.core_seconds, memory);
  slower.seconds = std::max(account.core_seconds / clock, memory) + rest;
  const double dram =
      static_cast<double>(account.bytes.dram_read + account.bytes.dram_written) * chip.dram_picojoules_per_byte * 1e-12;
  const double energy = std::pow(clock, chip.voltage_exponent);
  slower.dynamic_joules = (account.dynamic_joules - dram) * energy + dram;
  slower.joules = slower.dynamic_joules + (chip.idle_watts() + chip.clock_watts * clock * energy) * slower.seconds;
  return slower;
}

PowerLimit::PowerLimit(const ChipSpec& chip)
    : chip_(chip), most_(chip.power_limit_watts * chip.power_window_ms * 1e-3) {}

void PowerLimit::rest(double seconds) {
  saved_ = std::min(most_, saved_ + (chip_.power_limit_watts - chip_.idle_watts()) * seconds);
}

void PowerLimit::apply(LaunchAccount& account) {
  if (chip_.power_limit_watts <= 0 || account.seconds <= 0) return;
  const double excess = account.joules - chip_.power_limit_watts * account.seconds;
  if (excess <= saved_) {
    saved_ = std::min(most_, saved_ - excess);
    return;
  }
  const double part = saved_ / excess;
  saved_ = 0;
  const LaunchAccount full = account;
  const LaunchAccount slower = at_clock(full, clock_within_limit(full), chip_);
  account.seconds = account.joules = account.dynamic_joules = 0;
  add_part(account, full, part);
  add_part(account, slower, 1 - part);
}

double PowerLimit::clock_within_limit(const LaunchAccount& account) const {
  double low = chip_.clock_floor;
  double high = 1;
  if (watts(at_clock(account, low, chip_)) > chip_.power_limit_watts) return low;
  for (int i = 0; i < bisections; ++i) {
    const double middle = (low + high) / 2;
    (watts(at_clock(account, middle, chip_)) > chip_.power_limit_watts ? high : low) = middle;
  }
  return low;
}

}  // namespace mtia::emulator
