// Which message is whose: receives are matched in the order in which they were asked for, messages in the order in
// which they came.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "transport/transport.h"

namespace mtia::transport {

// A message of which all, some or nothing but the envelope has come.
struct Arrival {
  uint32_t tag = 0;
  Message message;
  size_t filled = 0;
  bool is_complete() const { return filled == message.payload.span().size(); }
};

using ArrivalPointer = std::shared_ptr<Arrival>;

// Somebody waits for it.
struct Awaited {
  int source = any_rank;
  uint32_t tag = 0;
  ArrivalPointer arrival;
};

using AwaitedPointer = std::shared_ptr<Awaited>;

// Its owner locks.
class MessageBox {
 public:
  explicit MessageBox(size_t ranks) : open_(ranks) {}

  AwaitedPointer await(int source, uint32_t tag);
  // Whoever came first may have got a message already, which then is lost.
  void forget(const AwaitedPointer& awaited) { awaited_.remove(awaited); }

  // What comes from a rank: an envelope, then its payload, if it has one.
  bool expects_payload(size_t source) const { return open_[source] != nullptr; }
  void open(size_t source, uint32_t tag, const Envelope& envelope);
  void add(size_t source, std::span<const std::byte> bytes);

 private:
  std::list<AwaitedPointer> awaited_;
  std::list<ArrivalPointer> unexpected_;
  std::vector<ArrivalPointer> open_;  // by source: not complete
};

}  // namespace mtia::transport
