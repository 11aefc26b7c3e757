// Agreement of ranks before anything is moved, so that a mistake on one leaves the group usable on all.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "torch_backend/distributed/announcement.h"

namespace mtia::torch_backend {
namespace {

struct Packed {
  uint64_t sequence;
  double chip_seconds;
  uint64_t accounted_bytes;
  uint64_t is_known;
  std::array<char, 192> signature;
  std::array<network::LinkUse, told_uses> uses;
};

}  // namespace

size_t Announcement::packed_bytes(size_t ranks) { return sizeof(Packed) + 2 * ranks * sizeof(uint64_t); }

std::vector<std::byte> Announcement::pack() const {
  Packed head{sequence, chip_seconds, accounted_bytes, is_known ? 1U : 0U, {}, uses};
  std::copy_n(signature.begin(), std::min(signature.size(), head.signature.size() - 1), head.signature.begin());
  std::vector<std::byte> bytes(packed_bytes(sent.size()));
  std::memcpy(bytes.data(), &head, sizeof head);
  std::byte* lengths = bytes.data() + sizeof head;
  std::memcpy(lengths, sent.data(), sent.size() * sizeof(uint64_t));
  std::memcpy(lengths + sent.size() * sizeof(uint64_t), expected.data(), expected.size() * sizeof(uint64_t));
  return bytes;
}

Announcement Announcement::unpack(std::span<const std::byte> bytes, size_t ranks) {
  Packed head;
  std::memcpy(&head, bytes.data(), sizeof head);
  Announcement result{
      head.sequence,         head.chip_seconds, head.accounted_bytes,         head.is_known != 0,
      head.signature.data(), head.uses,         std::vector<uint64_t>(ranks), std::vector<uint64_t>(ranks)};
  const std::byte* lengths = bytes.data() + sizeof head;
  std::memcpy(result.sent.data(), lengths, ranks * sizeof(uint64_t));
  std::memcpy(result.expected.data(), lengths + ranks * sizeof(uint64_t), ranks * sizeof(uint64_t));
  return result;
}

void check_agreement(const std::vector<Announcement>& all, const Communicator& communicator, const std::string& where) {
  const auto name = [&](size_t rank) { return communicator.describe(static_cast<int>(rank)); };
  const auto own = static_cast<size_t>(communicator.rank());
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].signature != all[own].signature || all[rank].sequence != all[own].sequence)
      throw CollectiveFailure(
          concat(name(rank), " calls ", all[rank].signature,
                 all[rank].sequence == all[own].sequence ? "" : concat(", its operation ", all[rank].sequence)),
          where,
          "all ranks of a group have to call the same collectives in the same order, with the same sizes, dtypes and "
          "strides");
  }
  for (size_t from = 0; from < all.size(); ++from) {
    for (size_t to = 0; to < all.size(); ++to) {
      if (all[from].sent[to] != all[to].expected[from])
        throw CollectiveFailure(concat(name(from), " sends ", all[from].sent[to], " bytes to ", name(to), " where ",
                                       all[to].expected[from], " are expected"),
                                where, "give matching sizes on both ranks");
    }
  }
}

}  // namespace mtia::torch_backend
