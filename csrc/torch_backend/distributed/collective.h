// Exchanges of a group: collectives, which every rank calls in the same order, and messages between two ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "network/network.h"
#include "network/reduction.h"
#include "runtime/exchange.h"
#include "torch_backend/distributed/communicator.h"

namespace mtia::torch_backend {

// Bytes in device memory.
struct Region {
  uint64_t address = 0;
  uint64_t bytes = 0;

  friend bool operator==(const Region&, const Region&) = default;
};

using Regions = std::vector<Region>;

// Of the operations that use a chip's links, so many travel with a message: the last that were called.
inline constexpr size_t told_uses = 6;

uint64_t bytes_of(const Regions& regions);
// [offset, offset + bytes) of the regions one behind the other.
Regions slice(const Regions& regions, uint64_t offset, uint64_t bytes);

// What a collective moves, seen from this rank. Lists by rank have an entry for each rank, this one included.
struct CollectivePlan {
  network::Collective kind = network::Collective::barrier;
  std::string signature;  // what all ranks have to agree on, for people to read
  std::vector<Regions> sent;
  std::vector<Regions> received;
  // Set: what arrives is combined instead, to `combined`, and this in turn goes to the ranks of `shares_with`; what
  // comes of that from each rank goes to `shared`.
  std::optional<network::Reduction> reduction;
  Regions combined;
  std::vector<bool> shares_with;
  std::vector<Regions> shared;
  uint64_t accounted_bytes = 0;  // network::account's
};

// Of tensors of one length on all ranks, of which each combines its part; the results are for all, or for the root.
CollectivePlan plan_reduction(network::Collective kind, const network::Reduction& reduction, const Regions& tensors,
                              int rank, int size, std::optional<int> root);

// Memory that is sent and received is read and written between begin() and the end of finish(). Throws InvalidArgument
// where parts that are combined do not fit the result.
runtime::ExchangePointer make_collective(CommunicatorPointer communicator, CollectivePlan plan);

struct MessagePlan {
  Regions regions;
  std::string order;  // in which the tensor lies in memory, which both ranks have to agree on; for people to read
};

// A send does not wait for its receiver. `source` of a receive is -1 for any rank; `source_found`, where given, is set
// to the one that it was.
runtime::ExchangePointer make_send(CommunicatorPointer communicator, MessagePlan plan, int destination, uint32_t tag);
runtime::ExchangePointer make_receive(CommunicatorPointer communicator, MessagePlan plan, int source, uint32_t tag,
                                      std::shared_ptr<std::atomic<int>> source_found);

}  // namespace mtia::torch_backend
