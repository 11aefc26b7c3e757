// What happened before what: vector clocks of a device's streams and of the host, kept in checked mode.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "runtime/event.h"
#include "runtime/timeline.h"

namespace mtia::runtime {

// By stream: its commands up to this ticket have happened before.
using StreamClock = std::array<Ticket, stream_count>;

// The dispatcher updates it in submission order.
class StreamOrder {
 public:
  bool happened_before(int stream, Ticket ticket, int now) const {
    return stream == now || ticket <= known_[static_cast<size_t>(now)][static_cast<size_t>(stream)];
  }

  // What a command of the stream with this ticket leaves behind it: an event carries it.
  StreamClock clock(int stream, Ticket ticket) const {
    StreamClock clock = known_[static_cast<size_t>(stream)];
    clock[static_cast<size_t>(stream)] = ticket;
    return clock;
  }

  // An event's clock, or an empty one.
  template <typename Clock>
  void wait(int stream, const Clock& clock) {
    join(known_[static_cast<size_t>(stream)], clock);
  }

  // The host waited for commands of one stream up to a ticket, so that whatever is submitted from now on comes after.
  void host_waited(int stream, Ticket ticket) {
    const StreamClock learnt = clock(stream, ticket);
    for (StreamClock& known : known_) join(known, learnt);
  }

  void host_waited_for_all(Ticket ticket) {
    for (StreamClock& known : known_) known.fill(ticket);
  }

 private:
  template <typename Clock>
  static void join(StreamClock& into, const Clock& other) {
    for (size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
  }

  std::array<StreamClock, stream_count> known_{};
};

}  // namespace mtia::runtime
