// From what the PEs of a launch did to its account.
#include "emulator/timing/launch_totals.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "chip/chip_spec.h"

namespace mtia::emulator {

namespace {

// Time of PEs that work for `pe` and ask a memory for `shared` of work. Each alone could hide the other; where both
// take about as long, requests that come at odd moments queue. Of n customers with random pauses and a server of
// constant time, by the machine repairman's law, the server is idle for about sqrt(1 / (pi n)) of the time where both
// are equal; a p-norm goes through that point and both ends. (L. Kleinrock, Queueing Systems I, 3.8, and half of its
// variance for constant service.)
double contended(double pe, double shared, double n) {
  const double longer = std::max(pe, shared);
  if (longer <= 0 || n <= 1) return longer;
  const double slowdown = 1 + std::sqrt(std::numbers::inv_pi / n) * (1 - 1 / n);
  const double p = std::numbers::ln2 / std::log(slowdown);
  return longer * std::pow(1 + std::pow(std::min(pe, shared) / longer, p), 1 / p);
}

}  // namespace

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
  const double memory = chip.cycles(dram / chip.dram_bytes_per_second_at(dram_written));
  // Reads and writes share the SRAM's bandwidth, and each has no more than its own ports.
  const double shared = chip.cycles(
      std::max(sram / chip.shared_bytes_per_second(), std::max(read, written) / chip.one_way_bytes_per_second()));
  const double core = contended(pe, shared, chip.pe_count());
  account.cycles = static_cast<uint64_t>(contended(core, memory, chip.pe_count())) +
                   static_cast<uint64_t>(chip.cycles(overhead_seconds));
  account.seconds = account.full_clock_seconds = chip.seconds(static_cast<double>(account.cycles));
  account.core_seconds = chip.seconds(core);
  account.memory_seconds = chip.seconds(memory);
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
