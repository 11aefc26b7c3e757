// What the exchanges of one group share on one rank: transport, the thread that carries collectives out, the order of
// both, and chip times.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "torch_backend/distributed/transport.h"

namespace mtia::torch_backend {

// Runs what it is given, one after the other.
class WorkerThread {
 public:
  WorkerThread() : state_(std::make_shared<State>()) {}
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;
  void run(std::function<void()> task);
  // Until what was given has run.
  void drain();

 private:
  // The thread keeps it alive, so that a thread which waits for a rank that is gone can be left behind.
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> tasks;
    bool is_busy = false;
    bool is_stopped = false;
  };
  static void loop(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
  std::thread thread_;
};

// A receive that others of the same sender follow.
class OrderedReceive {
 public:
  virtual ~OrderedReceive() = default;
  // Waits until what was sent lies in host memory.
  virtual void arrive() = 0;
};

class Communicator {
 public:
  Communicator(std::unique_ptr<Transport> given, std::vector<int64_t> ranks, std::string group,
               std::chrono::milliseconds limit)
      : transport(std::move(given)), global_ranks(std::move(ranks)), name(std::move(group)), timeout(limit) {}

  int rank() const { return transport->rank(); }
  int size() const { return transport->size(); }
  // "rank 3 of group 0"; with the rank in the job where that is another.
  std::string describe(int group_rank) const;

  // Why the group is of no use any more; the first reason stays. Empty: it is.
  void give_up(const std::string& reason);
  std::string given_up() const;

  // The receive that was begun before `next` from the same source (-1: any) and with the same tag; nullptr where there
  // is none any more.
  std::shared_ptr<OrderedReceive> receive_before(int source, uint32_t tag, const std::shared_ptr<OrderedReceive>& next);

  std::unique_ptr<Transport> transport;
  std::vector<int64_t> global_ranks;
  std::string name;
  std::atomic<std::chrono::milliseconds> timeout;
  std::atomic<uint64_t> sequence{0};  // of the last collective
  double latest_end = 0;              // chip time; collectives' thread only
  WorkerThread collectives;
  WorkerThread sends;

 private:
  mutable std::mutex mutex_;
  std::string given_up_;
  std::map<std::pair<int, uint32_t>, std::weak_ptr<OrderedReceive>> latest_receives_;
};

using CommunicatorPointer = std::shared_ptr<Communicator>;

}  // namespace mtia::torch_backend
