// Operations that are under way on a chip at once share its links.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "network/cluster.h"
#include "network/network.h"

namespace mtia::network {

// What an operation takes of a chip, between two chip times.
struct LinkUse {
  double begin = 0;
  double end = 0;
  LinkShare share;
};

// When an operation is over that begins at `begin` and would take `alone` if nothing else used the chip's links, beside
// `others` that were called before it: it goes on at the rate that they leave it, and not at all while as many are
// under way as a chip has message engines. Which of two was called first is the same on all ranks, when it begins is
// agreed upon, and `others` travel with the messages: so all ranks find the same end, which is that of the rank that
// finds the latest one.
double end_beside(const Cluster& cluster, std::span<const LinkUse> others, double begin, const NetworkAccount& alone);

// Operations of one chip by the chip time at which they use its links, in the order of calls, so that it is the same
// from run to run. Of those that have not ended it holds what can be known without the other ranks: that they begin at
// this chip's arrival and take what they take alone. Not for several threads.
class LinkCalendar {
 public:
  void begin(const void* who, const LinkUse& use);
  // What began as `who` was under way between these chip times.
  void end(const void* who, double begin, double end);
  // `who` failed.
  void forget(const void* who);
  // Of those that end behind `from`, the last `limit` that were called.
  std::vector<LinkUse> after(double from, size_t limit = kept) const;

  static constexpr size_t kept = 64;

 private:
  struct Entry {
    const void* who;  // nullptr once it has ended
    LinkUse use;
  };
  std::deque<Entry>::iterator find(const void* who);

  std::deque<Entry> entries_;
};

}  // namespace mtia::network
