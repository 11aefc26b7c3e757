// The local memory of one PE as a C++ kernel's tiles name it: pages with an age, resolved and checked at every use.
//
// A load of a whole page copies nothing at first: the page becomes a view of the device memory it was loaded from,
// which the dot product engine and others then read in place. The view turns into a copy before anything could show the
// difference: before this PE stores to those bytes, before a barrier, and where a unit needs dense rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/memory/device_memory.h"
#include "emulator/pe/tile.h"
#include "include/mtia/abi.h"

namespace mtia::emulator {

struct PeState;
class TileChecks;  // tile_checks.h

class LocalMemory {
 public:
  struct Page {
    std::byte* data = nullptr;
    uint32_t generation = 0;
    DType dtype = DType::F32;
    int64_t rows = 0;
    int64_t columns = 0;
    // Of a page that is still a view: element (i, j) lies at view + size * (i * view_row_stride + j *
    // view_column_stride), within [low, high) of device memory.
    const std::byte* view = nullptr;
    int64_t view_row_stride = 0;
    int64_t view_column_stride = 0;
    uint64_t low = 0;
    uint64_t high = 0;
  };

  // Starts a launch on `arena`, the PE's local memory. `checks`: of checked mode, or nullptr.
  void begin(PeState& state, std::byte* arena, TileChecks* checks);

  // A new page of rows x columns. Throws OutOfLocalMemory.
  uint32_t allocate(DType dtype, int64_t rows, int64_t columns);
  mtia_tile handle_of(uint32_t page) const;
  // From now on, handles of the page that were given before are stale.
  void renew(uint32_t page) { ++pages_[page].generation; }

  // What a unit reads. `any_strides`: it can read elements that are not adjacent along a row. `viewed`: set where the
  // tile lies in device memory.
  Tile source(const mtia_tile& handle, bool any_strides = false, bool* viewed = nullptr);
  // What a store takes, of which it reads the first rows x columns.
  Tile stored(const mtia_tile& handle, int64_t rows, int64_t columns);
  // What a unit writes; `overwrites`: it reads nothing of it and writes all of it.
  Tile destination(const mtia_tile& handle, bool overwrites);

  // Whether a load of this tile may leave a view, and the making of one.
  bool is_whole_page(const mtia_tile& handle) const;
  void make_view(const mtia_tile& handle, const Tile& view, uint64_t low, uint64_t high);
  // Copies the pages that are views of [low, high).
  void before_store(uint64_t low, uint64_t high);
  void copy_views() { before_store(0, UINT64_MAX); }

  const Page& page(uint32_t number) const { return pages_[number]; }

 private:
  Page& checked(const mtia_tile& handle);
  void check_read(const mtia_tile& handle, int64_t rows, int64_t columns);
  Tile resolve(const mtia_tile& handle, bool any_strides, bool* viewed);
  void copy_view(Page& page);
  Tile in_local_memory(const Page& page, const mtia_tile& handle) const;

  PeState* state_ = nullptr;
  TileChecks* checks_ = nullptr;
  std::vector<Page> pages_;
  uint32_t views_ = 0;
};

}  // namespace mtia::emulator
