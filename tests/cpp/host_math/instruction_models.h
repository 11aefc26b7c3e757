// What the instructions for products of bf16 compute, to the bit, for one element: the oracle of test_dot.cpp, in exact
// arithmetic and one rounding, apart from the kernels' own code.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mtia::test {

inline float zero_if_subnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }

// a * b + c in one rounding; subnormal operands are zero, and so is what is below the normal numbers once it is rounded
// to 24 bits. Exact before the rounding: a and b have 8 or c and a 24 bits, and long double 64.
inline float add_product(float a, float b, float c) {
  a = zero_if_subnormal(a);
  b = zero_if_subnormal(b);
  c = zero_if_subnormal(c);
  const long double exact = static_cast<long double>(a) * b + c;
  if (!std::isfinite(exact)) return std::fma(a, b, c);
  constexpr int up = 100;
  const bool is_tiny =
      std::fabs(exact) < 0x1p-100L && std::fabs(static_cast<float>(std::ldexp(exact, up))) < std::ldexp(1.0F, up - 126);
  return is_tiny ? std::copysign(0.0F, static_cast<float>(std::ldexp(exact, up))) : static_cast<float>(exact);
}

// VDPBF16PS for each pair of k: the odd member first. An odd last member is paired with zeros.
inline float dot_of_pairs(std::span<const float> a, std::span<const float> b, float sum) {
  for (size_t p = 0; p < a.size(); p += 2) {
    sum = add_product(p + 1 < a.size() ? a[p + 1] : 0.0F, p + 1 < a.size() ? b[p + 1] : 0.0F, sum);
    sum = add_product(a[p], b[p], sum);
  }
  return sum;
}

// TDPBF16PS for each 32 values of k, the last ones filled up with zeros: even and odd ones are two chains from zero.
inline float dot_of_tiles(std::span<const float> a, std::span<const float> b, float sum) {
  constexpr size_t step = 32;
  for (size_t first = 0; first < a.size(); first += step) {
    std::array<float, 2> chains{};
    for (size_t p = first; p < first + step; ++p)
      chains[p % 2] = add_product(p < a.size() ? a[p] : 0.0F, p < a.size() ? b[p] : 0.0F, chains[p % 2]);
    sum = add_product(1, add_product(1, chains[0], chains[1]), sum);
  }
  return sum;
}

}  // namespace mtia::test
