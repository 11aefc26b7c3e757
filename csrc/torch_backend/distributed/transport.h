// How bytes get from rank to rank. Messages between two ranks with one tag arrive in the order in which they were sent.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace mtia::torch_backend {

// A message under way. Its buffer stays where it is until wait() has returned.
class PendingMessage {
 public:
  virtual ~PendingMessage() = default;
  // Throws what went wrong: nothing came in time, the other rank is gone.
  virtual void wait(std::chrono::milliseconds timeout) = 0;
  // Of a message from any rank, which it was. After wait().
  virtual int source() const = 0;
};

using PendingMessagePointer = std::unique_ptr<PendingMessage>;

// Any thread may call; no call waits for another rank.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual PendingMessagePointer send(int rank, uint32_t tag, std::span<const std::byte> bytes) = 0;
  virtual PendingMessagePointer receive(int rank, uint32_t tag, std::span<std::byte> bytes) = 0;
  virtual PendingMessagePointer receive_from_any(uint32_t tag, std::span<std::byte> bytes) = 0;
};

}  // namespace mtia::torch_backend
