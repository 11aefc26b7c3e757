// A map of ranges that neither overlap nor touch.
#include "emulator/timing_mode/known_memory.h"

#include <algorithm>
#include <iterator>

namespace mtia::emulator {

void KnownMemory::add(AddressRange range) {
  if (range.begin >= range.end) return;
  auto next = ranges_.upper_bound(range.begin);
  if (next != ranges_.begin() && std::prev(next)->second >= range.begin) --next;
  while (next != ranges_.end() && next->first <= range.end) {
    range.begin = std::min(range.begin, next->first);
    range.end = std::max(range.end, next->second);
    next = ranges_.erase(next);
  }
  ranges_.emplace(range.begin, range.end);
}

void KnownMemory::remove(AddressRange range) {
  if (range.begin >= range.end) return;
  auto next = ranges_.upper_bound(range.begin);
  if (next != ranges_.begin() && std::prev(next)->second > range.begin) --next;
  while (next != ranges_.end() && next->first < range.end) {
    const AddressRange found{next->first, next->second};
    next = ranges_.erase(next);
    if (found.begin < range.begin) ranges_.emplace(found.begin, range.begin);
    if (found.end > range.end) next = ranges_.emplace(range.end, found.end).first;
  }
}

bool KnownMemory::covers(AddressRange range) const {
  if (range.begin >= range.end) return true;
  const auto next = ranges_.upper_bound(range.begin);
  return next != ranges_.begin() && std::prev(next)->second >= range.end;
}

bool KnownMemory::touches(AddressRange range) const {
  const auto next = ranges_.lower_bound(range.end);
  return range.begin < range.end && next != ranges_.begin() && std::prev(next)->second > range.begin;
}

}  // namespace mtia::emulator
