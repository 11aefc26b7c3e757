// How long messages between chips take, and what energy: ranks fill scale-up domains one after another, links of a
// domain and those between domains work side by side.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "chip/chip_spec.h"

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

std::string_view name_of(Collective collective);

// Of one chip.
struct NetworkAccount {
  double seconds = 0;  // from the last rank's arrival to the end
  double joules = 0;
  uint64_t peer_bytes = 0;       // sent within the domain
  uint64_t scale_out_bytes = 0;  // sent to other domains
  std::string_view algorithm;
};

// `bytes`: of send, broadcast, reduce and all_reduce the tensor's; of all others those of all ranks' parts together
// (what all_gather gives, what reduce_scatter takes, what all_to_all takes on one rank). `ranks`: the group's, by their
// numbers in the job. Of send they are the two.
NetworkAccount account(const ChipSpec& chip, Collective collective, uint64_t bytes, std::span<const int64_t> ranks);

}  // namespace mtia::network
