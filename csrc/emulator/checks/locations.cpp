// The table of locations, kept for the life of the process.
#include "emulator/checks/locations.h"

#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

namespace mtia::emulator {
namespace {

struct Location {
  std::string text;
  std::string role;
};

struct Table {
  std::mutex mutex;
  std::map<std::tuple<std::string, int, std::string>, uint32_t> numbers;
  std::vector<Location> locations{{}};
};

Table& table() {
  static auto* const instance = new Table;
  return *instance;
}

Location location_of(uint32_t number) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  return number < all.locations.size() ? all.locations[number] : Location{};
}

}  // namespace

uint32_t intern_location(std::string_view file, int line, std::string_view role) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const auto [entry, added] = all.numbers.try_emplace({std::string(file), line, std::string(role)},
                                                      static_cast<uint32_t>(all.locations.size()));
  if (added) {
    const std::string text = file.empty() ? std::string() : std::string(file) + ":" + std::to_string(line);
    all.locations.push_back({text, std::string(role)});
  }
  return entry->second;
}

std::string location_text(uint32_t location) { return location_of(location).text; }

std::string location_role(uint32_t location) { return location_of(location).role; }

}  // namespace mtia::emulator
