// What a launch cost on the chip: time, energy, operations, bytes at each level, busy cycles of each unit. Accounts
// add.
#pragma once

#include <array>
#include <cstdint>

#include "isa/unit.h"

namespace mtia::emulator {

// Bytes moved at each level of the memory hierarchy.
struct LevelBytes {
  uint64_t local_memory = 0;  // read and written by the units of the PEs
  uint64_t sram_read = 0;     // fabric traffic served by the shared SRAM (last-level cache), in either direction
  uint64_t sram_written = 0;
  uint64_t dram_read = 0;     // misses of the SRAM
  uint64_t dram_written = 0;  // write-backs of the SRAM
};

struct LaunchAccount {
  uint64_t launches = 0;
  uint64_t instructions = 0;
  uint64_t cycles = 0;  // of the chip's clock, launch overhead included
  double seconds = 0;   // cycles / clock_hz, or more where the power limit lowers the clock
  double full_clock_dynamic_joules = 0;
  double core_seconds = 0;    // at clock_hz, of what a lower clock makes slower: the slowest PE and the SRAM
  double sram_seconds = 0;    // at clock_hz, that the bytes take which cross between PEs and SRAM
  double dram_seconds = 0;    // that the bytes take which miss the SRAM
  double joules = 0;          // idle and clock power over the time, plus dynamic_joules
  double dynamic_joules = 0;  // of operations and bytes
  uint64_t flops = 0;  // floating-point operations: 2 m n k of each dot, one an element of each other float instruction
  uint64_t dot_flops = 0;  // the part done by the dot product engine
  LevelBytes bytes;
  std::array<uint64_t, unit_count> busy_cycles{};  // summed over the PEs, indexed by Unit
  uint64_t pe_cycles = 0;                          // cycles * number of PEs of the chip

  // Fraction of the time for which a unit was busy, averaged over the PEs.
  double busy_fraction(Unit unit) const {
    return pe_cycles == 0
               ? 0.0
               : static_cast<double>(busy_cycles[static_cast<size_t>(unit)]) / static_cast<double>(pe_cycles);
  }

  LaunchAccount& operator+=(const LaunchAccount& other) {
    launches += other.launches;
    instructions += other.instructions;
    cycles += other.cycles;
    seconds += other.seconds;
    full_clock_dynamic_joules += other.full_clock_dynamic_joules;
    core_seconds += other.core_seconds;
    sram_seconds += other.sram_seconds;
    dram_seconds += other.dram_seconds;
    joules += other.joules;
    dynamic_joules += other.dynamic_joules;
    flops += other.flops;
    dot_flops += other.dot_flops;
    bytes.local_memory += other.bytes.local_memory;
    bytes.sram_read += other.bytes.sram_read;
    bytes.sram_written += other.bytes.sram_written;
    bytes.dram_read += other.bytes.dram_read;
    bytes.dram_written += other.bytes.dram_written;
    for (size_t unit = 0; unit < unit_count; ++unit) busy_cycles[unit] += other.busy_cycles[unit];
    pe_cycles += other.pe_cycles;
    return *this;
  }
};

}  // namespace mtia::emulator
