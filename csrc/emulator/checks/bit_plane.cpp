// Loops over 64 bytes of device memory at a time.
#include "emulator/checks/bit_plane.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>
#include <vector>

namespace mtia::emulator {
namespace {

constexpr uint64_t all_ones = ~uint64_t{0};

uint64_t load(const uint64_t* word) {
  return std::atomic_ref<uint64_t>(*const_cast<uint64_t*>(word)).load(std::memory_order_relaxed);
}

}  // namespace

BitPlane::BitPlane(uint64_t base, uint64_t capacity)
    : base_(base), memory_(capacity / 8 + 64, "checked mode"), words_(memory_.as<uint64_t>()) {}

// Calls word(pointer, mask) for each word that the range touches.
template <typename Word>
void BitPlane::for_words(uint64_t address, uint64_t bytes, const Word& word) {
  if (bytes == 0) return;
  const uint64_t first = address - base_;
  const uint64_t last = first + bytes - 1;
  uint64_t* begin = words_ + first / 64;
  uint64_t* end = words_ + last / 64;
  const uint64_t head = all_ones << (first % 64);
  const uint64_t tail = all_ones >> (63 - last % 64);
  if (begin == end) return word(begin, head & tail);
  word(begin, head);
  for (uint64_t* middle = begin + 1; middle < end; ++middle) word(middle, all_ones);
  word(end, tail);
}

void BitPlane::set(uint64_t address, uint64_t bytes) {
  for_words(address, bytes, [](uint64_t* word, uint64_t mask) {
    std::atomic_ref<uint64_t> shared(*word);
    if (mask == all_ones) {
      shared.store(all_ones, std::memory_order_relaxed);
    } else if ((shared.load(std::memory_order_relaxed) & mask) != mask) {
      shared.fetch_or(mask, std::memory_order_relaxed);
    }
  });
}

void BitPlane::clear(uint64_t address, uint64_t bytes) {
  for_words(address, bytes, [](uint64_t* word, uint64_t mask) {
    std::atomic_ref<uint64_t> shared(*word);
    // Most memory is clear already: leave its page untouched and its line unshared.
    if ((shared.load(std::memory_order_relaxed) & mask) == 0) return;
    if (mask == all_ones) {
      shared.store(0, std::memory_order_relaxed);
    } else {
      shared.fetch_and(~mask, std::memory_order_relaxed);
    }
  });
}

uint64_t BitPlane::first_set(uint64_t address, uint64_t bytes) const {
  if (bytes == 0) return address;
  const uint64_t first = address - base_;
  const uint64_t last = first + bytes - 1;
  const uint64_t* word = words_ + first / 64;
  const uint64_t* end = words_ + last / 64;
  uint64_t bits = load(word) & (all_ones << (first % 64));
  while (bits == 0 && word < end) bits = load(++word);
  if (word == end) bits &= all_ones >> (63 - last % 64);
  if (bits == 0) return address + bytes;
  return base_ + static_cast<uint64_t>(word - words_) * 64 + static_cast<uint64_t>(std::countr_zero(bits));
}

void BitPlane::copy(uint64_t to, uint64_t from, uint64_t bytes) {
  // Ranges of set bits, found before any is changed.
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint64_t at = from; at < from + bytes;) {
    const uint64_t begin = first_set(at, from + bytes - at);
    if (begin == from + bytes) break;
    uint64_t end = begin;
    while (end < from + bytes) {
      const uint64_t place = (end - base_) % 64;
      const auto ones = static_cast<uint64_t>(std::countr_one(load(words_ + (end - base_) / 64) >> place));
      end += ones;
      if (ones != 64 - place) break;
    }
    end = std::min(end, from + bytes);
    ranges.emplace_back(begin - from, end - begin);
    at = end;
  }
  clear(to, bytes);
  for (const auto& [offset, length] : ranges) set(to + offset, length);
}

}  // namespace mtia::emulator
