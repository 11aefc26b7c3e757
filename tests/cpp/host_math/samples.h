// Inputs of the host_math tests: reproducible random bits, values of every magnitude, and the special values.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/bit_patterns.h"
#include "base/dtype.h"

namespace mtia::test {

class RandomBits {
 public:
  explicit RandomBits(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}

  uint64_t next() {  // splitmix64
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }

  double uniform(double low, double high) { return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53); }

 private:
  uint64_t state_;
};

inline std::vector<float> special_floats() {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{0.0F,    -0.0F,           1.0F,           -1.0F,          0.5F,
                            2.0F,    -2.0F,           3.0F,           infinity,       -infinity,
                            88.0F,   89.5F,           -103.9F,        -104.5F,        1e-45F,
                            -1e-45F, 1.17549435e-38F, 3.4028235e38F,  -3.4028235e38F, 16777216.0F,
                            1e10F,   2147483648.0F,   -2147483648.0F, 4294967296.0F,  1e20F,
                            127.0F,  -149.0F,         128.0F};
  values.push_back(std::numeric_limits<float>::quiet_NaN());
  return values;
}

// n elements of dtype: a third any bits, a third of moderate size, the rest special values.
inline std::vector<std::byte> sample(DType dtype, size_t n, uint64_t seed) {
  RandomBits random(seed);
  const std::vector<float> specials = special_floats();
  std::vector<std::byte> bytes(n * size_of(dtype) + 8);
  for (size_t i = 0; i < n; ++i) {
    uint64_t element = random.next();
    const uint64_t kind = random.next() % 3;
    const float moderate =
        kind == 1 ? static_cast<float>(random.uniform(-12, 12)) : specials[random.next() % specials.size()];
    if (dtype == DType::I1) element &= 1;
    if (kind != 0) {
      switch (dtype) {
        case DType::F16:
          element = f16_from_f32(moderate);
          break;
        case DType::BF16:
          element = bf16_from_f32(moderate);
          break;
        case DType::F8E4M3:
          element = f8e4m3_from_f32(moderate);
          break;
        case DType::F8E5M2:
          element = f8e5m2_from_f32(moderate);
          break;
        case DType::F32:
          element = bits_of_float(moderate);
          break;
        case DType::F64:
          element = std::bit_cast<uint64_t>(static_cast<double>(moderate));
          break;
        case DType::I1:
          break;
        default:
          element = kind == 1
                        ? element % 21 - 10
                        : (element % 2 == 0 ? 0x8000000000000000ULL >> (64 - 8 * size_of(dtype)) : 0 - element % 2);
      }
    }
    std::memcpy(bytes.data() + i * size_of(dtype), &element, size_of(dtype));
  }
  return bytes;
}

// A float element of any dtype as double.
inline double to_double(DType dtype, const std::byte* element) {
  uint64_t bits = 0;
  std::memcpy(&bits, element, size_of(dtype));
  switch (dtype) {
    case DType::F16:
      return f32_from_f16(static_cast<uint16_t>(bits));
    case DType::BF16:
      return f32_from_bf16(static_cast<uint16_t>(bits));
    case DType::F8E4M3:
      return f32_from_f8e4m3(static_cast<uint8_t>(bits));
    case DType::F8E5M2:
      return f32_from_f8e5m2(static_cast<uint8_t>(bits));
    case DType::F32:
      return float_of_bits(static_cast<uint32_t>(bits));
    case DType::F64:
      return std::bit_cast<double>(bits);
    default:
      return static_cast<double>(bits);
  }
}

// Equal bits, or both NaN: the payload of a NaN depends on the order in which a compiler puts commutative operands.
inline bool same_element(DType dtype, const std::byte* a, const std::byte* b) {
  if (std::memcmp(a, b, size_of(dtype)) == 0) return true;
  if (!is_float(dtype)) return false;
  const double left = to_double(dtype, a);
  const double right = to_double(dtype, b);
  return left != left && right != right;
}

}  // namespace mtia::test
