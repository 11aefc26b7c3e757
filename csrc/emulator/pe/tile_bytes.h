// The local memory that a tile takes, however large its extents.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/dtype.h"

namespace mtia::emulator {

using WideBytes = unsigned __int128;

// Of `rows` x `columns` elements, none negative, in whole units of 64 bytes; the largest number that is one where even
// 128 bits do not hold it.
inline WideBytes tile_bytes(DType dtype, int64_t rows, int64_t columns) {
  constexpr WideBytes unit = 64;
  constexpr WideBytes most = ~WideBytes{0} / unit * unit;
  const WideBytes elements = static_cast<WideBytes>(rows) * static_cast<WideBytes>(columns);
  if (elements > (most - unit) / size_of(dtype)) return most;
  return (elements * size_of(dtype) + unit - 1) / unit * unit;
}

inline std::string decimal(WideBytes number) {
  std::string digits;
  do {
    digits.push_back(static_cast<char>('0' + static_cast<int>(number % 10)));
    number /= 10;
  } while (number != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace mtia::emulator
