// Where a product's sums lie and begin: what dot and dot_scaled have in common.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulator/pe/command_processor/decoder.h"

namespace mtia::emulator {

struct DotSums {
  Place d;
  DType dtype = DType::F32;
  bool accumulate = false;
  bool copy_c = false;  // c lies elsewhere
  bool fill_c = false;  // c is a scalar
  Place c;
  int64_t batch = 1;
  int64_t m = 1;
  int64_t n = 1;

  // Sums that stay in the engine's accumulators need not leave its pipeline between products.
  bool stay() const { return accumulate && !copy_c && !fill_c; }

  // d, holding c where that is given.
  std::byte* begin(Frame& frame) const;
};

// Of an instruction whose result 0 is d and whose operand 2 is c.
DotSums decode_sums(const Decoder& decoder, const Instruction& instruction);

}  // namespace mtia::emulator
