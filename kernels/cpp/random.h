// Arguments of the C++ kernel "random": contiguous tensors of Philox numbers that depend on seed, offset and position
// alone.
#pragma once

#include <cstdint>
#include <limits>

#include "base/dtype.h"

namespace mtia::kernels {

enum class Distribution : uint8_t {
  uniform,      // a + (b - a) * u; u in [0, 1) has the 8, 11, 24 or 53 bits of bf16, f16, f32 or f64
  normal,       // mean a, standard deviation b
  bernoulli,    // 1 with probability a
  exponential,  // rate a
  integer,      // integer_low + a number below integer_range
};

// Four elements take one counter: a launch uses the counters offset .. offset + ceil(count / 4), an integer range above
// 2^32 and F64 uniform and normal numbers use twice as many.
struct RandomArguments {
  uint64_t destination = 0;
  int64_t count = 0;
  uint64_t seed = 0;
  uint64_t offset = 0;
  double a = 0;
  double b = 1;
  int64_t integer_low = 0;
  uint64_t integer_range = 0;  // 0: the whole range of 64 bits
  // Numbers of `dtype` that uniform and exponential ones are kept between: rounding can reach an end that is excluded.
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  DType dtype = DType::F32;  // floats; integers and I1 for `integer` and `bernoulli`
  Distribution distribution = Distribution::uniform;

  // Which numbers are drawn costs nothing; how wide the words are that they come of does.
  void keep_sizes() {
    seed = offset = 0;
    a = b = lowest = highest = 0;
    integer_low = 0;
  }
};

}  // namespace mtia::kernels
