// A finding of checked mode: what is wrong, where, on which element of which tensor, and what touched it before.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/checks/check.h"

namespace mtia::emulator {

struct Finding {
  Check check = Check::out_of_bounds;
  std::string problem;  // one clause with the values

  std::string kernel;           // or the kind of a transfer
  bool has_program = false;     // a launch's finding, not a transfer's
  bool is_tile_program = true;  // else `program` is meaningless: a C++ kernel runs once a PE
  std::array<uint32_t, 3> program{};
  uint32_t pe = 0;
  std::string role;          // of a C++ kernel
  int64_t instruction = -1;  // index in the tile program
  std::string disassembly;
  std::string line;      // of the kernel's source, "softmax.py:12", or where the host races with a transfer
  std::string launched;  // line of the Python program that launched or copied

  std::string tensor;            // the argument's name
  std::vector<int64_t> sizes;    // of the tensor
  std::vector<int64_t> strides;  // elements
  std::vector<int64_t> index;    // of the element; empty where the address is none's
  uint64_t address = 0;
  uint64_t bytes = 0;

  std::string before;  // what touched the memory before: kernel, program, line, or its allocation

  // Kernel, program, PE, line and instruction, as in every error of a launch.
  std::string where() const;
  // problem and before, without where and remedy.
  std::string text() const;
};

// Throws the finding as the exception of its check's category; `others`: how many more there were.
[[noreturn]] void throw_finding(const Finding& finding, size_t others);

// "x of shape (4, 128)"
std::string describe_tensor(const std::string& name, const std::vector<int64_t>& sizes);
std::string describe_tuple(const std::vector<int64_t>& values);

}  // namespace mtia::emulator
