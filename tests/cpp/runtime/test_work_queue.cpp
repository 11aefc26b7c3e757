// The work queue keeps order among many submitters, holds back those who are too fast, and lets go of waiters when
// stopped.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "runtime/work_queue.h"
#include "test.h"

namespace {

using mtia::runtime::Command;
using mtia::runtime::Ticket;
using mtia::runtime::WorkQueue;

// Runs commands until the queue is stopped; hands each command's bytes to `seen`.
template <typename Seen>
std::thread consumer(WorkQueue& queue, Seen seen) {
  return std::thread([&queue, seen] {
    while (const Command* command = queue.front()) {
      seen(command->bytes);
      queue.pop();
    }
  });
}

TEST(commands_run_in_the_order_of_their_tickets) {
  constexpr uint64_t per_thread = 20000;
  WorkQueue queue(64);
  std::vector<uint64_t> order;
  std::thread dispatcher = consumer(queue, [&order](uint64_t ticket) { order.push_back(ticket); });
  std::vector<std::thread> submitters;
  for (int thread = 0; thread < 3; ++thread) {
    submitters.emplace_back([&queue] {
      for (uint64_t i = 0; i < per_thread; ++i) {
        queue.push([](Command& command, Ticket ticket) { command.bytes = ticket; });
      }
    });
  }
  for (std::thread& submitter : submitters) submitter.join();
  queue.wait(queue.submitted());
  CHECK_EQ(queue.completed(), 3 * per_thread);
  queue.stop();
  dispatcher.join();
  CHECK_EQ(order.size(), 3 * per_thread);
  for (size_t i = 0; i < order.size(); ++i) CHECK_EQ(order[i], i + 1);
}

TEST(a_full_queue_holds_its_submitter_back) {
  WorkQueue queue(4);
  std::atomic<bool> go{false};
  std::thread dispatcher = consumer(queue, [&go](uint64_t) {
    while (!go.load()) std::this_thread::yield();
  });
  std::atomic<int> pushed{0};
  std::thread submitter([&] {
    for (int i = 0; i < 20; ++i) {
      queue.push([](Command&, Ticket) {});
      pushed.fetch_add(1);
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK_EQ(pushed.load(), 4);
  go.store(true);
  submitter.join();
  queue.wait(20);
  queue.stop();
  dispatcher.join();
  CHECK_EQ(queue.completed(), 20);
}

TEST(a_sleeping_dispatcher_and_a_sleeping_waiter_wake) {
  WorkQueue queue(16);
  std::thread dispatcher = consumer(queue, [](uint64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // longer than either side spins
    const Ticket ticket = queue.push([](Command&, Ticket) {});
    CHECK(!queue.is_complete(ticket));
    queue.wait(ticket);
    CHECK(queue.is_complete(ticket));
  }
  queue.stop();
  dispatcher.join();
}

TEST(waiters_of_different_tickets_all_wake) {
  WorkQueue queue(64);
  std::thread dispatcher =
      consumer(queue, [](uint64_t) { std::this_thread::sleep_for(std::chrono::microseconds(200)); });
  Ticket last = 0;
  for (int i = 0; i < 40; ++i) last = queue.push([](Command&, Ticket) {});
  std::vector<std::thread> waiters;
  std::atomic<int> woken{0};
  for (Ticket ticket = 1; ticket <= last; ticket += 3) {
    waiters.emplace_back([&queue, &woken, ticket] {
      queue.wait(ticket);
      if (queue.is_complete(ticket)) woken.fetch_add(1);
    });
  }
  for (std::thread& waiter : waiters) waiter.join();
  CHECK_EQ(woken.load(), 14);
  queue.stop();
  dispatcher.join();
}

TEST(stopping_releases_waiters_and_drops_later_commands) {
  WorkQueue queue(4);
  std::thread waiter([&queue] { queue.wait(1000); });
  std::thread stuck([&queue] {
    for (int i = 0; i < 10; ++i) queue.push([](Command&, Ticket) {});  // nobody consumes: blocks at the fifth
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  queue.stop();
  waiter.join();
  stuck.join();
  CHECK_EQ(queue.submitted(), 4);
  CHECK(queue.front() == nullptr);
}

}  // namespace
