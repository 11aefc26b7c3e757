// Launches of C++ kernels on a test machine, over a few chips that differ in what a kernel must adapt to.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/machine.h"

namespace mtia::test {

// The small chip; one with little local memory and many PEs; one with coarse alignment and without 8-bit products.
inline std::vector<ChipSpec> kernel_chips() {
  std::vector<ChipSpec> chips{small_chip(), small_chip(), small_chip()};
  chips[1].name = "narrow";
  chips[1].pe_rows = 3;
  chips[1].pe_columns = 5;
  chips[1].local_memory_bytes = 40 * 1024;
  chips[2].name = "aligned";
  chips[2].local_memory_bytes = 256 * 1024;
  chips[2].fabric_alignment_bytes = 32;
  chips[2].fabric_misaligned_row_cycles = 8;
  chips[2].dot_f8_macs_per_cycle = 0;
  return chips;
}

// Runs a kernel on all PEs.
template <typename Arguments>
emulator::LaunchAccount run_kernel(Machine& machine, std::string_view name, const Arguments& arguments) {
  emulator::Launch launch;
  launch.kernel = &emulator::cpp_kernel(name);
  launch.grid = {0, 1, 1};
  launch.set_arguments(arguments);
  return machine.emulator().run(launch);
}

}  // namespace mtia::test
