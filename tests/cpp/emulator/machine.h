// One emulated device for the tests: launches of built programs, and device arrays.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "chip/chip_spec.h"
#include "emulator/emulator.h"
#include "emulator/grid/worker_pool.h"
#include "program/builder.h"
#include "program/serialise.h"

namespace mtia::test {

// A small chip with round numbers: 4 PEs, 64 KiB of local memory, 1 MiB of SRAM cache, 64 MiB of DRAM.
ChipSpec small_chip();

class Machine {
 public:
  explicit Machine(unsigned threads = 2) : Machine(threads, small_chip()) {}
  Machine(unsigned threads, const ChipSpec& chip) : pool_(threads), emulator_(chip, pool_) {}

  emulator::Emulator& emulator() { return emulator_; }

  template <typename T>
  uint64_t put(const std::vector<T>& values) {
    const uint64_t address = emulator_.memory().allocate(values.size() * sizeof(T));
    std::memcpy(emulator_.memory().host_span(address, values.size() * sizeof(T), emulator::Access::write),
                values.data(), values.size() * sizeof(T));
    return address;
  }
  template <typename T>
  std::vector<T> get(uint64_t address, size_t count) {
    std::vector<T> values(count);
    std::memcpy(values.data(), emulator_.memory().host_span(address, count * sizeof(T), emulator::Access::read),
                count * sizeof(T));
    return values;
  }

  // Through the serialised form, as a compiled kernel goes.
  emulator::LaunchAccount run(const TileProgram& program, const std::vector<uint64_t>& arguments,
                              std::array<uint32_t, 3> grid = {1, 1, 1}) {
    emulator::Launch launch;
    launch.program = emulator::load_program(serialise(program), emulator_.chip());
    launch.grid = grid;
    launch.arguments.assign(arguments.data(), arguments.size());
    return run(launch);
  }

  // Also holds the launch's account in timing mode to be the same.
  emulator::LaunchAccount run(const emulator::Launch& launch);

 private:
  emulator::WorkerPool pool_;
  emulator::Emulator emulator_;
};

}  // namespace mtia::test
