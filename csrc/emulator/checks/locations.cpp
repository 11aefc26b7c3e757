// The table of locations, kept for the life of the process.
#include "emulator/checks/locations.h"

#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace mtia::emulator {
namespace {

struct Table {
  std::mutex mutex;
  std::map<std::pair<std::string, int>, uint32_t> numbers;
  std::vector<std::string> texts{""};
};

Table& table() {
  static auto* const instance = new Table;
  return *instance;
}

}  // namespace

uint32_t intern_location(std::string_view file, int line) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const auto [entry, added] =
      all.numbers.try_emplace({std::string(file), line}, static_cast<uint32_t>(all.texts.size()));
  if (added) all.texts.push_back(std::string(file) + ":" + std::to_string(line));
  return entry->second;
}

std::string location_text(uint32_t location) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  return location < all.texts.size() ? all.texts[location] : std::string();
}

}  // namespace mtia::emulator
