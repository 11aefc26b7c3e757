// A chip of four PEs and little memory, for tests of the layers above the emulator.
#pragma once

#include <algorithm>

#include "chip/chip_spec.h"

namespace mtia::test {

inline ChipSpec copy_chip() {
  ChipSpec chip;
  chip.name = "small";
#define CHIP_FIELD(group, field, type, unit, minimum, maximum, summary) \
  chip.field = static_cast<decltype(chip.field)>(std::max<double>(minimum, 1));
#include "chip/chip_fields.def"
#undef CHIP_FIELD
  chip.pe_rows = 2;
  chip.pe_columns = 2;
  chip.clock_hz = 1e9;
  chip.local_memory_bytes = 128 << 10;
  chip.sram_bytes = chip.sram_cache_bytes = 4 << 20;
  chip.sram_bytes_per_second = 1e12;
  chip.dram_bytes = 256 << 20;
  chip.dram_bytes_per_second = 1e11;
  chip.host_link_bytes_per_second = 1e10;
  chip.host_link_latency_ns = 1000;
  chip.peer_link_bytes_per_second = 2e10;
  chip.host_dispatch_ns = 0;
  chip.event_ns = 0;
  return chip;
}

}  // namespace mtia::test
