// One bit for each byte of device memory, committed by the host only where touched: the shadow memory of checked mode.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulator/memory/reservation.h"

namespace mtia::emulator {

class BitPlane {
 public:
  // All bits are 0. Throws OutOfDeviceMemory where the host refuses the reservation.
  BitPlane(uint64_t base, uint64_t capacity);

  // Threads may work on neighbouring bytes at once: words that they share are updated atomically.
  void set(uint64_t address, uint64_t bytes);
  void clear(uint64_t address, uint64_t bytes);
  // The address of the first set bit, or address + bytes.
  uint64_t first_set(uint64_t address, uint64_t bytes) const;
  bool any(uint64_t address, uint64_t bytes) const { return first_set(address, bytes) != address + bytes; }
  // The bits of [from, from + bytes) become those of [to, to + bytes); the ranges may overlap.
  void copy(uint64_t to, uint64_t from, uint64_t bytes);
  // All bits become 0 and their memory goes back to the host.
  void reset() { memory_.reset(); }

  // The words of 64 bits of a part that begins and ends at a multiple of 64 bytes.
  uint64_t* words(uint64_t address) { return words_ + (address - base_) / 64; }

 private:
  template <typename Word>
  void for_words(uint64_t address, uint64_t bytes, const Word& word);

  uint64_t base_;
  Reservation memory_;
  uint64_t* words_;
};

}  // namespace mtia::emulator
