// Between ranks of one host: each has memory into which all others write, a ring of slots each.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "transport/message_box.h"
#include "transport/neighbours.h"
#include "transport/shared_memory.h"
#include "transport/transport.h"
#include "transport/worker_thread.h"

namespace mtia::transport {

class SharedTransport final : public Transport {
 public:
  // Blocks until all of `cards`, which are of one host, have met. Throws std::runtime_error.
  SharedTransport(const Doorway& door, std::span<const Card> cards, int rank, size_t piece_bytes, Timeout timeout);
  ~SharedTransport() override;

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(neighbours_.size()); }
  size_t piece_bytes() const override { return piece_bytes_; }
  OutgoingPointer send(int rank, uint32_t tag, Runs runs, Timeout timeout) override;
  IncomingPointer receive(int rank, uint32_t tag, size_t bytes, std::byte* place) override;
  void send_message(int rank, uint32_t tag, const Envelope& envelope, Buffer payload, Timeout timeout,
                    std::function<void(const std::string&)> failed) override;
  PendingMessagePointer receive_message(int rank, uint32_t tag) override;
  void drain_messages() override;
  void give_up(const std::string& reason) override;

 private:
  class Piece;
  class Letter;
  enum Channel : size_t { collectives, messages, channels };
  struct Segment;

  size_t ring_bytes() const;
  static Segment& segment_at(std::byte* memory);
  Segment& segment_of(size_t rank) const { return segment_at(memory_of(rank)); }
  std::byte* memory_of(size_t rank) const { return rank == own() ? memory_.data() : neighbours_[rank].memory(); }
  size_t own() const { return static_cast<size_t>(rank_); }
  // By which `from` sends to `to`; it lies in the memory of `to`.
  Ring& ring(Channel channel, size_t from, size_t to) const;
  std::byte* slot_bytes(Channel channel, size_t from, size_t to, uint64_t number) const;

  // Until `is_ready`, which others make true and ring for. `awaited`: the rank that does, or any_rank.
  void wait_until(Channel channel, int awaited, Timeout timeout, const std::function<bool()>& is_ready);
  // Throws where nothing will come any more.
  void check_others(int awaited) const;
  void check_other(size_t rank) const;
  void write_slot(Channel channel, size_t to, uint32_t tag, Runs runs, Timeout timeout);
  void take_messages(size_t from);

  const int rank_;
  const size_t piece_bytes_;
  SharedMemory memory_;
  std::vector<Neighbour> neighbours_;
  std::vector<uint64_t> received_;  // of each rank: pieces asked for; collectives' thread only
  std::mutex box_mutex_;
  MessageBox box_;
  std::vector<uint64_t> letters_;  // of each rank: slots of its messages that were read
  std::atomic<bool> is_over_{false};
  std::mutex senders_mutex_;
  std::vector<std::unique_ptr<WorkerThread>> senders_;  // one for each rank, made when needed; last, to end first
};

// How large pieces are best: they stay in the caches of a host on which that many ranks meet.
size_t shared_piece_bytes(size_t ranks);

}  // namespace mtia::transport
