// What the calls of the C++ kernel API share: checks of their tiles, and their entry on the scoreboard.
#pragma once

#include <initializer_list>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "emulator/pe/pe_state.h"
#include "emulator/pe/tile.h"

namespace mtia::emulator {

inline constexpr uint32_t no_page = UINT32_MAX;

// Issues a call that reads the pages `sources` and writes `result`: after its sources are ready and all readers of the
// result are done, and not before `earliest`. Returns when the unit is free again.
inline SubCycles time_call(PeState& pe, const Tick& tick, SubCycles duration, SubCycles latency, uint32_t result,
                           std::initializer_list<uint32_t> sources, SubCycles earliest = 0) {
  if (result != no_page) earliest = std::max({earliest, pe.pages[result].ready, pe.pages[result].release});
  for (const uint32_t page : sources) earliest = std::max(earliest, pe.pages[page].ready);
  const SubCycles end = pe.issuing->issue_after(earliest, tick, duration, latency);
  for (const uint32_t page : sources) pe.pages[page].release = std::max(pe.pages[page].release, end);
  if (result != no_page) pe.pages[result].ready = end + latency;
  return end;
}

inline void check_same_dtype(const char* call, const Tile& tile, DType dtype) {
  if (tile.dtype != dtype)
    throw InvalidArgument(concat(call, " of ", name_of(dtype), " with a tile of ", name_of(tile.dtype)), "",
                          "convert first");
}

inline void check_dense_rows(const char* call, const Tile& tile) {
  if (tile.column_stride != 1)
    throw InvalidArgument(concat(call, " of a tile with column stride ", tile.column_stride), "",
                          "permute or copy it first");
}

// The bits of a number in a dtype.
inline uint64_t bits_of_number(DType dtype, double value) {
  switch (dtype) {
    case DType::I1:
      return value != 0 ? 1 : 0;
    case DType::F16:
      return f16_from_f32(static_cast<float>(value));
    case DType::BF16:
      return bf16_from_f32(static_cast<float>(value));
    case DType::F8E4M3:
      return f8e4m3_from_f32(static_cast<float>(value));
    case DType::F8E5M2:
      return f8e5m2_from_f32(static_cast<float>(value));
    case DType::F32:
      return bits_of_float(static_cast<float>(value));
    case DType::F64:
      return std::bit_cast<uint64_t>(value);
    default:
      return static_cast<uint64_t>(static_cast<int64_t>(value));
  }
}

}  // namespace mtia::emulator
