// Checked mode's view of a PE's local memory: which elements of each page were written, and by which roles it is used.
//
// Roles are ordered by the pages that they hand to each other: each has a vector clock, a page carries its giver's to
// its taker. What is used in between, other tiles among it, is so ordered too.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "emulator/tile_kernels/adjacent_rows.h"
#include "include/mtia/abi.h"

namespace mtia::emulator {

using RoleClock = std::array<uint32_t, 4>;

class LocalShadow {
 public:
  static constexpr uint32_t most_roles = std::tuple_size_v<RoleClock>;

  LocalShadow();
  void allocate(uint32_t page, int64_t rows, int64_t columns, mtia_line line);
  // A page of a circular buffer: what it held before is gone, and its windows order the roles that use it.
  void renew(uint32_t page);

  void write(const mtia_tile& tile);
  // (row, column) of the first element of the tile that nothing wrote.
  std::optional<std::pair<int64_t, int64_t>> unwritten(const mtia_tile& tile) const;

  // A role's window of a page ends, another's begins.
  void release(uint32_t role, uint32_t page);
  void acquire(uint32_t role, uint32_t page);
  // A role has waited for what it did; its time from then on.
  uint32_t tick(uint32_t role) { return ++clocks_[role][role]; }
  // What a role knows of all.
  const RoleClock& clock(uint32_t role) const { return clocks_[role]; }

  struct Use {
    uint32_t role = 0;
    bool writes = false;
    uint32_t time = 0;  // of the role's own clock
    mtia_line line{};
    AdjacentRows elements;  // of the page
  };
  struct Conflict {
    Use use;
    std::pair<int64_t, int64_t> place;  // (row, column) of the tile
  };
  // Notes that a role reads or writes a tile; returns another role's use of the same elements that nothing orders
  // before it, if one of the two writes.
  std::optional<Conflict> use(const mtia_tile& tile, uint32_t role, mtia_line line, bool writes);

  mtia_line allocated_at(uint32_t page) const { return pages_[page].line; }

 private:
  static constexpr size_t most_uses = 64;  // of a page; older ones are forgotten

  struct Page {
    std::vector<uint64_t> written;  // a bit an element
    mtia_line line{};
    bool is_ring = false;
    std::vector<Use> uses;  // the last ones, each tile of each role and direction once
    size_t next_use = 0;    // to be replaced where there are more
    RoleClock clock{};      // of the role that handed it over last
  };
  std::array<RoleClock, most_roles> clocks_{};
  std::vector<Page> pages_;
};

}  // namespace mtia::emulator
