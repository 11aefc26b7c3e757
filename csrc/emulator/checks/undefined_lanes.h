// Lanes that a load leaves undefined: masked off, and nothing said what they hold instead. Outside of checked mode they
// read as zero. In checked mode floats get a NaN of a pattern of its own, which arithmetic and conversions carry on, so
// that a store of one is known to depend on such a lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"

namespace mtia::emulator {

// 0 for types without such a pattern.
inline uint64_t undefined_lane(DType dtype) {
  switch (dtype) {
    case DType::F64:
      return 0x7FFB4B4B40000000U;
    case DType::F32:
      return 0x7FDA5A5AU;
    case DType::BF16:
      return 0x7FDAU;
    case DType::F16:
      return 0x7ED2U;
    default:
      return 0;
  }
}

namespace detail {

// The first of `count` elements that is one of three patterns, whatever its sign, or `count`.
template <typename Bits>
uint64_t find_pattern(const std::byte* data, uint64_t count, Bits a, Bits b, Bits c) {
  constexpr uint64_t block = 256;
  constexpr auto magnitude = static_cast<Bits>(static_cast<Bits>(~Bits{0}) >> 1);
  const auto matches = [&](uint64_t i) {
    Bits bits;
    std::memcpy(&bits, data + i * sizeof(Bits), sizeof(Bits));
    bits = static_cast<Bits>(bits & magnitude);
    return (bits == a) | (bits == b) | (bits == c);
  };
  for (uint64_t begin = 0; begin < count; begin += block) {
    const uint64_t end = begin + block < count ? begin + block : count;
    unsigned any = 0;
    for (uint64_t i = begin; i < end; ++i) any |= static_cast<unsigned>(matches(i));
    for (uint64_t i = begin; any != 0 && i < end; ++i) {
      if (matches(i)) return i;
    }
  }
  return count;
}

}  // namespace detail

// The first element with the pattern of its own type, or of a narrower one that was converted to it; or `count`.
inline uint64_t find_undefined_lane(DType dtype, const std::byte* data, uint64_t count) {
  switch (dtype) {
    case DType::F64:
      return detail::find_pattern<uint64_t>(data, count, 0x7FFB4B4B40000000U, 0x7FFB400000000000U, 0x7FFB480000000000U);
    case DType::F32:
      return detail::find_pattern<uint32_t>(data, count, 0x7FDA5A5AU, 0x7FDA0000U, 0x7FDA4000U);
    case DType::BF16:
      return detail::find_pattern<uint16_t>(data, count, 0x7FDAU, 0x7FDAU, 0x7FDAU);
    case DType::F16:
      return detail::find_pattern<uint16_t>(data, count, 0x7ED2U, 0x7ED0U, 0x7ED0U);
    default:
      return count;
  }
}

}  // namespace mtia::emulator
