// Each pair of ranks by what carries best between the two.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/transport.h"

namespace mtia::transport {

// Pieces of ranks that `near` has too go by it, all else by `far`: a message of any rank is one of whoever is first,
// which two transports cannot say between them.
class PairedTransport final : public Transport {
 public:
  // `near_ranks`: those of `far` that `near` connects, in its order. Both have the same length of pieces.
  PairedTransport(std::unique_ptr<Transport> near, std::unique_ptr<Transport> far, const std::vector<int>& near_ranks)
      : near_(std::move(near)), far_(std::move(far)), places_(static_cast<size_t>(far_->size()), -1) {
    for (size_t place = 0; place < near_ranks.size(); ++place)
      places_[static_cast<size_t>(near_ranks[place])] = static_cast<int>(place);
  }

  int rank() const override { return far_->rank(); }
  int size() const override { return far_->size(); }
  size_t piece_bytes() const override { return far_->piece_bytes(); }

  OutgoingPointer send(int rank, uint32_t tag, Runs runs, Timeout timeout) override {
    const int place = place_of(rank);
    return place < 0 ? far_->send(rank, tag, runs, timeout) : near_->send(place, tag, runs, timeout);
  }
  IncomingPointer receive(int rank, uint32_t tag, size_t bytes, std::byte* destination) override {
    const int place = place_of(rank);
    return place < 0 ? far_->receive(rank, tag, bytes, destination) : near_->receive(place, tag, bytes, destination);
  }
  void send_message(int rank, uint32_t tag, const Envelope& envelope, Buffer payload, Timeout timeout,
                    std::function<void(const std::string&)> failed) override {
    far_->send_message(rank, tag, envelope, std::move(payload), timeout, std::move(failed));
  }
  PendingMessagePointer receive_message(int rank, uint32_t tag) override { return far_->receive_message(rank, tag); }
  void drain_messages() override { far_->drain_messages(); }

  void give_up(const std::string& reason) override {
    near_->give_up(reason);
    far_->give_up(reason);
  }

 private:
  int place_of(int rank) const { return places_[static_cast<size_t>(rank)]; }

  std::unique_ptr<Transport> near_;
  std::unique_ptr<Transport> far_;
  std::vector<int> places_;  // in near_, -1: not there
};

}  // namespace mtia::transport
