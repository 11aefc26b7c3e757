// Waiting and waking around the ring: spin briefly, because the other side usually answers within microseconds, then
// sleep.
#include "runtime/work_queue.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mtia::runtime {
namespace {

using Clock = std::chrono::steady_clock;

// The dispatcher spins long enough to bridge the gap between two operators of an eager program; a host thread that
// waits takes a core away from the workers, so it gives up sooner.
constexpr std::chrono::microseconds dispatcher_spin{60};
constexpr std::chrono::microseconds waiter_spin{15};

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

template <typename Predicate>
bool spin_until(Predicate&& predicate, std::chrono::microseconds limit) {
  const Clock::time_point end = Clock::now() + limit;
  do {
    for (int i = 0; i < 32; ++i) {
      if (predicate()) return true;
      pause_briefly();
    }
  } while (Clock::now() < end);
  return predicate();
}

}  // namespace

WorkQueue::WorkQueue(size_t capacity) : ring_(capacity) {}

void WorkQueue::wake_dispatcher() {
  const std::lock_guard lock(sleep_mutex_);
  work_arrived_.notify_one();
}

Command* WorkQueue::front() {
  const Ticket done = completed_.load(std::memory_order_relaxed);
  const auto ready = [&] { return stopped_.load() || submitted_.load() != done; };
  if (!spin_until(ready, dispatcher_spin)) {
    std::unique_lock lock(sleep_mutex_);
    dispatcher_sleeps_.store(true);
    work_arrived_.wait(lock, ready);
    dispatcher_sleeps_.store(false);
  }
  if (stopped_.load()) return nullptr;
  return &ring_[done % ring_.size()];
}

void WorkQueue::pop() {
  const Ticket done = completed_.load(std::memory_order_relaxed) + 1;
  completed_.store(done);
  if (wake_at_.load() > done) return;
  const std::lock_guard lock(wait_mutex_);
  wake_at_.store(never);  // those who still wait register again
  work_completed_.notify_all();
}

void WorkQueue::wait(Ticket ticket) {
  // Who waits for the oldest command of a full ring is a submitter: it is woken once half of the ring is free, so that
  // one wake-up serves many commands.
  const Ticket submitted = submitted_.load();
  if (submitted >= ring_.size() && ticket == submitted - ring_.size() + 1) ticket += ring_.size() / 2 - 1;
  const auto done = [&] { return completed_.load() >= ticket || stopped_.load(); };
  if (spin_until(done, waiter_spin)) return;
  std::unique_lock lock(wait_mutex_);
  while (true) {
    wake_at_.store(std::min(wake_at_.load(), ticket));
    if (done()) return;
    work_completed_.wait(lock);
  }
}

void WorkQueue::stop() {
  stopped_.store(true);
  {
    const std::lock_guard lock(sleep_mutex_);
    work_arrived_.notify_all();
  }
  const std::lock_guard lock(wait_mutex_);
  work_completed_.notify_all();
}

}  // namespace mtia::runtime
