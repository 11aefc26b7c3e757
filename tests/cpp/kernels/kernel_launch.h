// Launches of C++ kernels on a test machine, for every chip that mtia_sim comes with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/machine.h"

namespace mtia::test {

// The `field = { value = number, ... }` lines of a file of python/mtia_core/chips, behind those of its base.
inline std::map<std::string, std::string> values_of_file(const std::string& name) {
  std::ifstream file(std::string(MTIA_SOURCE_DIRECTORY) + "/python/mtia_core/chips/" + name + ".toml");
  std::map<std::string, std::string> values;
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("base = ")) values = values_of_file(line.substr(8, line.rfind('"') - 8));
    const std::string separator = " = { value = ";
    const size_t at = line.find(separator);
    if (at == std::string::npos || line[0] == '#') continue;
    std::string number = line.substr(at + separator.size());
    number = number.substr(0, number.find_first_of(", }"));
    number.erase(std::remove(number.begin(), number.end(), '_'), number.end());
    values[line.substr(0, at)] = number;
  }
  return values;
}

// A chip of python/mtia_core/chips.
inline ChipSpec chip_of_file(const std::string& name) {
  const std::map<std::string, std::string> values = values_of_file(name);
  std::string text = "name=" + name + "\n";
  for (const ChipField& field : chip_fields()) {
    const auto value = values.find(std::string(field.name));
    const bool may_be_left_out = field.group == "cluster" || field.group == "host";
    if (value == values.end() && !may_be_left_out) continue;  // parse says what is missing
    text += std::string(field.name) + "=" + (value == values.end() ? "0" : value->second) + "\n";
  }
  return ChipSpec::parse(text, name);
}

// MTIA chips that mtia_sim comes with, and a small one of little local memory whose PEs outnumber most tests' tiles.
inline const std::vector<ChipSpec>& kernel_chips() {
  static const std::vector<ChipSpec> chips = [] {
    ChipSpec narrow = small_chip();
    narrow.name = "narrow";
    narrow.pe_rows = 3;
    narrow.pe_columns = 5;
    narrow.local_memory_bytes = 40 * 1024;
    return std::vector<ChipSpec>{chip_of_file("mtia1"), chip_of_file("mtia2i"), chip_of_file("mtia300"), narrow};
  }();
  return chips;
}

// Runs a kernel on all PEs.
template <typename Arguments>
emulator::LaunchAccount run_kernel(Machine& machine, std::string_view name, const Arguments& arguments) {
  emulator::Launch launch;
  launch.kernel = &emulator::cpp_kernel(name);
  launch.grid = {0, 1, 1};
  launch.set_arguments(arguments);
  return machine.run(launch);
}

}  // namespace mtia::test
