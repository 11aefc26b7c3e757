// A variable lives until something else is written to its place.
#include "emulator/inspection/live_names.h"

#include <algorithm>

namespace mtia::emulator {

LiveNames::LiveNames(const TileProgram& program) : program_(program), first_(program.instructions.size() + 1) {
  for (const Argument& argument : program.arguments) names_.push_back({argument.name, argument.value});
  size_t entry = 0;
  for (uint32_t i = 0; i <= program.instructions.size(); ++i) {
    while (entry < program.names.size() && program.names[entry].instruction < i) ++entry;
    first_[i] = static_cast<uint32_t>(entry);
  }
}

void LiveNames::forget_overwritten(uint32_t value) {
  const Value& written = program_.values[value];
  const auto range = [this](const Value& tile) {
    const uint64_t begin = program_.slots[tile.slot].offset;
    return std::pair(begin, begin + tile.bytes());
  };
  std::erase_if(names_, [&](const LiveName& known) {
    const Value& other = program_.values[known.value];
    if (!written.is_tile() || !other.is_tile()) return known.value == value;
    const auto [begin, end] = range(written);
    const auto [other_begin, other_end] = range(other);
    return begin < other_end && other_begin < end;
  });
}

void LiveNames::advance(uint32_t index) {
  for (const uint32_t result : program_.instructions[index].results) {
    if (result != absent) forget_overwritten(result);
  }
  for (uint32_t entry = first_[index]; entry < first_[index + 1]; ++entry) {
    const ValueName& name = program_.names[entry];
    const std::string_view text = program_.strings[name.name];
    // Assigned anew.
    std::erase_if(names_, [&](const LiveName& known) { return known.name == text; });
    names_.push_back({text, name.value});
  }
}

}  // namespace mtia::emulator
