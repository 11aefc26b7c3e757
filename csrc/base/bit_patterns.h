// Conversions between float32 and the narrow float formats on bit patterns: the scalar reference of every converter.
// Formats: IEEE 754 binary16, bfloat16, and OCP 8-bit floats E4M3 (no infinity, one NaN) and E5M2.
#pragma once

#include <bit>
#include <cstdint>

namespace mtia {

constexpr uint32_t bits_of_float(float value) { return std::bit_cast<uint32_t>(value); }
constexpr float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

constexpr bool is_nan_bits(uint32_t bits) { return (bits & 0x7FFFFFFFU) > 0x7F800000U; }

// Rounds to nearest even; a NaN stays a NaN: its sign and leading payload bits are kept and it becomes quiet.
constexpr uint16_t bf16_from_f32(float value) {
  const uint32_t bits = bits_of_float(value);
  if (is_nan_bits(bits)) return static_cast<uint16_t>((bits >> 16) | 0x0040U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

constexpr float f32_from_bf16(uint16_t bits) { return float_of_bits(static_cast<uint32_t>(bits) << 16); }

namespace detail {

// Rounds a float32 to a format with `mantissa` mantissa bits and exponent bias `bias`, subnormals included, without
// treating overflow: a result above the largest finite number comes out as the next bit patterns.
constexpr uint32_t round_to_format(uint32_t magnitude, int mantissa, int bias) {
  const int shift = 23 - mantissa;
  const int exponent = static_cast<int>(magnitude >> 23) - 127 + bias;
  if (exponent > 0) {
    const uint32_t rebiased = magnitude - (static_cast<uint32_t>(127 - bias) << 23);
    return (rebiased + ((1U << (shift - 1)) - 1U) + ((rebiased >> shift) & 1U)) >> shift;
  }
  const int drop = shift + 1 - exponent;  // bits of the 24-bit significand below the subnormal's last place
  if (drop > 25) return 0;
  const uint32_t significand =
      (magnitude >> 23) == 0 ? 0 : (magnitude & 0x7FFFFFU) | 0x800000U;  // float32 subnormals vanish
  return (significand + ((1U << (drop - 1)) - 1U) + ((significand >> drop) & 1U)) >> drop;
}

constexpr float expand_format(uint32_t magnitude, int mantissa, int bias) {
  const uint32_t exponent = magnitude >> mantissa;
  const uint32_t fraction = magnitude & ((1U << mantissa) - 1U);
  if (exponent != 0)
    return float_of_bits((exponent + static_cast<uint32_t>(127 - bias)) << 23 | fraction << (23 - mantissa));
  // Exact: the fraction has few bits and the scale is a normal power of two.
  return static_cast<float>(fraction) * float_of_bits(static_cast<uint32_t>(127 - bias + 1 - mantissa) << 23);
}

}  // namespace detail

constexpr uint16_t f16_from_f32(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U | ((magnitude >> 13) & 0x3FFU));
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // 65520 and above round to infinity
  return static_cast<uint16_t>(sign | detail::round_to_format(magnitude, 10, 15));
}

constexpr float f32_from_f16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t magnitude = bits & 0x7FFFU;
  uint32_t result = 0;
  if (magnitude >= 0x7C00U) {
    result = 0x7F800000U | (magnitude & 0x3FFU) << 13;
    if (magnitude > 0x7C00U) result |= 0x00400000U;  // a signalling NaN becomes quiet, as vcvtph2ps does
  } else {
    result = bits_of_float(detail::expand_format(magnitude, 10, 15));
  }
  return float_of_bits(sign | result);
}

// What a value beyond the largest finite number becomes: NaN (E4M3) or infinity (E5M2), or the largest finite number.
// The defaults below are torch's: E4M3 saturates, infinities included, and E5M2 overflows to infinity.
enum class Overflow : uint8_t { to_special, saturate };

constexpr uint8_t f8e4m3_from_f32(float value, Overflow overflow = Overflow::saturate) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = (bits >> 24) & 0x80U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint8_t>(sign | 0x7FU);
  const uint32_t special = overflow == Overflow::saturate ? 0x7EU : 0x7FU;
  if (magnitude >= 0x43F00000U) return static_cast<uint8_t>(sign | special);  // 480 and above
  const uint32_t rounded = detail::round_to_format(magnitude, 3, 7);
  return static_cast<uint8_t>(sign | (rounded >= 0x7FU ? special : rounded));
}

constexpr float f32_from_f8e4m3(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80U) << 24;
  const uint32_t magnitude = bits & 0x7FU;
  if (magnitude == 0x7FU) return float_of_bits(sign | 0x7FC00000U);
  return float_of_bits(sign | bits_of_float(detail::expand_format(magnitude, 3, 7)));
}

constexpr uint8_t f8e5m2_from_f32(float value, Overflow overflow = Overflow::to_special) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = (bits >> 24) & 0x80U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint8_t>(sign | 0x7FU);
  const uint32_t special = overflow == Overflow::saturate ? 0x7BU : 0x7CU;
  if (magnitude >= 0x47800000U) return static_cast<uint8_t>(sign | special);  // 65536 and above
  const uint32_t rounded = detail::round_to_format(magnitude, 2, 15);
  return static_cast<uint8_t>(sign | (rounded >= 0x7CU ? special : rounded));
}

constexpr float f32_from_f8e5m2(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80U) << 24;
  const uint32_t magnitude = bits & 0x7FU;
  uint32_t result = 0;
  if (magnitude >= 0x7CU) {
    result = magnitude > 0x7CU ? 0x7FC00000U : 0x7F800000U;
  } else {
    result = bits_of_float(detail::expand_format(magnitude, 2, 15));
  }
  return float_of_bits(sign | result);
}

}  // namespace mtia
