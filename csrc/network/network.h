// How long messages between chips take, and what energy: ranks fill scale-up domains one after another, links of a
// domain and those between domains work side by side. The chip's library is taken to choose the algorithm of least
// time; algorithms.cpp has them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "chip/chip_spec.h"
#include "network/cluster.h"

namespace mtia::network {

enum class Collective : uint8_t {
  barrier,
  send,
  broadcast,
  gather,
  scatter,
  all_gather,
  reduce_scatter,
  all_reduce,
  reduce,
  all_to_all
};

inline constexpr size_t collective_count = 10;

std::string_view name_of(Collective collective);

// What an operation takes of a chip while it lasts.
struct LinkShare {
  double peer = 0;                   // of the time of the links in the domain, 0 to 1
  double scale_out = 0;              // of those between domains
  double dram_bytes_per_second = 0;  // that launches do not have
  double pes = 0;                    // that launches do not have
};

// Of one chip.
struct NetworkAccount {
  double seconds = 0;  // from the last rank's arrival to the end
  double joules = 0;
  uint64_t peer_bytes = 0;       // sent within the domain
  uint64_t scale_out_bytes = 0;  // sent to other domains
  std::string_view algorithm;
  LinkShare share;
};

// `bytes`: of send, broadcast, reduce and all_reduce the tensor's; of all others those of all ranks' parts together
// (what all_gather gives, what reduce_scatter takes, what all_to_all takes on one rank). `ranks`: the group's, by their
// numbers in the job, which are those of the chips. Of send they are the two.
NetworkAccount account(const ChipSpec& chip, const Cluster& cluster, Collective collective, uint64_t bytes,
                       std::span<const int64_t> ranks);
// In present_cluster().
NetworkAccount account(const ChipSpec& chip, Collective collective, uint64_t bytes, std::span<const int64_t> ranks);

}  // namespace mtia::network
