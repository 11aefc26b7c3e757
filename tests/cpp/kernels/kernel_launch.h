// Launches of C++ kernels on a test machine, for every chip that mtia_sim comes with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/machine.h"

namespace mtia::test {

// A chip of python/mtia_core/chips: the `field = { value = number, ... }` lines of its file.
inline ChipSpec chip_of_file(const std::string& name) {
  const std::string path = std::string(MTIA_SOURCE_DIRECTORY) + "/python/mtia_core/chips/" + name + ".toml";
  std::ifstream file(path);
  std::string text = "name=" + name + "\n";
  std::string line;
  while (std::getline(file, line)) {
    const std::string separator = " = { value = ";
    const size_t at = line.find(separator);
    if (at == std::string::npos || line[0] == '#') continue;
    std::string number = line.substr(at + separator.size());
    number = number.substr(0, number.find_first_of(", }"));
    number.erase(std::remove(number.begin(), number.end(), '_'), number.end());
    text += line.substr(0, at) + "=" + number + "\n";
  }
  for (const ChipField& field : chip_fields()) {  // groups that a file may leave out
    const std::string entry = std::string(field.name) + "=";
    if ((field.group == "cluster" || field.group == "host") && text.find("\n" + entry) == std::string::npos)
      text += entry + "0\n";
  }
  return ChipSpec::parse(text, path);
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
