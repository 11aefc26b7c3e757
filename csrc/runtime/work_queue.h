// The work queue of one device: a ring of commands, any number of submitting threads, one dispatcher thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <mutex>
#include <vector>

#include "runtime/command.h"

namespace mtia::runtime {

// Commands complete in submission order, so one number, the last completed ticket, tells of every command whether it is
// done.
class WorkQueue {
 public:
  explicit WorkQueue(size_t capacity);
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Calls fill(command, ticket) on the next free entry and hands it to the dispatcher. Waits while the ring is full.
  // A stopped queue drops the command.
  template <typename Fill>
  Ticket push(Fill&& fill) {
    const std::lock_guard lock(submit_mutex_);
    const Ticket before = submitted_.load(std::memory_order_relaxed);
    if (before - completed_.load(std::memory_order_acquire) >= ring_.size()) wait(before - ring_.size() + 1);
    if (is_stopped()) return before;
    fill(ring_[before % ring_.size()], before + 1);
    // Sequentially consistent together with `dispatcher_sleeps_`: either we see the sleeper or it sees the command.
    submitted_.store(before + 1);
    if (dispatcher_sleeps_.load()) wake_dispatcher();
    return before + 1;
  }

  Ticket submitted() const { return submitted_.load(std::memory_order_acquire); }
  Ticket completed() const { return completed_.load(std::memory_order_acquire); }
  bool is_complete(Ticket ticket) const { return completed() >= ticket; }

  // Blocks the calling host thread until the ticket is complete, or the queue was stopped.
  void wait(Ticket ticket);

  // The dispatcher's side. front() blocks until there is a command; nullptr when the queue was stopped.
  Command* front();
  void pop();

  // Drops what has not started; front() returns nullptr from now on and waiters return.
  void stop();
  bool is_stopped() const { return stopped_.load(std::memory_order_acquire); }

 private:
  void wake_dispatcher();

  static constexpr Ticket never = std::numeric_limits<Ticket>::max();

  std::vector<Command> ring_;
  std::mutex submit_mutex_;
  alignas(64) std::atomic<Ticket> submitted_{0};
  alignas(64) std::atomic<Ticket> completed_{0};
  alignas(64) std::atomic<bool> dispatcher_sleeps_{false};
  std::atomic<bool> stopped_{false};
  std::atomic<Ticket> wake_at_{never};  // the smallest ticket that a sleeping host thread waits for
  std::mutex sleep_mutex_;              // of the dispatcher
  std::condition_variable work_arrived_;
  std::mutex wait_mutex_;  // of host threads
  std::condition_variable work_completed_;
};

}  // namespace mtia::runtime
