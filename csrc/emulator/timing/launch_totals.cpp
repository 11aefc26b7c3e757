// From what the PEs of a launch did to its account.
#include "emulator/timing/launch_totals.h"

#include <algorithm>

#include "chip/chip_spec.h"

namespace mtia::emulator {

LaunchAccount charged(const LaunchTotals& totals, SramCache& cache, const ChipSpec& chip) {
  LaunchAccount account = totals.counts;
  for (const Window& window : totals.windows) cache.use(window, account.bytes);
  finish(account, totals.longest, chip.replace_ns * 1e-9, totals.femtojoules, chip);
  return account;
}

void finish(LaunchAccount& account, SubCycles longest, double overhead_seconds, uint64_t femtojoules,
            const ChipSpec& chip) {
  const auto dram = static_cast<double>(account.bytes.dram_read + account.bytes.dram_written);
  const auto sram = static_cast<double>(account.bytes.sram_read + account.bytes.sram_written);
  const double dram_seconds = dram / (chip.dram_bytes_per_second * chip.dram_efficiency);
  const double sram_seconds = sram / chip.sram_bytes_per_second;
  const auto shared = static_cast<uint64_t>(chip.cycles(std::max(dram_seconds, sram_seconds)));
  account.cycles =
      std::max((longest + cycle - 1) / cycle, shared) + static_cast<uint64_t>(chip.cycles(overhead_seconds));
  account.seconds = chip.seconds(static_cast<double>(account.cycles));
  account.pe_cycles = account.cycles * chip.pe_count();
  account.dynamic_joules = static_cast<double>(femtojoules) * 1e-15 +
                           (static_cast<double>(account.bytes.local_memory) * chip.local_memory_picojoules_per_byte +
                            sram * (chip.sram_picojoules_per_byte + chip.network_picojoules_per_byte) +
                            dram * chip.dram_picojoules_per_byte) *
                               1e-12;
  account.joules = account.dynamic_joules + chip.static_watts * account.seconds;
}

}  // namespace mtia::emulator
