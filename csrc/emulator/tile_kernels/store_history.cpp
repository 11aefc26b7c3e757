// The stores that are under way.
#include "emulator/tile_kernels/store_history.h"

#include <algorithm>

#include "base/dtype.h"

namespace mtia::emulator {

void StoreHistory::add(const mtia_region& region, int64_t rows, int64_t columns, uint32_t role, mtia_line line) {
  stores_[count_++ % stores_.size()] = {role, line, UINT32_MAX, bytes_of(region, rows, columns)};
}

void StoreHistory::wait(uint32_t role, uint32_t time) {
  for (Store& store : stores_) {
    if (store.role == role && store.waited == UINT32_MAX) store.waited = time;
  }
}

AdjacentRows StoreHistory::bytes_of(const mtia_region& region, int64_t rows, int64_t columns) {
  return AdjacentRows::of(static_cast<int64_t>(region.base),
                          static_cast<int64_t>(size_of(static_cast<DType>(region.dtype))),
                          std::min(rows, region.valid_rows), std::min(columns, region.valid_columns), region.row_stride,
                          region.column_stride);
}

std::optional<StoreHistory::Found> StoreHistory::under_way(const mtia_region& region, int64_t rows, int64_t columns,
                                                           const RoleClock& known) const {
  const size_t kept = std::min(count_, stores_.size());
  const AdjacentRows loaded = bytes_of(region, rows, columns);
  for (size_t i = 0; i < kept; ++i) {
    const Store& store = stores_[(count_ - 1 - i) % stores_.size()];
    if (store.waited <= known[store.role]) continue;
    if (const auto address = overlap(loaded, store.bytes)) return Found{store, static_cast<uint64_t>(*address)};
  }
  return std::nullopt;
}

}  // namespace mtia::emulator
