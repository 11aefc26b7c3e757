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
  for (Entry& entry : entries_) ::operator delete(entry.memory, alignment);
}

PackedTile PackCache::find(const Tile& tile, uint64_t low, uint64_t high) {
  for (const Entry& entry : entries_) {
    if (entry.data == tile.data && entry.rows == tile.rows && entry.columns == tile.columns &&
        entry.row_stride == tile.row_stride && entry.column_stride == tile.column_stride && entry.dtype == tile.dtype) {
      misses_ = 0;
      return {entry.memory, tile.dtype, tile.page, tile.rows, tile.columns};
    }
  }
  // Where nothing is asked for twice, packing aside only spoils the host's caches; now and then it is tried again.
  if (++misses_ > patience) {
    if (misses_ < 8 * patience) return {};
    misses_ = 0;
  }
  Entry& entry = entries_[next_++ % entries];
  const auto k = static_cast<size_t>(tile.rows);
  const auto n = static_cast<size_t>(tile.columns);
  const size_t bytes = host_math::packed_b_bytes(tile.dtype, k, n) + 64;
  entry.data = nullptr;
  if (bytes > entry.capacity) {
    ::operator delete(entry.memory, alignment);
    entry.memory = nullptr;
    entry.memory = static_cast<std::byte*>(::operator new(bytes, alignment));
    entry.capacity = bytes;
  }
  host_math::pack_b(tile.dtype, entry.memory, {tile.data, tile.row_stride, tile.column_stride}, k, n);
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
  return {entry.memory, tile.dtype, tile.page, tile.rows, tile.columns};
}

void PackCache::before_store(uint64_t low, uint64_t high) {
  if (low >= high_ || high <= low_) return;
  for (Entry& entry : entries_) {
    if (entry.data != nullptr && entry.low < high && low < entry.high) entry.data = nullptr;
  }
}

void PackCache::clear() {
  for (Entry& entry : entries_) entry.data = nullptr;
  low_ = UINT64_MAX;
  high_ = 0;
  misses_ = 0;
}

}  // namespace mtia::emulator
