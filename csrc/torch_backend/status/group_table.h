// The process groups that this process is a rank of, for who asks from outside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mtia::torch_backend {

struct GroupStatus {
  std::string name;
  std::string description;  // "default_pg", "mesh_tp"; empty until the group is first used
  int rank = 0;
  int size = 0;
};

// A row of the table as long as it lives.
class GroupEntry {
 public:
  GroupEntry(std::string name, int rank, int size);
  ~GroupEntry();
  GroupEntry(const GroupEntry&) = delete;
  GroupEntry& operator=(const GroupEntry&) = delete;
  void describe(const std::string& description);

 private:
  uint64_t number_;
};

// In the order in which they were made.
std::vector<GroupStatus> group_statuses();

}  // namespace mtia::torch_backend
