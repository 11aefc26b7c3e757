// Overlap of strided regions, row by row.
#include "emulator/tile_kernels/store_history.h"

#include <algorithm>

#include "base/dtype.h"

namespace mtia::emulator {
namespace {

// A region as rows of adjacent bytes; `known` is false for one whose elements are adjacent in neither direction.
struct Rows {
  int64_t base = 0;
  int64_t step = 0;
  int64_t count = 0;
  int64_t bytes = 0;
  bool known = false;
};

Rows rows_of(const mtia_region& region, int64_t rows, int64_t columns) {
  const auto size = static_cast<int64_t>(size_of(static_cast<DType>(region.dtype)));
  Rows result;
  result.base = static_cast<int64_t>(region.base);
  if (region.column_stride == 1 || columns == 1) {
    result = {result.base, region.row_stride * size, rows, columns * size, true};
  } else if (region.row_stride == 1 || rows == 1) {
    result = {result.base, region.column_stride * size, columns, rows * size, true};
  }
  if (result.step < 0) {
    result.base += result.step * (result.count - 1);
    result.step = -result.step;
  }
  return result;
}

// The first byte of both.
std::optional<uint64_t> overlap(const Rows& a, const Rows& b) {
  if (!a.known || !b.known || a.count <= 0 || b.count <= 0 || a.bytes <= 0 || b.bytes <= 0) return std::nullopt;
  for (int64_t i = 0; i < a.count; ++i) {
    const int64_t low = a.base + i * a.step;
    const int64_t high = low + a.bytes;
    // The first row of b that ends behind `low`.
    const int64_t behind = low - b.base - b.bytes + 1;
    int64_t first = b.step == 0 || behind <= 0 ? 0 : (behind + b.step - 1) / b.step;
    first = std::min(first, b.count - 1);
    const int64_t begin = b.base + first * b.step;
    if (begin < high && low < begin + b.bytes) return static_cast<uint64_t>(std::max(begin, low));
  }
  return std::nullopt;
}

}  // namespace

std::optional<StoreHistory::Found> StoreHistory::under_way(const mtia_region& region, int64_t rows, int64_t columns,
                                                           SubCycles start) const {
  const size_t kept = std::min(count_, stores_.size());
  const Rows loaded = rows_of(region, rows, columns);
  for (size_t i = 0; i < kept; ++i) {
    const Store& store = stores_[(count_ - 1 - i) % stores_.size()];
    if (store.end <= start) continue;
    if (const auto address = overlap(loaded, rows_of(store.region, store.rows, store.columns)))
      return Found{store, *address};
  }
  return std::nullopt;
}

}  // namespace mtia::emulator
