// Checked mode's memory of a PE's stores: on the chip, loads do not wait for stores, so that one that follows a store
// of the same bytes may fetch what was there before. A store may take any time until a barrier has waited for it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "emulator/tile_kernels/adjacent_rows.h"
#include "emulator/tile_kernels/local_shadow.h"
#include "include/mtia/abi.h"

namespace mtia::emulator {

class StoreHistory {
 public:
  struct Store {
    uint32_t role = 0;
    mtia_line line{};
    uint32_t waited =
        UINT32_MAX;  // time of the role's clock (local_shadow.h) from which on it has waited for the store
    AdjacentRows bytes;
  };

  // A store of rows x columns of a region, as far as they exist.
  void add(const mtia_region& region, int64_t rows, int64_t columns, uint32_t role, mtia_line line);
  // A barrier of a role, which waits for its stores; its clock stands at `time` afterwards.
  void wait(uint32_t role, uint32_t time);

  // The last store that nothing says to be done, for who knows of each role up to a time of its clock, and that writes
  // one of the bytes that rows x columns of a region load; and the first of these bytes.
  struct Found {
    const Store& store;
    uint64_t address;
  };
  std::optional<Found> under_way(const mtia_region& region, int64_t rows, int64_t columns,
                                 const RoleClock& known) const;

 private:
  static AdjacentRows bytes_of(const mtia_region& region, int64_t rows, int64_t columns);

  std::array<Store, 256> stores_{};
  size_t count_ = 0;  // that were ever made
};

}  // namespace mtia::emulator
