// The parts of a wrapping descriptor within which no dimension wraps.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "emulator/pe/fabric_interface/dma.h"

namespace mtia::emulator {

// Calls body(box first indices relative to access.first, extents, byte offset of the box's first element) for each part
// of the tile within which no dimension wraps.
template <typename Body>
void for_each_segment(const DmaAccess& access, uint32_t rank, uint32_t dimension, std::array<int64_t, 6>& first,
                      std::array<int64_t, 6>& extent, int64_t offset, const Body& body) {
  if (dimension == rank) {
    body(first, extent, offset);
    return;
  }
  if (access.wrap[dimension] == 0) {
    first[dimension] = 0;
    extent[dimension] = access.extent[dimension];
    for_each_segment(access, rank, dimension + 1, first, extent, offset, body);
    return;
  }
  int64_t coordinate = access.coordinate[dimension];
  for (int64_t i = 0; i < access.extent[dimension];) {
    const int64_t count = std::min(access.extent[dimension] - i, access.wrap[dimension] - coordinate);
    first[dimension] = i;
    extent[dimension] = count;
    for_each_segment(access, rank, dimension + 1, first, extent,
                     offset + (coordinate - access.coordinate[dimension]) * access.stride[dimension], body);
    i += count;
    coordinate = 0;
  }
}

}  // namespace mtia::emulator
