// The table of functions that C++ kernels call, and the loading of their shared objects.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "include/mtia/abi.h"

namespace mtia::emulator {

// A kernel of the tile API (include/mtia/kernel.h): its `entry` is nullptr, which is how a launch knows it. A launch's
// grid is grid[0] x grid[1] PEs, grid[0] PEs where grid[1] is 0, and all of them where both are.
struct TileKernel : CppKernel {
  const mtia_kernel* roles = nullptr;
};

const mtia_api& tile_kernel_api();

// The kernels of a shared object, in the order of its source; they and it stay for the life of the process. Throws
// LaunchFailure where it cannot be loaded, InvalidProgram where it was compiled for another version of the interface.
std::vector<const TileKernel*> load_tile_kernels(const std::string& path);

// Elements of operations.def, by number.
struct OperationInstructions {
  const char* name;
  uint8_t operands;
  const char* of_floats;
  const char* of_signed;
  const char* of_unsigned;
};
std::span<const OperationInstructions> tile_operations();

}  // namespace mtia::emulator
