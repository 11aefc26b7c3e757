// Which of a kernel's variables lie in local memory or in registers at one moment of a program.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "program/tile_program.h"

namespace mtia::emulator {

struct LiveName {
  std::string_view name;
  uint32_t value = 0;
};

class LiveNames {
 public:
  // At the start of a program of the grid: its arguments.
  explicit LiveNames(const TileProgram& program);

  // After the instruction at `index` ran: what it overwrote is gone, what it made has come.
  void advance(uint32_t index);

  const std::vector<LiveName>& names() const { return names_; }

 private:
  void forget_overwritten(uint32_t value);

  const TileProgram& program_;
  std::vector<uint32_t> first_;  // by instruction: its first entry in program.names
  std::vector<LiveName> names_;
};

}  // namespace mtia::emulator
