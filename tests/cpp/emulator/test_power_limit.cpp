// The clock under a power limit: energy and time worked out by hand.
#include <cmath>

#include "emulator/machine.h"
#include "emulator/timing/power_limit.h"
#include "test.h"

namespace {

using mtia::ChipSpec;
using mtia::emulator::at_clock;
using mtia::emulator::LaunchAccount;
using mtia::emulator::PowerLimit;

// 10 W idle, 20 W of clock, energy an operation in proportion to the clock.
ChipSpec chip_with_limit(double watts, double window_ms) {
  ChipSpec chip = mtia::test::small_chip();
  chip.leakage_watts = 6;
  chip.dram_idle_watts = 3;
  chip.links_watts = 1;
  chip.clock_watts = 20;
  chip.voltage_exponent = 1;
  chip.clock_floor = 0.25;
  chip.dram_picojoules_per_byte = 10;
  chip.power_limit_watts = watts;
  chip.power_window_ms = window_ms;
  return chip;
}

// A second of the PEs beside half a second of the DRAM: 70 J of operations, 10 J of 1e12 bytes.
LaunchAccount second_of_work(const ChipSpec& chip) {
  LaunchAccount account;
  account.cycles = static_cast<uint64_t>(chip.clock_hz);
  account.seconds = account.core_seconds = 1;
  account.dram_seconds = 0.5;
  account.bytes.dram_read = 1'000'000'000'000;
  account.dynamic_joules = 80;
  account.joules = 80 + chip.idle_watts() + chip.clock_watts;
  return account;
}

}  // namespace

TEST("at half the clock, operations take half their energy and the clock tree a quarter of its power") {
  const ChipSpec chip = chip_with_limit(0, 0);
  const LaunchAccount slow = at_clock(second_of_work(chip), 0.5, chip);
  CHECK_NEAR(slow.seconds, 2, 1e-12);
  CHECK_NEAR(slow.dynamic_joules, 70 * 0.5 + 10, 1e-9);
  CHECK_NEAR(slow.joules, 45 + 2 * (10 + 20 * 0.25), 1e-9);
}

TEST("what the DRAM takes longer for than the PEs does not slow down with them") {
  const ChipSpec chip = chip_with_limit(0, 0);
  LaunchAccount account = second_of_work(chip);
  account.core_seconds = 0.3;
  account.dram_seconds = 0.9;  // and 0.1 of starting
  CHECK_NEAR(at_clock(account, 0.5, chip).seconds, 1, 1e-12);
  CHECK_NEAR(at_clock(account, 0.25, chip).seconds, 1.3, 1e-12);
}

TEST("without a window every launch draws no more than the limit") {
  const ChipSpec chip = chip_with_limit(60, 0);
  PowerLimit limit(chip);
  LaunchAccount account = second_of_work(chip);
  limit.apply(account);
  CHECK_NEAR(account.joules / account.seconds, 60, 1e-4);
  // 10 + 20 r^2 + 70 r^2 + 10 r = 60
  const double clock = (-10 + std::sqrt(100 + 4 * 90 * 50)) / 180;
  CHECK_NEAR(account.seconds, 1 / clock, 1e-5);
  CHECK_NEAR(account.dynamic_joules, 70 * clock + 10, 1e-4);
}

TEST("a launch below the limit, and a chip without one, are as they were") {
  for (const double watts : {0.0, 200.0}) {
    const ChipSpec chip = chip_with_limit(watts, 0);
    PowerLimit limit(chip);
    LaunchAccount account = second_of_work(chip);
    const LaunchAccount before = account;
    limit.apply(account);
    CHECK_NEAR(account.seconds, before.seconds, 0);
    CHECK_NEAR(account.joules, before.joules, 0);
  }
}

TEST("power saved within the window is spent before the clock falls, and saved again by rest") {
  const ChipSpec chip = chip_with_limit(60, 2000);  // 120 J to save; a launch at full clock spends 50
  PowerLimit limit(chip);
  limit.rest(10);
  for (int i = 0; i < 2; ++i) {
    LaunchAccount account = second_of_work(chip);
    limit.apply(account);
    CHECK_NEAR(account.seconds, 1, 0);
  }
  LaunchAccount third = second_of_work(chip);  // 20 J are left: two fifths of it at full clock
  limit.apply(third);
  const double clock = (-10 + std::sqrt(100 + 4 * 90 * 50)) / 180;
  CHECK_NEAR(third.seconds, 0.4 + 0.6 / clock, 1e-5);
  limit.rest(1);  // at 10 W idle, 50 J
  LaunchAccount fourth = second_of_work(chip);
  limit.apply(fourth);
  CHECK_NEAR(fourth.seconds, 1, 0);
}

TEST("the clock falls no further than its floor") {
  const ChipSpec chip = chip_with_limit(12, 0);
  PowerLimit limit(chip);
  LaunchAccount account = second_of_work(chip);
  limit.apply(account);
  CHECK_NEAR(account.seconds, 4, 1e-9);
}
