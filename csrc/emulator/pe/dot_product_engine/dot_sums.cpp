// Decoding of a product's sums, and their values before it.
#include "emulator/pe/dot_product_engine/dot_sums.h"

#include <cstring>

#include "host_math/elementwise.h"

namespace mtia::emulator {

std::byte* DotSums::begin(Frame& frame) const {
  std::byte* to = frame.at(d);
  const auto elements = static_cast<size_t>(batch * m * n);
  if (copy_c) std::memcpy(to, frame.at(c), elements * size_of(dtype));
  if (fill_c) host_math::fill(to, frame.at(c), size_of(dtype), elements);
  return to;
}

DotSums decode_sums(const Decoder& decoder, const Instruction& instruction) {
  const Value& d = decoder.value(instruction.results[0]);
  const size_t first = d.rank - 2U;
  DotSums sums;
  sums.d = decoder.place(instruction.results[0]);
  sums.dtype = d.dtype;
  sums.batch = first != 0 ? d.dims[0] : 1;
  sums.m = d.dims[first];
  sums.n = d.dims[first + 1];
  const uint32_t c = Decoder::operand(instruction, 2);
  if (c == absent) return sums;
  sums.accumulate = true;
  sums.c = decoder.place(c);
  sums.fill_c = !decoder.is_tile(c);
  sums.copy_c =
      decoder.is_tile(c) && decoder.program.slots[decoder.value(c).slot].offset != decoder.program.slots[d.slot].offset;
  return sums;
}

}  // namespace mtia::emulator
