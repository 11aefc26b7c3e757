// Operands of products in the order of the host's dot kernels, kept while several PEs of a host thread read the
// same device memory: a convenience of the emulator that costs nothing on the chip.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "emulator/pe/processing_element.h"
#include "emulator/pe/tile.h"

namespace mtia::emulator {

class PackCache {
 public:
  PackCache() = default;
  ~PackCache();
  PackCache(const PackCache&) = delete;
  PackCache& operator=(const PackCache&) = delete;

  enum class Side : uint8_t { left, right };

  // The packed form of an operand that lies in device memory [low, high); nullptr where packing did not pay lately.
  const std::byte* find(Side side, const Tile& tile, uint64_t low, uint64_t high);
  // Forgets what overlaps bytes that are written.
  void before_store(uint64_t low, uint64_t high);
  void clear();

 private:
  struct Entry {
    std::byte* memory = nullptr;
    size_t bytes = 0;
    const std::byte* data = nullptr;
    int64_t row_stride = 0;
    int64_t column_stride = 0;
    int64_t rows = 0;
    int64_t columns = 0;
    DType dtype = DType::F32;
    uint64_t low = 0;
    uint64_t high = 0;
  };
  static constexpr size_t capacity = 64;              // operands of a side
  static constexpr uint32_t patience = 2 * capacity;  // misses in a row until it gives up for a while

  struct Ring {
    std::array<Entry, capacity> entries{};
    size_t next = 0;
    uint32_t misses = 0;
  };
  std::array<Ring, 2> rings_;  // by side
  uint64_t low_ = UINT64_MAX;  // of all entries
  uint64_t high_ = 0;
};

}  // namespace mtia::emulator
