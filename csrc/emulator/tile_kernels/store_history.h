// Checked mode's memory of a PE's stores: on the chip, loads do not wait for stores, so that one that follows a store
// of the same bytes may fetch what was there before.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "emulator/timing/scoreboard.h"
#include "include/mtia/abi.h"

namespace mtia::emulator {

class StoreHistory {
 public:
  struct Store {
    mtia_region region{};  // of exactly rows x columns
    int64_t rows = 0;
    int64_t columns = 0;
    SubCycles end = 0;
    uint32_t role = 0;
    mtia_line line{};
  };

  void add(const Store& store) { stores_[count_++ % stores_.size()] = store; }
  // The last store that is still under way at `start` and writes one of the bytes that rows x columns of a region load,
  // and the first of these bytes.
  struct Found {
    const Store& store;
    uint64_t address;
  };
  std::optional<Found> under_way(const mtia_region& region, int64_t rows, int64_t columns, SubCycles start) const;

 private:
  std::array<Store, 256> stores_{};
  size_t count_ = 0;
};

}  // namespace mtia::emulator
