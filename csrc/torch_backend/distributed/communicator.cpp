// The threads of a group, and what its ranks are called in errors.
#include "torch_backend/distributed/communicator.h"

#include <exception>

#include "base/error.h"

namespace mtia::torch_backend {

void WorkerThread::loop(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->changed.wait(lock, [&] { return state->is_stopped || !state->tasks.empty(); });
    if (state->tasks.empty()) return;
    const std::function<void()> task = std::move(state->tasks.front());
    state->tasks.pop_front();
    state->is_busy = true;
    lock.unlock();
    task();
    lock.lock();
    state->is_busy = false;
    state->changed.notify_all();
  }
}

void WorkerThread::run(std::function<void()> task) {
  const std::lock_guard lock(state_->mutex);
  if (!thread_.joinable()) thread_ = std::thread([state = state_] { loop(state); });
  state_->tasks.push_back(std::move(task));
  state_->changed.notify_all();
}

void WorkerThread::drain() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->tasks.empty() && !state_->is_busy; });
}

WorkerThread::~WorkerThread() {
  bool is_idle = false;
  {
    std::unique_lock lock(state_->mutex);
    state_->is_stopped = true;
    state_->changed.notify_all();
    is_idle = state_->changed.wait_for(lock, std::chrono::seconds(1),
                                       [&] { return state_->tasks.empty() && !state_->is_busy; });
  }
  if (!thread_.joinable()) return;
  is_idle ? thread_.join() : thread_.detach();
}

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
  const std::lock_guard lock(mutex_);
  if (given_up_.empty()) given_up_ = reason;
}

std::string Communicator::given_up() const {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

}  // namespace mtia::torch_backend
