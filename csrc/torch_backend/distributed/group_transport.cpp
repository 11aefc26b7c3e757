// Ranks show each other cards; those with the same host on theirs meet.
#include "torch_backend/distributed/group_transport.h"

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "torch_backend/distributed/gloo_transport.h"
#include "transport/neighbours.h"
#include "transport/paired_transport.h"
#include "transport/shared_transport.h"

namespace mtia::torch_backend {
namespace {

using transport::Card;

enum class Wanted { best, gloo, shared };

Wanted wanted_transport() {
  const char* given = std::getenv("MTIA_SIM_TRANSPORT");
  const std::string_view name = given == nullptr ? "" : given;
  if (name.empty()) return Wanted::best;
  if (name == "gloo") return Wanted::gloo;
  if (name == "shared") return Wanted::shared;
  throw InvalidArgument(concat("MTIA_SIM_TRANSPORT=", name), "",
                        "it is gloo, shared, or not set, which takes shared memory where ranks share a host");
}

// What each rank shows, by rank.
template <typename T>
std::vector<T> show_all(c10d::Backend& gloo, const T& own) {
  const auto ranks = static_cast<size_t>(gloo.getSize());
  std::vector<T> all(ranks);
  std::vector<std::vector<at::Tensor>> outputs(1);
  for (T& one : all) outputs[0].push_back(as_tensor(std::as_bytes(std::span(&one, 1))));
  std::vector<at::Tensor> inputs{as_tensor(std::as_bytes(std::span(&own, 1)))};
  gloo.allgather(outputs, inputs)->wait();
  return all;
}

struct Outcome {
  bool has_failed = false;
  std::array<char, 256> reason{};
};

std::unique_ptr<transport::Transport> meet(c10d::Backend& gloo, const transport::Doorway* door,
                                           const std::vector<Card>& cards, const std::vector<int>& near,
                                           std::chrono::milliseconds timeout, Outcome& outcome) {
  if (near.size() < 2) return nullptr;
  std::vector<Card> near_cards;
  int place = 0;
  for (const int rank : near) {
    if (rank == gloo.getRank()) place = static_cast<int>(near_cards.size());
    near_cards.push_back(cards[static_cast<size_t>(rank)]);
  }
  const size_t piece_bytes =
      near.size() == cards.size() ? transport::shared_piece_bytes(near.size()) : GlooTransport::best_piece_bytes;
  try {
    return std::make_unique<transport::SharedTransport>(*door, near_cards, place, piece_bytes, timeout);
  } catch (const std::exception& error) {
    outcome.has_failed = true;
    std::strncpy(outcome.reason.data(), error.what(), outcome.reason.size() - 1);
    return nullptr;
  }
}

}  // namespace

std::unique_ptr<transport::Transport> make_group_transport(c10::intrusive_ptr<c10d::Backend> gloo,
                                                           std::chrono::milliseconds timeout) {
  const Wanted wanted = wanted_transport();
  const int size = gloo->getSize();
  if (size == 1) return std::make_unique<GlooTransport>(std::move(gloo));
  std::optional<transport::Doorway> door;
  Outcome outcome;
  try {
    if (wanted != Wanted::gloo) door.emplace();
  } catch (const std::exception& error) {
    outcome.has_failed = true;
    std::strncpy(outcome.reason.data(), error.what(), outcome.reason.size() - 1);
  }
  const std::vector<Card> cards = show_all(*gloo, door ? door->card() : Card());
  std::vector<int> near;
  const auto host_of = [&](int rank) { return std::string_view(cards[static_cast<size_t>(rank)].host.data()); };
  for (int rank = 0; rank < size; ++rank) {
    if (!host_of(rank).empty() && host_of(rank) == host_of(gloo->getRank())) near.push_back(rank);
  }
  std::unique_ptr<transport::Transport> shared = meet(*gloo, door ? &*door : nullptr, cards, near, timeout, outcome);
  // One that could not takes the others along: pieces go the same way at both ends.
  for (const Outcome& each : show_all(*gloo, outcome)) {
    if (!each.has_failed) continue;
    if (wanted == Wanted::shared)
      throw CollectiveFailure(concat("ranks of one host cannot share memory: ", each.reason.data()), "",
                              "leave MTIA_SIM_TRANSPORT out, which takes Gloo then");
    shared.reset();
    break;
  }
  if (!shared) return std::make_unique<GlooTransport>(std::move(gloo));
  if (near.size() == cards.size()) return shared;
  return std::make_unique<transport::PairedTransport>(std::move(shared),
                                                      std::make_unique<GlooTransport>(std::move(gloo)), near);
}

}  // namespace mtia::torch_backend
