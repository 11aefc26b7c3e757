// ChipSpec: everything the emulator knows of a chip; a plain struct made from chip_fields.def and checked when parsed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mtia {

struct ChipSpec {
  std::string name;

#define CHIP_TYPE_integer uint64_t
#define CHIP_TYPE_real double
#define CHIP_FIELD(group, field, type, unit, minimum, maximum, summary) CHIP_TYPE_##type field{};
#include "chip/chip_fields.def"
#undef CHIP_FIELD
#undef CHIP_TYPE_integer
#undef CHIP_TYPE_real

  uint32_t pe_count() const { return static_cast<uint32_t>(pe_rows * pe_columns); }
  double cycles(double seconds) const { return seconds * clock_hz; }
  double seconds(double cycles) const { return cycles / clock_hz; }
  // What the chip draws while nothing works.
  double idle_watts() const { return leakage_watts + dram_idle_watts + links_watts; }

  // Of the SRAM to all PEs together, in bytes a second: reads alone or writes alone get one_way_bytes_per_second.
  double shared_bytes_per_second() const { return sram_bytes_per_second * network_efficiency; }
  double one_way_bytes_per_second() const { return shared_bytes_per_second() * sram_one_way_fraction; }
  // By how much longer than 32 KiB a tensor's blocks have to be, as a power of two, where a PE has so large a share of
  // the DRAM's bandwidth that two such blocks do not cover the latency, and the local memory to hold them: 2 MiB for
  // four programs side by side, of half a MiB each. ChipLimits.longer_blocks of kernels/launch_shape.py is the same.
  int64_t longer_blocks() const {
    const double in_flight = dram_bytes_per_second * dram_efficiency * dram_latency_ns * 1e-9 / pe_count();
    int64_t longer = 1;
    while (longer < 64 && static_cast<double>(longer) * 48 * 1024 < in_flight &&
           longer * 2 <= static_cast<int64_t>(local_memory_bytes >> 21))
      longer *= 2;
    return longer;
  }
  // Of the DRAM, of which `written` of the bytes are writes: 0 to 1.
  double dram_bytes_per_second_at(double written) const {
    return dram_bytes_per_second * dram_efficiency * (1 - 2 * std::min(written, 1 - written) * dram_turnaround_loss);
  }
  // Elements of a result of m x n with the edges that the dot product engine works on for nothing, in the better of
  // both directions.
  uint64_t dot_padded(uint64_t m, uint64_t n) const {
    const auto padded = [](uint64_t size, uint64_t unit) { return (size + unit - 1) / unit * unit; };
    return std::min(padded(m, dot_tile_rows) * padded(n, dot_tile_columns),
                    padded(m, dot_tile_columns) * padded(n, dot_tile_rows));
  }

  // Reads what mtia_core.chips writes: one "name=value" a line, `name` itself first, every field exactly once.
  // Throws InvalidChip, which names the field, its value, its allowed range, and `where` the text came from.
  static ChipSpec parse(std::string_view text, std::string_view where);

  // The same text again: parse(x.serialise(), ...) equals x.
  std::string serialise() const;

  // Throws InvalidChip where a field is out of its range or two fields contradict each other.
  void validate(std::string_view where) const;

  friend bool operator==(const ChipSpec&, const ChipSpec&) = default;
};

// One row of chip_fields.def, for whoever lists fields (docs, torch.mtia_sim's device properties).
struct ChipField {
  std::string_view group;
  std::string_view name;
  bool is_integer;
  std::string_view unit;
  double minimum;
  double maximum;
  std::string_view summary;
};

const std::vector<ChipField>& chip_fields();

}  // namespace mtia
