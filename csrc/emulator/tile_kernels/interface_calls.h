// What the functions of the table share: a call with the units of its PE, and DMA of regions.
#pragma once

#include "emulator/pe/processing_element.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {

// A call with the units of its PE.
struct UnitCall : Call {
  UnitCall(mtia_role* handle, const char* operation, mtia_line line)
      : Call(handle, operation, line), unit(state(), role.index, role.count) {}

  ProcessingElement unit;
};

// Throws OutOfBounds for one that begins before its tensor.
DmaDescriptor descriptor_of(const mtia_region& region);

// Whether a load of the region may leave its page a view of device memory, and the making of one.
bool can_view(UnitCall& call, const mtia_tile& destination, const Tile& tile, const mtia_region& source);
void make_view(UnitCall& call, const mtia_tile& destination, const Tile& view, const mtia_region& source);

// The functions of interface_pes.cpp.
void multicast(mtia_role* role, uint8_t along, const mtia_tile* destination, const mtia_region* source, mtia_line line);
uint8_t reduce_along(mtia_role* role, uint8_t along, uint8_t kind, uint8_t is_signed, const mtia_tile* tile,
                     mtia_line line);
void barrier(mtia_role* role, mtia_line line);
int64_t next_item(mtia_role* role, uint32_t queue, int64_t items, mtia_line line);

}  // namespace mtia::emulator
