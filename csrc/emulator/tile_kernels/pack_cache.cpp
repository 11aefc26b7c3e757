// A ring of packed operands; the oldest makes room.
#include "emulator/tile_kernels/pack_cache.h"

#include <algorithm>
#include <new>

#include "host_math/dot.h"

namespace mtia::emulator {
namespace {
constexpr std::align_val_t alignment{64};
}

PackCache::~PackCache() {
  for (Ring& ring : rings_) {
    for (Entry& entry : ring.entries) ::operator delete(entry.memory, alignment);
  }
}

const std::byte* PackCache::find(Side side, const Tile& tile, uint64_t low, uint64_t high) {
  Ring& ring = rings_[static_cast<size_t>(side)];
  for (const Entry& entry : ring.entries) {
    if (entry.data == tile.data && entry.rows == tile.rows && entry.columns == tile.columns &&
        entry.row_stride == tile.row_stride && entry.column_stride == tile.column_stride && entry.dtype == tile.dtype) {
      ring.misses = 0;
      return entry.memory;
    }
  }
  // Where nothing is asked for twice, packing aside only spoils the host's caches; now and then it is tried again.
  if (++ring.misses > patience) {
    if (ring.misses < 8 * patience) return nullptr;
    ring.misses = 0;
  }
  Entry& entry = ring.entries[ring.next++ % capacity];
  const auto rows = static_cast<size_t>(tile.rows);
  const auto columns = static_cast<size_t>(tile.columns);
  const bool is_left = side == Side::left;
  const size_t bytes = 64 + (is_left ? host_math::packed_a_bytes(tile.dtype, rows, columns)
                                     : host_math::packed_b_bytes(tile.dtype, rows, columns));
  entry.data = nullptr;
  if (bytes > entry.bytes) {
    ::operator delete(entry.memory, alignment);
    entry.memory = nullptr;
    entry.memory = static_cast<std::byte*>(::operator new(bytes, alignment));
    entry.bytes = bytes;
  }
  const auto pack = is_left ? &host_math::pack_a : &host_math::pack_b;
  pack(tile.dtype, entry.memory, {tile.data, tile.row_stride, tile.column_stride}, rows, columns,
       host_math::selected_isa());
  entry.data = tile.data;
  entry.row_stride = tile.row_stride;
  entry.column_stride = tile.column_stride;
  entry.rows = tile.rows;
  entry.columns = tile.columns;
  entry.dtype = tile.dtype;
  entry.low = low;
  entry.high = high;
  low_ = std::min(low_, low);
  high_ = std::max(high_, high);
  return entry.memory;
}

void PackCache::before_store(uint64_t low, uint64_t high) {
  if (low >= high_ || high <= low_) return;
  for (Ring& ring : rings_) {
    for (Entry& entry : ring.entries) {
      if (entry.data != nullptr && entry.low < high && low < entry.high) entry.data = nullptr;
    }
  }
}

void PackCache::clear() {
  for (Ring& ring : rings_) {
    for (Entry& entry : ring.entries) entry.data = nullptr;
    ring.misses = 0;
  }
  low_ = UINT64_MAX;
  high_ = 0;
}

}  // namespace mtia::emulator
