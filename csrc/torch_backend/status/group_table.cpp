// One table a process, never destroyed: groups may outlive static objects.
#include "torch_backend/status/group_table.h"

#include <map>
#include <mutex>
#include <utility>

namespace mtia::torch_backend {
namespace {

struct Table {
  std::mutex mutex;
  uint64_t next = 0;
  std::map<uint64_t, GroupStatus> rows;
};

Table& table() {
  static auto* const instance = new Table;
  return *instance;
}

}  // namespace

GroupEntry::GroupEntry(std::string name, int rank, int size) {
  const std::lock_guard lock(table().mutex);
  number_ = table().next++;
  table().rows[number_] = {std::move(name), "", rank, size};
}

GroupEntry::~GroupEntry() {
  const std::lock_guard lock(table().mutex);
  table().rows.erase(number_);
}

void GroupEntry::describe(const std::string& description) {
  const std::lock_guard lock(table().mutex);
  table().rows[number_].description = description;
}

std::vector<GroupStatus> group_statuses() {
  const std::lock_guard lock(table().mutex);
  std::vector<GroupStatus> found;
  for (const auto& [number, row] : table().rows) found.push_back(row);
  return found;
}

}  // namespace mtia::torch_backend
