// From what the PEs of a launch did to its account.
#include "emulator/timing/launch_totals.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "chip/chip_spec.h"

namespace mtia::emulator {

Queueing::Queueing(uint32_t pes) {
  if (pes < 2) return;
  const double n = pes;
  const double slowdown = 1 + std::sqrt(std::numbers::inv_pi / n) * (1 - 1 / n);
  exponent_ = std::numbers::ln2 / std::log(slowdown);
}

double Queueing::together(double a, double b) const {
  const double longer = std::max(a, b);
  if (longer <= 0 || exponent_ == 0) return longer;
  return longer * std::pow(1 + std::pow(std::min(a, b) / longer, exponent_), 1 / exponent_);
}

LaunchAccount charged(const LaunchTotals& totals, SramCache& cache, const ChipSpec& chip) {
  LaunchAccount account = totals.counts;
  for (const Window& window : totals.windows) cache.use(window, account.bytes);
  finish(account, totals.longest, chip.replace_ns * 1e-9, totals.femtojoules, chip);
  return account;
}

void finish(LaunchAccount& account, SubCycles longest, double overhead_seconds, uint64_t femtojoules,
            const ChipSpec& chip) {
  const auto read = static_cast<double>(account.bytes.sram_read);
  const auto written = static_cast<double>(account.bytes.sram_written);
  const auto dram = static_cast<double>(account.bytes.dram_read + account.bytes.dram_written);
  const double sram = read + written;
  const auto pe = static_cast<double>((longest + cycle - 1) / cycle);
  const double dram_written = dram > 0 ? static_cast<double>(account.bytes.dram_written) / dram : 0;
  account.dram_seconds = dram / chip.dram_bytes_per_second_at(dram_written);
  // Reads and writes share the SRAM's bandwidth, and each has no more than its own ports.
  account.sram_seconds =
      std::max(sram / chip.shared_bytes_per_second(), std::max(read, written) / chip.one_way_bytes_per_second());
  const Queueing queueing(chip.pe_count());
  const double core = queueing.together(pe, chip.cycles(account.sram_seconds));
  account.core_seconds = chip.seconds(core);
  account.cycles = static_cast<uint64_t>(queueing.together(core, chip.cycles(account.dram_seconds))) +
                   static_cast<uint64_t>(chip.cycles(overhead_seconds));
  account.seconds = chip.seconds(static_cast<double>(account.cycles));
  account.pe_cycles = account.cycles * chip.pe_count();
  account.dynamic_joules = static_cast<double>(femtojoules) * 1e-15 +
                           (static_cast<double>(account.bytes.local_memory) * chip.local_memory_picojoules_per_byte +
                            sram * (chip.sram_picojoules_per_byte + chip.network_picojoules_per_byte) +
                            dram * chip.dram_picojoules_per_byte) *
                               1e-12;
  account.full_clock_dynamic_joules = account.dynamic_joules;
  account.joules = account.dynamic_joules + (chip.idle_watts() + chip.clock_watts) * account.seconds;
}

}  // namespace mtia::emulator
