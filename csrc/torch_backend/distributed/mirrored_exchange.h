// Exchanges with ranks that do not exist: they are taken to do what this one does, at the same chip time.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "network/network.h"
#include "network/reduction.h"
#include "runtime/exchange.h"
#include "torch_backend/distributed/collective.h"

namespace mtia::torch_backend {

// A group of which some ranks exist, this one among them.
class MirroredCommunicator {
 public:
  // `present`: of the ranks that exist, where there are others than this one.
  MirroredCommunicator(int rank, std::vector<int64_t> ranks, CommunicatorPointer present_ranks)
      : own_rank(rank), global_ranks(std::move(ranks)), present(std::move(present_ranks)) {}

  uint64_t size() const { return global_ranks.size(); }
  // network::account of the group, found once for each length: it walks the ranks.
  const network::NetworkAccount& account(const ChipSpec& chip, network::Collective kind, uint64_t bytes);

  const int own_rank;
  const std::vector<int64_t> global_ranks;
  const CommunicatorPointer present;
  std::atomic<uint64_t> sequence{0};  // of the last collective
  double latest_end = 0;              // chip time; the dispatcher's only

 private:
  std::map<std::pair<network::Collective, uint64_t>, network::NetworkAccount> accounts_;
};

using MirroredCommunicatorPointer = std::shared_ptr<MirroredCommunicator>;

// What arrives: as many copies of `from`, combined first with what all other ranks have there, which is the same. Where
// that is not as long as `to`, it is not known.
struct MirroredMove {
  Region from;
  Region to;
  uint64_t copies = 1;
  std::optional<network::Reduction> reduction;
};

struct MirroredPlan {
  network::Collective kind = network::Collective::barrier;
  uint64_t accounted_bytes = 0;  // network::account's
  std::vector<MirroredMove> moves;
  std::string signature;  // what the ranks that exist have to agree on
};

runtime::ExchangePointer make_mirrored_collective(MirroredCommunicatorPointer communicator, MirroredPlan plan);

// What is received of a rank that does not exist is not known.
runtime::ExchangePointer make_mirrored_send(MirroredCommunicatorPointer communicator, uint64_t bytes, int destination);
runtime::ExchangePointer make_mirrored_receive(MirroredCommunicatorPointer communicator, Regions regions, int source);

// result[i] = values[i] combined with itself until there are `ranks` of it; sums are rounded once.
void combine_alike(const network::Reduction& reduction, std::byte* result, const std::byte* values, size_t count,
                   uint64_t ranks);

}  // namespace mtia::torch_backend
