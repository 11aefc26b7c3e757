// The limit of a chip's power: the clock falls where the mean power over a window would exceed it.
//
// What a chip drew less than its limit is saved up, to at most the limit times the window, and spent by launches that
// draw more; when nothing is left, they run at the clock at which they draw the limit. At a fraction r of the clock an
// operation of a PE, the network or the SRAM takes r^voltage_exponent of its energy, and the clock tree
// r^(1 + voltage_exponent) of its power; the DRAM keeps a clock of its own.
#pragma once

#include "emulator/timing/account.h"

namespace mtia {
struct ChipSpec;
}

namespace mtia::emulator {

// Seconds and energy of a launch at `clock` times the chip's clock; `account` is of the full clock.
LaunchAccount at_clock(const LaunchAccount& account, double clock, const ChipSpec& chip);

class PowerLimit {
 public:
  // `chip` must live as long.
  explicit PowerLimit(const ChipSpec& chip);

  // Nothing works for so long.
  void rest(double seconds);

  // As after a long time at the limit: nothing is saved.
  void spend() { saved_ = 0; }

  // A launch's account at full clock becomes what it is under the limit.
  void apply(LaunchAccount& account);

 private:
  // Fraction of the clock at which a launch draws no more than the limit.
  double clock_within_limit(const LaunchAccount& account) const;

  const ChipSpec& chip_;
  const double most_;  // joules that can be saved up
  double saved_ = 0;   // nothing at first: as if the chip had been at its limit before
};

}  // namespace mtia::emulator
