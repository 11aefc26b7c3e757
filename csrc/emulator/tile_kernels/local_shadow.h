// Checked mode's view of a PE's local memory: which elements of each page were written, and by which roles it is used.
//
// Roles are ordered by the pages that they hand to each other: each has a vector clock, a page carries its giver's to
// its taker. What is used in between, other tiles among it, is so ordered too.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "include/mtia/abi.h"

namespace mtia::emulator {

class LocalShadow {
 public:
  static constexpr uint32_t most_roles = 4;

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

  // Notes that a role reads or writes a page; returns another role's use that nothing orders before it, if one of the
  // two writes.
  struct Use {
    uint32_t role = 0;
    bool writes = false;
    uint32_t time = 0;  // of the role's own clock
    mtia_line line{};
  };
  std::optional<Use> use(uint32_t page, uint32_t role, mtia_line line, bool writes);

  mtia_line allocated_at(uint32_t page) const { return pages_[page].line; }

 private:
  using Clock = std::array<uint32_t, most_roles>;
  struct Page {
    std::vector<uint64_t> written;  // a bit an element
    mtia_line line{};
    bool is_ring = false;
    std::vector<Use> uses;  // the last of each role and direction
    Clock clock{};          // of the role that handed it over last
  };
  std::array<Clock, most_roles> clocks_{};
  std::vector<Page> pages_;
};

}  // namespace mtia::emulator
