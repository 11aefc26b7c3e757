// How bytes get from rank to rank of a process group, whoever carries them.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace mtia::transport {

using Timeout = std::chrono::milliseconds;

// Bytes in host memory, not set to anything when made. Copies share them.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) : data_(std::make_shared_for_overwrite<std::byte[]>(size)), size_(size) {}
  std::span<std::byte> span() const { return {data_.get(), size_}; }

 private:
  std::shared_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

// What a piece is made of, one run of bytes behind the other.
using Runs = std::span<const std::span<const std::byte>>;

// A piece on its way to another rank: the runs stay as they are until wait() has returned.
class Outgoing {
 public:
  virtual ~Outgoing() = default;
  virtual void wait(Timeout timeout) = 0;
};

// A piece on its way here.
class Incoming {
 public:
  virtual ~Incoming() = default;
  // The bytes, as long as this lives; once.
  virtual std::span<const std::byte> wait(Timeout timeout) = 0;
};

using OutgoingPointer = std::unique_ptr<Outgoing>;
using IncomingPointer = std::unique_ptr<Incoming>;

// What goes before the payload of a message.
struct Envelope {
  double chip_seconds = 0;
  uint64_t bytes = 0;                 // of the tensor
  bool is_known = true;               // the payload has them, otherwise none
  std::array<std::byte, 320> note{};  // what the sender adds, as it likes
};

struct Message {
  int source = -1;
  Envelope envelope;
  Buffer payload;
};

class PendingMessage {
 public:
  virtual ~PendingMessage() = default;
  virtual Message wait(Timeout timeout) = 0;  // once
};

using PendingMessagePointer = std::unique_ptr<PendingMessage>;

inline constexpr int any_rank = -1;

// Waits throw std::runtime_error when nothing comes in time, the other rank is gone or has given up, or this one has.
// What it says does not name the rank.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // ---- pieces of collectives: one thread, at most piece_bytes() each, received in the order in which they were sent
  virtual size_t piece_bytes() const = 0;
  // May wait for room. nullptr: the runs are free again.
  virtual OutgoingPointer send(int rank, uint32_t tag, Runs runs, Timeout timeout) = 0;
  // `place`, where given, is where the bytes go; otherwise they stay where the transport has them.
  virtual IncomingPointer receive(int rank, uint32_t tag, size_t bytes, std::byte* place) = 0;

  // ---- messages between two ranks: any thread; those of one tag are received in the order in which they were sent
  // Does not wait. What goes wrong later is told to `failed`, on another thread.
  virtual void send_message(int rank, uint32_t tag, const Envelope& envelope, Buffer payload, Timeout timeout,
                            std::function<void(const std::string&)> failed) = 0;
  // Those of one source and tag are matched in the order of these calls. `rank` may be any_rank.
  virtual PendingMessagePointer receive_message(int rank, uint32_t tag) = 0;
  // Until every message sent has been taken, or has failed.
  virtual void drain_messages() = 0;

  // Ends all waits, here and, as far as they can be told, on the other ranks.
  virtual void give_up(const std::string& reason) = 0;
};

}  // namespace mtia::transport
