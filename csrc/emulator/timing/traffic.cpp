// Residency of address ranges in the shared SRAM.
#include "emulator/timing/traffic.h"

#include <algorithm>

namespace mtia::emulator {
namespace {

uint64_t scaled(uint64_t bytes, uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<uint64_t>(static_cast<unsigned __int128>(bytes) * part / whole);
}

}  // namespace

double SramCache::resident_fraction(uint64_t low, uint64_t high) const {
  if (high <= low) return 0.0;
  uint64_t found = 0;
  auto entry = entries_.upper_bound(low);
  if (entry != entries_.begin()) --entry;
  for (; entry != entries_.end() && entry->first < high; ++entry) {
    const uint64_t begin = std::max(low, entry->first);
    const uint64_t end = std::min(high, entry->second.end);
    if (begin < end) found += end - begin;
  }
  return static_cast<double>(found) / static_cast<double>(high - low);
}

uint64_t SramCache::remove(uint64_t low, uint64_t high) {
  uint64_t dirty = 0;
  auto entry = entries_.upper_bound(low);
  if (entry != entries_.begin()) --entry;
  while (entry != entries_.end() && entry->first < high) {
    const uint64_t begin = entry->first;
    const Entry old = entry->second;
    if (old.end <= low) {
      ++entry;
      continue;
    }
    const uint64_t span = old.end - begin;
    entry = entries_.erase(entry);
    used_ -= old.bytes;
    const uint64_t cut_begin = std::max(begin, low);
    const uint64_t cut_end = std::min(old.end, high);
    dirty += scaled(old.dirty, cut_end - cut_begin, span);
    // The parts outside of the cut keep their age.
    const auto keep = [&](uint64_t first, uint64_t end) {
      if (first >= end) return;
      const auto age = ages_.insert(old.age, first);
      const Entry rest{end, scaled(old.bytes, end - first, span), scaled(old.dirty, end - first, span), age};
      used_ += rest.bytes;
      entries_.emplace(first, rest);
    };
    keep(begin, cut_begin);
    keep(cut_end, old.end);
    ages_.erase(old.age);
    entry = entries_.lower_bound(cut_end);
  }
  return dirty;
}

SramCache::SramCache(const SramCache& other) : capacity_(other.capacity_), used_(other.used_), ages_(other.ages_) {
  for (auto age = ages_.begin(); age != ages_.end(); ++age) {
    Entry entry = other.entries_.at(*age);
    entry.age = age;
    entries_.emplace(*age, entry);
  }
}

void SramCache::insert(uint64_t low, uint64_t high, uint64_t bytes, uint64_t dirty) {
  const auto age = ages_.insert(ages_.end(), low);
  entries_.emplace(low, Entry{high, bytes, dirty, age});
  used_ += bytes;
}

uint64_t SramCache::evict(uint64_t wanted) {
  const uint64_t first = ages_.front();
  const Entry oldest = entries_.at(first);
  const uint64_t kept = oldest.bytes - std::min(wanted, oldest.bytes);
  return remove(first, oldest.end - scaled(oldest.end - first, kept, oldest.bytes));
}

uint64_t SramCache::room_before(uint64_t low, uint64_t high, uint64_t wanted) const {
  uint64_t room = capacity_ - used_;
  for (const uint64_t first : ages_) {
    const Entry& entry = entries_.at(first);
    if (room >= wanted || (first < high && entry.end > low)) break;
    room += entry.bytes;
  }
  return room;
}

void SramCache::flush(LevelBytes& bytes) {
  for (const auto& [first, entry] : entries_) bytes.dram_written += entry.dirty;
  entries_.clear();
  ages_.clear();
  used_ = 0;
}

void SramCache::use(const Window& window, LevelBytes& bytes) {
  if (window.high <= window.low) return;
  const uint64_t extent = window.high - window.low;
  const uint64_t unique_read = std::min(window.bytes_read, extent);
  const uint64_t unique_written = std::min(window.bytes_written, extent);
  bytes.sram_read += window.bytes_read;
  bytes.sram_written += window.bytes_written;
  uint64_t footprint = std::min(extent, std::max(unique_read, unique_written));
  double resident = resident_fraction(window.low, window.high);
  const auto missing = static_cast<uint64_t>(static_cast<double>(footprint) * (1.0 - resident));
  if (resident > 0 && missing > room_before(window.low, window.high, missing)) resident = 0;
  bytes.dram_read += static_cast<uint64_t>(static_cast<double>(unique_read) * (1.0 - resident) + 0.5);

  uint64_t low = window.low;
  uint64_t dirty = std::min(footprint, std::max(unique_written, remove(window.low, window.high)));
  if (footprint > capacity_) {
    // A stream larger than the cache leaves its tail behind.
    const uint64_t kept_dirty = scaled(dirty, capacity_, footprint);
    bytes.dram_written += dirty - kept_dirty;
    low = window.high - scaled(extent, capacity_, footprint);
    dirty = kept_dirty;
    footprint = capacity_;
  }
  while (used_ + footprint > capacity_ && !ages_.empty()) bytes.dram_written += evict(used_ + footprint - capacity_);
  if (footprint != 0 && low < window.high) insert(low, window.high, footprint, dirty);
}

}  // namespace mtia::emulator
