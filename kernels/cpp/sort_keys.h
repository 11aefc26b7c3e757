// Keys of elements: unsigned integers of the element's width, in the order that torch sorts in.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

// Both zeros are one key and every NaN is the largest; for a descending sort the keys are complemented, so that a
// stable ascending sort of keys serves both.
template <typename Word>
class KeyOf {
 public:
  KeyOf(DType dtype, bool is_unsigned, bool descending)
      : invert_(descending ? static_cast<Word>(~Word{0}) : Word{0}),
        flip_(is_unsigned ? Word{0} : sign),
        largest_number_(static_cast<Word>(largest_number(dtype))),
        is_float_(is_float(dtype)),
        is_bool_(dtype == DType::I1) {}

  Word operator()(Word bits) const { return static_cast<Word>(ascending(bits) ^ invert_); }

 private:
  static constexpr Word sign = static_cast<Word>(Word{1} << (8 * sizeof(Word) - 1));

  // The bits of a float that NaNs are beyond: infinity, and of float8_e4m3 the largest number.
  static uint64_t largest_number(DType dtype) {
    switch (dtype) {
      case DType::F8E4M3:
        return 0x7E;
      case DType::F8E5M2:
        return 0x7C;
      case DType::F16:
        return 0x7C00;
      case DType::BF16:
        return 0x7F80;
      case DType::F32:
        return 0x7F800000;
      case DType::F64:
        return 0x7FF0000000000000;
      default:
        return 0;
    }
  }

  Word ascending(Word bits) const {
    if (!is_float_) return is_bool_ ? Word{bits != 0} : static_cast<Word>(bits ^ flip_);
    const auto magnitude = static_cast<Word>(bits & static_cast<Word>(~sign));
    if (magnitude > largest_number_) return static_cast<Word>(~Word{0});
    return (bits & sign) != 0 && magnitude != 0 ? static_cast<Word>(~bits) : static_cast<Word>(bits | sign);
  }

  Word invert_;
  Word flip_;  // of integers: the sign bit where they have one
  Word largest_number_;
  bool is_float_;
  bool is_bool_;
};

// Calls body(Word{}) with the unsigned integer as wide as the dtype.
template <typename Body>
void with_word(DType dtype, const Body& body) {
  switch (size_of(dtype)) {
    case 1:
      return body(uint8_t{});
    case 2:
      return body(uint16_t{});
    case 4:
      return body(uint32_t{});
    default:
      return body(uint64_t{});
  }
}

}  // namespace mtia::kernels
