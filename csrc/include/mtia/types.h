// Element types of tiles and tensors, and the source line that every call carries.
#pragma once

#include <cstdint>

#include "abi.h"

namespace mtia {

// Storage of the floats that C++ has no type for; arithmetic on them is the chip's.
struct float16 {
  uint16_t bits;
};
struct bfloat16 {
  uint16_t bits;
};
struct float8_e4m3 {
  uint8_t bits;
};
struct float8_e5m2 {
  uint8_t bits;
};

struct SourceLine {
  mtia_line line;

  static constexpr SourceLine here(const char* file = __builtin_FILE(), uint32_t line = __builtin_LINE()) {
    return {{file, line}};
  }
};

namespace detail {

// dtype: the number of csrc/base/dtype.h. `accumulator`: what products of the type are summed in.
template <typename T>
struct Element {
  static constexpr bool known = false;
  static constexpr bool is_float = false;
};

template <uint8_t Number, bool Float, bool Signed, typename Sum>
struct KnownElement {
  static constexpr bool known = true;
  static constexpr uint8_t dtype = Number;
  static constexpr bool is_float = Float;
  static constexpr bool is_signed = Signed;
  using accumulator = Sum;  // void: the dot product engine has no such products
};

template <>
struct Element<bool> : KnownElement<0, false, false, void> {};
template <>
struct Element<int8_t> : KnownElement<1, false, true, int32_t> {};
template <>
struct Element<uint8_t> : KnownElement<1, false, false, void> {};
template <>
struct Element<int16_t> : KnownElement<2, false, true, void> {};
template <>
struct Element<uint16_t> : KnownElement<2, false, false, void> {};
template <>
struct Element<int32_t> : KnownElement<3, false, true, void> {};
template <>
struct Element<uint32_t> : KnownElement<3, false, false, void> {};
template <>
struct Element<int64_t> : KnownElement<4, false, true, void> {};
template <>
struct Element<uint64_t> : KnownElement<4, false, false, void> {};
template <>
struct Element<float16> : KnownElement<5, true, true, float> {};
template <>
struct Element<bfloat16> : KnownElement<6, true, true, float> {};
template <>
struct Element<float> : KnownElement<7, true, true, float> {};
template <>
struct Element<double> : KnownElement<8, true, true, double> {};
template <>
struct Element<float8_e4m3> : KnownElement<9, true, true, float> {};
template <>
struct Element<float8_e5m2> : KnownElement<10, true, true, float> {};

// The table of the emulator, set when the shared object is loaded.
__attribute__((visibility("hidden"))) inline const mtia_api* api = nullptr;

}  // namespace detail

}  // namespace mtia
