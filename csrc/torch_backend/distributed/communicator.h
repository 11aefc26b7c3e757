// What the exchanges of one group share on one rank: transport, the thread that carries collectives out, the order of
// both, and chip times.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "transport/transport.h"
#include "transport/worker_thread.h"

namespace mtia::torch_backend {

// A receive that others of the same sender follow.
class OrderedReceive {
 public:
  virtual ~OrderedReceive() = default;
  // Waits until what was sent lies in host memory.
  virtual void arrive() = 0;
};

class Communicator {
 public:
  Communicator(std::unique_ptr<transport::Transport> given, std::vector<int64_t> ranks, std::string group,
               std::chrono::milliseconds limit)
      : transport(std::move(given)), global_ranks(std::move(ranks)), name(std::move(group)), timeout(limit) {}

  int rank() const { return transport->rank(); }
  int size() const { return transport->size(); }
  // "rank 3 of group 0"; with the rank in the job where that is another.
  std::string describe(int group_rank) const;

  // Why the group is of no use any more; the first reason stays. Empty: it is. Waits of this rank end at once, those of
  // others as far as the transport can tell them.
  void give_up(const std::string& reason);
  std::string given_up() const;

  // The receive that was begun before `next` from the same source (-1: any) and with the same tag; nullptr where there
  // is none any more.
  std::shared_ptr<OrderedReceive> receive_before(int source, uint32_t tag, const std::shared_ptr<OrderedReceive>& next);

  const std::unique_ptr<transport::Transport> transport;
  const std::vector<int64_t> global_ranks;
  const std::string name;
  std::atomic<std::chrono::milliseconds> timeout;
  std::atomic<uint64_t> sequence{0};  // of the last collective
  double latest_end = 0;              // chip time; collectives' thread only

 private:
  mutable std::mutex mutex_;
  std::string given_up_;
  std::map<std::pair<int, uint32_t>, std::weak_ptr<OrderedReceive>> latest_receives_;

 public:
  transport::WorkerThread collectives;  // last, so that it ends first
};

using CommunicatorPointer = std::shared_ptr<Communicator>;

}  // namespace mtia::torch_backend
