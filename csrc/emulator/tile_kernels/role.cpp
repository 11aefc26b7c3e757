// How roles and lines of source are named in messages, and the end of a role that never ends.
#include "emulator/tile_kernels/role.h"

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "emulator/tile_kernels/grid_run.h"

namespace mtia::emulator {

std::string text_of(const mtia_line& line) {
  if (line.file == nullptr) return {};
  const char* slash = std::strrchr(line.file, '/');
  return concat(slash == nullptr ? line.file : slash + 1, ":", line.line);
}

std::string source_of(const mtia_line& line) {
  if (line.file == nullptr) return {};
  std::ifstream file(line.file);
  std::string text;
  for (uint32_t number = 0; number < line.line; ++number) {
    if (!std::getline(file, text)) return {};
  }
  const size_t first = text.find_first_not_of(" \t");
  return first == std::string::npos ? std::string() : text.substr(first);
}

std::string_view Role::name() const {
  const mtia_role_entry& entry = pe->run->kernel().roles[number];
  return {entry.name, entry.name_length};
}

std::string Role::place() const { return concat("role ", name(), " on PE ", index, ", ", text_of(line)); }

void Role::refuse_to_wait() {
  throw InvalidArgument("the constructor of what the roles share waits", "",
                        "reserve and consume pages in roles, which start after it");
}

void Call::loops_for_ever() {
  throw Deadlock("the role goes on without end: it made more calls than MTIA_SIM_LOOP_LIMIT allows", "",
                 "check the condition that ends its loop, or raise MTIA_SIM_LOOP_LIMIT");
}

}  // namespace mtia::emulator
