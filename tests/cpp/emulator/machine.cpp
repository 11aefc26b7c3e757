// The small chip of the emulator's tests.
#include "emulator/machine.h"

namespace mtia::test {

ChipSpec small_chip() {
  ChipSpec chip;
  chip.name = "small";
  chip.pe_rows = 2;
  chip.pe_columns = 2;
  chip.clock_hz = 1e9;
  chip.local_memory_bytes = 65536;
  chip.local_memory_banks = 16;
  chip.local_memory_bytes_per_cycle = 1024;
  chip.sram_bytes = 1 << 20;
  chip.sram_cache_bytes = 1 << 20;
  chip.sram_bytes_per_second = 512e9;
  chip.sram_latency_ns = 100;
  chip.dram_bytes = 64 << 20;
  chip.dram_bytes_per_second = 256e9;
  chip.dram_efficiency = 0.9;
  chip.dram_access_bytes = 32;
  chip.dram_latency_ns = 300;
  chip.host_link_bytes_per_second = 16e9;
  chip.host_link_latency_ns = 1000;
  chip.dot_i8_macs_per_cycle = 2048;
  chip.dot_f8_macs_per_cycle = 2048;
  chip.dot_f16_macs_per_cycle = 1024;
  chip.dot_tf32_macs_per_cycle = 512;
  chip.dot_f32_macs_per_cycle = 256;
  chip.dot_f64_macs_per_cycle = 16;
  chip.dot_tile_rows = 32;
  chip.dot_tile_k_bytes = 32;
  chip.dot_fill_cycles = 32;
  chip.vector_8bit_elements_per_cycle = 64;
  chip.vector_16bit_elements_per_cycle = 32;
  chip.vector_bf16_elements_per_cycle = 16;
  chip.vector_32bit_elements_per_cycle = 16;
  chip.vector_i64_elements_per_cycle = 8;
  chip.vector_f64_elements_per_cycle = 1;
  chip.vector_divide_slowdown = 4;
  chip.simd_elements_per_cycle = 32;
  chip.simd_f64_slowdown = 16;
  chip.reduction_elements_per_cycle = 32;
  chip.layout_bytes_per_cycle = 64;
  chip.fabric_bytes_per_cycle = 32;
  chip.fabric_issue_cycles = 8;
  chip.fabric_row_cycles = 1;
  chip.fabric_alignment_bytes = 1;
  chip.fabric_misaligned_allowed = 1;
  chip.fabric_gather_cycles_per_element = 1;
  chip.fabric_scatter_cycles_per_element = 1;
  chip.fabric_atomic_cycles_per_element = 4;
  chip.scalar_instructions_per_cycle = 1;
  chip.command_issue_cycles = 4;
  chip.launch_ns = 1000;
  chip.replace_ns = 100;
  chip.program_start_cycles = 16;
  chip.tdp_watts = 100;
  chip.typical_watts = 50;
  chip.static_watts = 20;
  chip.dot_i8_picojoules_per_mac = 0.1;
  chip.dot_f16_picojoules_per_mac = 0.2;
  chip.dot_tf32_picojoules_per_mac = 0.4;
  chip.dot_f32_picojoules_per_mac = 0.8;
  chip.dot_f64_picojoules_per_mac = 3;
  chip.vector_8bit_picojoules = 0.1;
  chip.vector_16bit_picojoules = 0.2;
  chip.vector_32bit_picojoules = 0.4;
  chip.vector_64bit_picojoules = 0.8;
  chip.simd_picojoules = 1;
  chip.reduction_picojoules = 0.3;
  chip.instruction_picojoules = 10;
  chip.local_memory_picojoules_per_byte = 0.1;
  chip.network_picojoules_per_byte = 0.5;
  chip.sram_picojoules_per_byte = 0.5;
  chip.dram_picojoules_per_byte = 30;
  chip.host_link_picojoules_per_byte = 20;
  return chip;
}

}  // namespace mtia::test
