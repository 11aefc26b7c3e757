// Checked mode for the roles of one PE: local memory that nothing wrote, tiles that roles share without a circular
// buffer, loads that overtake stores.
#pragma once

#include <cstdint>

#include "emulator/tile_kernels/local_shadow.h"
#include "emulator/tile_kernels/store_history.h"

namespace mtia::emulator {

class Checker;
struct Role;

class TileChecks {
 public:
  explicit TileChecks(Checker& checker) : checker_(checker) {}

  void allocated(const Role& role, uint32_t page, int64_t rows, int64_t columns);
  // Pages of circular buffers: reserved and taken when a window begins, handed over when it ends.
  void reserved(const Role& role, uint32_t page);
  void taken(const Role& role, uint32_t page);
  void handed_over(const Role& role, uint32_t page);

  // Before a unit reads, or writes, a tile. `overwrites`: it reads nothing of it.
  void read(const Role& role, const mtia_tile& tile);
  void write(const Role& role, const mtia_tile& tile, bool overwrites);

  // A load and a store of rows x columns of a region, as far as they exist, and a barrier that was passed.
  void load(const Role& role, const mtia_region& source, int64_t rows, int64_t columns);
  void store(const Role& role, const mtia_region& destination, int64_t rows, int64_t columns);
  void waited(const Role& role);

 private:
  void use(const Role& role, const mtia_tile& tile, bool writes);

  Checker& checker_;
  LocalShadow shadow_;
  StoreHistory stores_;
};

}  // namespace mtia::emulator
