// The elements of an operand as numbers, and which of them are not finite.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace mtia::emulator {

// A copy of a tile or a scalar: dense, row-major.
struct Elements {
  static constexpr size_t max_rank = 6;

  std::string name;  // what the kernel's source calls it; empty where it has no name
  DType dtype = DType::F32;
  bool is_scalar = false;
  uint32_t rank = 0;
  std::array<uint32_t, max_rank> dims{};
  std::vector<std::byte> bytes;
  // Anywhere in it; false for integers.
  bool has_nan = false;
  bool has_infinity = false;

  uint64_t count() const;
  // A float as float64, an integer by its signed value.
  double at(uint64_t element) const;
  std::string type() const;  // "32x64xf32", "f32"
  std::array<uint32_t, max_rank> index_of(uint64_t element) const;
  // Sets has_nan and has_infinity.
  void classify();
};

enum class FloatClass : uint8_t { finite, infinite, nan };
FloatClass class_of(DType dtype, const std::byte* element);
double number_of(DType dtype, const std::byte* element);

// The first element of `count` that is not finite, or `count`. Integers are finite.
uint64_t first_non_finite(DType dtype, const std::byte* data, uint64_t count, uint64_t from = 0);

}  // namespace mtia::emulator
