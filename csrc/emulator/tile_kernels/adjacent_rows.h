// A matrix as rows of adjacent places, and what two of them have in common. For checks that must not find too much: of
// a matrix whose elements are adjacent in neither direction nothing is known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace mtia::emulator {

struct AdjacentRows {
  int64_t base = 0;
  int64_t step = 0;  // not negative
  int64_t count = 0;
  int64_t length = 0;  // of a row; 0: unknown

  // rows x columns elements of `size` places each, with strides in elements.
  static AdjacentRows of(int64_t base, int64_t size, int64_t rows, int64_t columns, int64_t row_stride,
                         int64_t column_stride) {
    AdjacentRows result;
    if (column_stride == 1 || columns == 1) {
      result = {base, row_stride * size, rows, columns * size};
    } else if (row_stride == 1 || rows == 1) {
      result = {base, column_stride * size, columns, rows * size};
    }
    if (result.step < 0) {
      result.base += result.step * (result.count - 1);
      result.step = -result.step;
    }
    return result;
  }

  bool operator==(const AdjacentRows&) const = default;
};

// The first place of both.
inline std::optional<int64_t> overlap(const AdjacentRows& a, const AdjacentRows& b) {
  if (a.count <= 0 || b.count <= 0 || a.length <= 0 || b.length <= 0) return std::nullopt;
  for (int64_t i = 0; i < a.count; ++i) {
    const int64_t low = a.base + i * a.step;
    // The first row of b that ends behind `low`.
    const int64_t behind = low - b.base - b.length + 1;
    int64_t first = b.step == 0 || behind <= 0 ? 0 : (behind + b.step - 1) / b.step;
    first = std::min(first, b.count - 1);
    const int64_t begin = b.base + first * b.step;
    if (begin < low + a.length && low < begin + b.length) return std::max(begin, low);
  }
  return std::nullopt;
}

}  // namespace mtia::emulator
