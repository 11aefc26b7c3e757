// Progress of a launch between the beginnings and ends of operations with other chips.
#include "runtime/grid_sharing.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "chip/chip_spec.h"
#include "emulator/timing/launch_totals.h"
#include "runtime/device.h"
#include "runtime/link_calendars.h"

namespace mtia::runtime {
namespace {

// Something of both is left for launches, however much operations with other chips would take.
constexpr double least_left = 0.1;

double seconds_with(const ChipSpec& chip, const emulator::LaunchAccount& account, const network::LinkShare& taken) {
  const double dram_rate = chip.dram_bytes_per_second * chip.dram_efficiency;
  const double dram_left = std::max(least_left, 1 - taken.dram_bytes_per_second / dram_rate);
  const double pes_left = std::max(least_left, 1 - taken.pes / chip.pe_count());
  const emulator::Queueing queueing(chip.pe_count());
  return account.seconds + queueing.together(account.core_seconds / pes_left, account.dram_seconds / dram_left) -
         queueing.together(account.core_seconds, account.dram_seconds);
}

}  // namespace

double seconds_beside(const ChipSpec& chip, std::span<const network::LinkUse> uses, double begin,
                      const emulator::LaunchAccount& account) {
  double now = begin, left = 1;
  while (left > 0 && account.seconds > 0) {
    double next = std::numeric_limits<double>::infinity();
    network::LinkShare taken;
    for (const network::LinkUse& use : uses) {
      if (use.begin > now) next = std::min(next, use.begin);
      if (use.end > now) next = std::min(next, use.end);
      if (use.begin > now || use.end <= now) continue;
      taken.dram_bytes_per_second += use.share.dram_bytes_per_second;
      taken.pes = std::max(taken.pes, use.share.pes);  // channels of one library, which have the same PEs in turn
    }
    const double whole = seconds_with(chip, account, taken);
    if (now + left * whole <= next) return now + left * whole - begin;
    left -= (next - now) / whole;
    now = next;
  }
  return now - begin;
}

void slow_beside_exchanges(const Device& device, double start, emulator::LaunchAccount& account) {
  const std::vector<network::LinkUse> uses = links_of(device).after(start);
  if (uses.empty()) return;
  const ChipSpec& chip = device.chip();
  const double longer = seconds_beside(chip, uses, start, account) - account.seconds;
  account.seconds += longer;
  account.joules += (chip.idle_watts() + chip.clock_watts) * longer;
}

}  // namespace mtia::runtime
