// Progress of an operation between the beginnings and ends of others.
#include "network/contention.h"

#include <algorithm>
#include <limits>

namespace mtia::network {
namespace {

// Rate of an operation beside others at one chip time, of that which it has alone.
double rate_beside(const Cluster& cluster, std::span<const LinkUse> others, const LinkShare& share, double now) {
  double peer = 0, scale_out = 0;
  uint64_t count = 0;
  for (const LinkUse& other : others) {
    if (other.begin > now || other.end <= now) continue;
    peer += other.share.peer;
    scale_out += other.share.scale_out;
    ++count;
  }
  if (cluster.message_engines > 0 && count >= cluster.message_engines) return 0;
  double rate = 1;
  if (share.peer > 0) rate = std::min(rate, (1 - peer) / share.peer);
  if (share.scale_out > 0) rate = std::min(rate, (1 - scale_out) / share.scale_out);
  return std::max(rate, 0.0);
}

}  // namespace

double end_beside(const Cluster& cluster, std::span<const LinkUse> others, double begin, const NetworkAccount& alone) {
  double now = begin, left = alone.seconds;
  while (true) {
    double next = std::numeric_limits<double>::infinity();
    for (const LinkUse& other : others) {
      if (other.begin > now) next = std::min(next, other.begin);
      if (other.end > now) next = std::min(next, other.end);
    }
    const double rate = rate_beside(cluster, others, alone.share, now);
    if (next == std::numeric_limits<double>::infinity() || now + left / rate <= next) return now + left / rate;
    left -= (next - now) * rate;
    now = next;
  }
}

std::deque<LinkCalendar::Entry>::iterator LinkCalendar::find(const void* who) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.who == who; });
}

void LinkCalendar::begin(const void* who, const LinkUse& use) {
  entries_.push_back({who, use});
  if (entries_.size() > kept) entries_.pop_front();
}

void LinkCalendar::end(const void* who, double begin, double end) {
  const auto entry = find(who);
  if (entry == entries_.end()) return;
  entry->who = nullptr;
  entry->use.begin = begin;
  entry->use.end = end;
}

void LinkCalendar::forget(const void* who) {
  if (const auto entry = find(who); entry != entries_.end()) entries_.erase(entry);
}

std::vector<LinkUse> LinkCalendar::after(double from, size_t limit) const {
  std::vector<LinkUse> found;
  for (auto entry = entries_.rbegin(); entry != entries_.rend() && found.size() < limit; ++entry) {
    if (entry->use.end > from) found.push_back(entry->use);
  }
  return found;
}

}  // namespace mtia::network
