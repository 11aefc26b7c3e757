// Classification by the bits of the exponent.
#include "emulator/inspection/elements.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/bit_patterns.h"
#include "base/error.h"

namespace mtia::emulator {
namespace {

template <typename Word>
uint64_t scan(const std::byte* data, uint64_t from, uint64_t count, Word exponent) {
  // Blocks without a hit vectorise; the hit's place is found in its block.
  constexpr uint64_t block = 64;
  const auto hit = [&](uint64_t i) {
    Word word = 0;
    std::memcpy(&word, data + i * sizeof(Word), sizeof(Word));
    return (word & exponent) == exponent;
  };
  uint64_t i = from;
  for (; i + block <= count; i += block) {
    bool any = false;
    for (uint64_t j = 0; j < block; ++j) any |= hit(i + j);
    if (any) break;
  }
  for (; i < count; ++i) {
    if (hit(i)) return i;
  }
  return count;
}

}  // namespace

uint64_t first_non_finite(DType dtype, const std::byte* data, uint64_t count, uint64_t from) {
  switch (dtype) {
    case DType::F64:
      return scan<uint64_t>(data, from, count, uint64_t{0x7FF} << 52);
    case DType::F32:
      return scan<uint32_t>(data, from, count, 0x7F800000U);
    case DType::BF16:
      return scan<uint16_t>(data, from, count, uint16_t{0x7F80});
    case DType::F16:
      return scan<uint16_t>(data, from, count, uint16_t{0x7C00});
    case DType::F8E5M2:
      return scan<uint8_t>(data, from, count, uint8_t{0x7C});
    case DType::F8E4M3:
      return scan<uint8_t>(data, from, count, uint8_t{0x7F});  // no infinity: the one pattern is NaN
    default:
      return count;
  }
}

double number_of(DType dtype, const std::byte* element) {
  uint64_t bits = 0;
  std::memcpy(&bits, element, size_of(dtype));
  switch (dtype) {
    case DType::F64:
      return std::bit_cast<double>(bits);
    case DType::F32:
      return static_cast<double>(float_of_bits(static_cast<uint32_t>(bits)));
    case DType::BF16:
      return static_cast<double>(f32_from_bf16(static_cast<uint16_t>(bits)));
    case DType::F16:
      return static_cast<double>(f32_from_f16(static_cast<uint16_t>(bits)));
    case DType::F8E4M3:
      return static_cast<double>(f32_from_f8e4m3(static_cast<uint8_t>(bits)));
    case DType::F8E5M2:
      return static_cast<double>(f32_from_f8e5m2(static_cast<uint8_t>(bits)));
    case DType::I1:
      return static_cast<double>(bits & 1U);
    case DType::I8:
      return static_cast<double>(static_cast<int8_t>(bits));
    case DType::I16:
      return static_cast<double>(static_cast<int16_t>(bits));
    case DType::I32:
      return static_cast<double>(static_cast<int32_t>(bits));
    case DType::I64:
      return static_cast<double>(static_cast<int64_t>(bits));
  }
  return 0;
}

FloatClass class_of(DType dtype, const std::byte* element) {
  if (first_non_finite(dtype, element, 1) == 1) return FloatClass::finite;
  return std::isnan(number_of(dtype, element)) ? FloatClass::nan : FloatClass::infinite;
}

uint64_t Elements::count() const {
  uint64_t product = 1;
  for (uint32_t d = 0; d < rank; ++d) product *= dims[d];
  return product;
}

double Elements::at(uint64_t element) const { return number_of(dtype, bytes.data() + element * size_of(dtype)); }

std::string Elements::type() const {
  std::string text;
  for (uint32_t d = 0; d < rank; ++d) text += concat(dims[d], "x");
  return text + std::string(name_of(dtype));
}

std::array<uint32_t, Elements::max_rank> Elements::index_of(uint64_t element) const {
  std::array<uint32_t, max_rank> index{};
  for (uint32_t d = rank; d-- > 0;) {
    index[d] = static_cast<uint32_t>(element % dims[d]);
    element /= dims[d];
  }
  return index;
}

void Elements::classify() {
  has_nan = has_infinity = false;
  const uint64_t total = count();
  for (uint64_t i = first_non_finite(dtype, bytes.data(), total); i < total;
       i = first_non_finite(dtype, bytes.data(), total, i + 1)) {
    (class_of(dtype, bytes.data() + i * size_of(dtype)) == FloatClass::nan ? has_nan : has_infinity) = true;
    if (has_nan && has_infinity) return;
  }
}

}  // namespace mtia::emulator
