// The small chip of the emulator's tests.
#include "emulator/machine.h"

#include "base/error.h"
#include "emulator/pe/pe_state.h"
#include "emulator/timing/launch_totals.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/stand_ins.h"
#include "emulator/timing_mode/timed_program.h"
#include "test.h"

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
  chip.sram_one_way_fraction = 1;
  chip.network_efficiency = 1;
  chip.sram_latency_ns = 100;
  chip.dram_bytes = 64 << 20;
  chip.dram_bytes_per_second = 256e9;
  chip.dram_efficiency = 0.9;
  chip.dram_turnaround_loss = 0;
  chip.dram_access_bytes = 32;
  chip.dram_latency_ns = 300;
  chip.host_link_bytes_per_second = 16e9;
  chip.host_link_latency_ns = 1000;
  chip.dot_i8_macs_per_cycle = 2048;
  chip.dot_f8_macs_per_cycle = 2048;
  chip.dot_f4_macs_per_cycle = 4096;
  chip.dot_mx_block_elements = 16;
  chip.dot_f4_number_scales = 1;
  chip.dot_f16_macs_per_cycle = 1024;
  chip.dot_tf32_macs_per_cycle = 512;
  chip.dot_f32_macs_per_cycle = 256;
  chip.dot_f64_macs_per_cycle = 16;
  chip.dot_tile_rows = 32;
  chip.dot_tile_columns = 32;
  chip.dot_tile_k_bytes = 32;
  chip.dot_fill_cycles = 32;
  chip.dot_accumulator_bytes = 65536;
  chip.dot_beside_vector = 1;
  chip.dot_waited_fraction = 1;
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
  chip.fabric_multicast_pes = 1;
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
  chip.event_ns = 0;
  chip.replace_ns = 100;
  chip.program_start_cycles = 16;
  chip.tdp_watts = 100;
  chip.typical_watts = 50;
  chip.clock_floor = 0.25;
  chip.voltage_exponent = 1;
  chip.leakage_watts = 12;
  chip.dram_idle_watts = 3;
  chip.links_watts = 1;
  chip.clock_watts = 4;
  chip.dot_i8_picojoules_per_mac = 0.1;
  chip.dot_f4_picojoules_per_mac = 0.05;
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

namespace {

void check_same(const emulator::LaunchTotals& timed, const emulator::LaunchTotals& run, const std::string& name) {
  const auto hold = [&](const char* what, uint64_t a, uint64_t b) {
    if (a != b)
      fail(__FILE__, __LINE__,
           concat("timing mode of ", name, ": ", what, " is ", a, ", in functional mode it is ", b));
  };
  hold("instructions", timed.counts.instructions, run.counts.instructions);
  hold("flops", timed.counts.flops, run.counts.flops);
  hold("bytes of local memory", timed.counts.bytes.local_memory, run.counts.bytes.local_memory);
  hold("energy", timed.femtojoules, run.femtojoules);
  hold("time", timed.longest, run.longest);
  for (size_t unit = 0; unit < unit_count; ++unit)
    hold("busy time", timed.counts.busy_cycles[unit], run.counts.busy_cycles[unit]);
  hold("number of windows", timed.windows.size(), run.windows.size());
  for (size_t i = 0; i < run.windows.size(); ++i) {
    hold("first byte touched", timed.windows[i].low, run.windows[i].low);
    hold("last byte touched", timed.windows[i].high, run.windows[i].high);
    hold("bytes read", timed.windows[i].bytes_read, run.windows[i].bytes_read);
    hold("bytes written", timed.windows[i].bytes_written, run.windows[i].bytes_written);
  }
}

}  // namespace

namespace {

// The launch with the allocations of its pointers as its memory, so that alike PEs are walked once.
emulator::Launch with_extents(const emulator::Launch& launch, const emulator::DeviceMemory& memory) {
  if (launch.program == nullptr || !launch.extents.empty()) return launch;
  emulator::Launch named = launch;
  const std::vector<emulator::ParameterInfo>& parameters = emulator::parameters_of(*launch.program);
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].is_pointer) continue;
    const emulator::AddressRange range = memory.allocation_of(launch.arguments[i]);
    if (range.end == 0) return launch;
    named.extents.push_back(range);
  }
  return named;
}

}  // namespace

emulator::LaunchAccount Machine::run(const emulator::Launch& launch) {
  if (launch.program != nullptr && emulator::timed(*launch.program).is_decided_by_memory())
    return emulator_.run(launch);
  emulator::KnownMemory known;
  known.add({0, UINT64_MAX});
  const emulator::StandIns stand_ins{{}};
  emulator::TimedLaunch timed_launch{&known, &stand_ins};
  const bool reads_contents = launch.kernel != nullptr && launch.kernel->reads_contents;
  timed_launch.work = reads_contents ? emulator::HostWork::all_but_stores : emulator::HostWork::none;
  const auto cache = emulator_.cache();
  emulator::LaunchTotals timed;
  bool failed = false;
  try {
    try {
      emulator_.estimate(with_extents(launch, emulator_.memory()), timed_launch);
    } catch (const emulator::NeedsValues&) {
      timed_launch.work = emulator::HostWork::all_but_stores;
      emulator_.estimate(launch, timed_launch);
    }
    timed = emulator_.last_totals();
  } catch (const Error&) {
    failed = true;  // then the launch fails too, as the test that made it wants; assertions it alone sees
  }
  emulator_.set_cache(cache);
  const emulator::LaunchAccount account = emulator_.run(launch);
  CHECK(!failed);
  check_same(timed, emulator_.last_totals(),
             std::string(launch.program != nullptr ? emulator::name_of(*launch.program) : launch.kernel->name));
  return account;
}

}  // namespace mtia::test
