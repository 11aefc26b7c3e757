// The loop of a group's threads, and how they are left.
#include "transport/worker_thread.h"

#include <utility>

namespace mtia::transport {

void WorkerThread::loop(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->changed.wait(lock, [&] { return state->is_stopped || !state->tasks.empty(); });
    if (state->tasks.empty()) return;
    {
      const std::function<void()> task = std::move(state->tasks.front());
      state->tasks.pop_front();
      state->is_busy = true;
      lock.unlock();
      task();
    }
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

bool WorkerThread::drain_for(std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, timeout, [&] { return state_->tasks.empty() && !state_->is_busy; });
}

WorkerThread::~WorkerThread() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopped = true;
    state_->changed.notify_all();
  }
  const bool is_idle = drain_for(std::chrono::seconds(1));
  if (!thread_.joinable()) return;
  // The task that ran last may own what this is part of.
  is_idle&& thread_.get_id() != std::this_thread::get_id() ? thread_.join() : thread_.detach();
}

}  // namespace mtia::transport
