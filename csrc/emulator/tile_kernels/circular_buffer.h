// Circular buffers between roles: a ring of pages with one producer and one consumer, of which only the occupancy is
// shared. Chip time travels with the pages: what reads a page starts when its writer is done, and the reverse.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "include/mtia/abi.h"

namespace mtia::emulator {

struct Role;
struct PeContext;

struct Ring {
  const char* name = nullptr;
  uint32_t number = 0;
  mtia_line made{};
  uint32_t first_page = 0;
  uint32_t pages = 0;
  Role* producer = nullptr;
  Role* consumer = nullptr;
  // Counts of pages since the launch began: popped <= fronted <= pushed <= reserved <= popped + pages.
  uint64_t reserved = 0;
  uint64_t pushed = 0;
  uint64_t fronted = 0;
  uint64_t popped = 0;
  // Windows may end in another order than they began: pages behind `pushed` and `popped` that are done.
  uint64_t pushed_ahead = 0;  // bit i: page pushed + i
  uint64_t popped_ahead = 0;
  mtia_line last_push{};
  mtia_line last_reserve{};
  mtia_line last_front{};

  std::string title() const;
  // "2 of 2 pages pushed, 0 reserved, 1 in use"
  std::string occupancy() const;
};

uint32_t make_ring(Role& role, const char* name, uint8_t dtype, int64_t rows, int64_t columns, uint32_t pages,
                   mtia_line made);
void ring_reserve(Role& role, uint32_t ring, uint32_t pages, mtia_tile* results);
void ring_push(Role& role, uint32_t ring, uint32_t pages, const mtia_tile* tiles);
void ring_front(Role& role, uint32_t ring, uint32_t pages, mtia_tile* results);
void ring_pop(Role& role, uint32_t ring, uint32_t pages, const mtia_tile* tiles);

// What stands in the rings of a PE whose roles have all ended must have been consumed. Throws Undefined.
void check_rings_drained(const PeContext& pe);

}  // namespace mtia::emulator
