// What the ranks of a group are called in errors, and the group's end.
#include "torch_backend/distributed/communicator.h"

#include <utility>

#include "base/error.h"

namespace mtia::torch_backend {

std::string Communicator::describe(int group_rank) const {
  const auto place = static_cast<size_t>(group_rank);
  std::string text = concat("rank ", group_rank, " of group ", name.empty() ? "0" : name);
  if (place < global_ranks.size() && global_ranks[place] != group_rank)
    text += concat(" (rank ", global_ranks[place], " of the job)");
  return text;
}

std::shared_ptr<OrderedReceive> Communicator::receive_before(int source, uint32_t tag,
                                                             const std::shared_ptr<OrderedReceive>& next) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<OrderedReceive>& latest = latest_receives_[{source, tag}];
  return std::exchange(latest, next).lock();
}

void Communicator::give_up(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!given_up_.empty()) return;
    given_up_ = reason;
  }
  transport->give_up(reason);
}

std::string Communicator::given_up() const {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

}  // namespace mtia::torch_backend
