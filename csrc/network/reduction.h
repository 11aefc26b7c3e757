// What the message engines compute: parts of several ranks combined element by element, with the bits of the same
// operations on a PE (docs/numerics.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace mtia::network {

enum class Combiner : uint8_t { sum, average, product, minimum, maximum, bit_and, bit_or, bit_xor };

struct Reduction {
  Combiner combiner = Combiner::sum;
  DType dtype = DType::F32;
  bool is_unsigned = false;
  double factor = 1;  // of every part, before it is summed
};

// Whether the engines combine such numbers: bits of floats they do not.
bool is_supported(const Reduction& reduction);

// result[i] = parts[0][i], combined with parts[1][i], parts[2][i], ... in this order, so that the bits depend neither
// on who arrived first nor on how the elements were cut. Halves are combined in float32 and rounded once, integers
// wrap, an extreme of NaN is NaN. `result` may be one of the parts. Throws Unsupported where is_supported() says no.
void combine(const Reduction& reduction, std::byte* result, std::span<const std::byte* const> parts, size_t count);

}  // namespace mtia::network
