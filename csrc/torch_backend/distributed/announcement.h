// What goes over the transport before a collective's bytes, and how it can fail.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "network/contention.h"
#include "torch_backend/distributed/collective.h"

namespace mtia::torch_backend {

// What a rank tells all others: who is where, at what chip time, and what it moves.
struct Announcement {
  uint64_t sequence = 0;
  double chip_seconds = 0;
  uint64_t accounted_bytes = 0;  // CollectivePlan's
  bool is_known = true;
  std::string signature;
  std::array<network::LinkUse, told_uses> uses{};  // of its chip's links, by operations called before
  std::vector<uint64_t> sent;                      // bytes to each rank
  std::vector<uint64_t> expected;                  // and of each

  // All ranks' are of one length.
  static size_t packed_bytes(size_t ranks);
  std::vector<std::byte> pack() const;
  static Announcement unpack(std::span<const std::byte> bytes, size_t ranks);
};

// Throws CollectiveFailure, the same on all ranks, where the ranks do not call the same collective or give lengths that
// do not fit. `where`: this rank's name for it.
void check_agreement(const std::vector<Announcement>& all, const Communicator& communicator, const std::string& where);

}  // namespace mtia::torch_backend
