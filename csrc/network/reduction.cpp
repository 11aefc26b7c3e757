// Combining in blocks that stay in the first cache, one instance a format.
#include "network/reduction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/bit_patterns.h"
#include "base/error.h"

namespace mtia::network {
namespace {

// Elements that are combined at a time: they stay in the first cache.
constexpr size_t block = 2048;

// A type of memory and the one that it is combined in.
template <typename Stored, typename Wide, Wide (*widen)(Stored), Stored (*narrow)(Wide)>
struct Format {
  using stored = Stored;
  using wide = Wide;
  static Wide load(Stored value) { return widen(value); }
  static Stored store(Wide value) { return narrow(value); }
};

template <typename T>
T same(T value) {
  return value;
}

template <typename T>
using Plain = Format<T, T, same<T>, same<T>>;

uint16_t half_of(float value) { return f16_from_f32(value); }
float from_half(uint16_t bits) { return f32_from_f16(bits); }
uint16_t bfloat_of(float value) { return bf16_from_f32(value); }
float from_bfloat(uint16_t bits) { return f32_from_bf16(bits); }

using Half = Format<uint16_t, float, from_half, half_of>;
using Bfloat = Format<uint16_t, float, from_bfloat, bfloat_of>;

// Integers wrap: sums and products are made without a sign.
template <typename T>
auto unsigned_of(T value) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<std::make_unsigned_t<T>>(value);
  } else {
    return value;
  }
}

template <typename T>
T extreme(T a, T b, bool least) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a)) return a;
    if (std::isnan(b)) return b;
  }
  return least ? std::min(a, b) : std::max(a, b);
}

template <typename T, typename Step>
void each(T* sums, const T* part, size_t count, Step&& step) {
  for (size_t i = 0; i < count; ++i) sums[i] = step(sums[i], part[i]);
}

template <typename T>
void step(Combiner combiner, T* sums, const T* part, size_t count) {
  switch (combiner) {
    case Combiner::sum:
    case Combiner::average:
      return each(sums, part, count, [](T a, T b) { return static_cast<T>(unsigned_of(a) + unsigned_of(b)); });
    case Combiner::product:
      return each(sums, part, count, [](T a, T b) {
        if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
        return static_cast<T>(a * b);
      });
    case Combiner::minimum:
      return each(sums, part, count, [](T a, T b) { return extreme(a, b, true); });
    case Combiner::maximum:
      return each(sums, part, count, [](T a, T b) { return extreme(a, b, false); });
    default:
      break;
  }
  if constexpr (std::is_integral_v<T>) {
    switch (combiner) {
      case Combiner::bit_and:
        return each(sums, part, count, [](T a, T b) { return static_cast<T>(a & b); });
      case Combiner::bit_or:
        return each(sums, part, count, [](T a, T b) { return static_cast<T>(a | b); });
      default:
        return each(sums, part, count, [](T a, T b) { return static_cast<T>(a ^ b); });
    }
  }
}

template <typename Format>
void combine_as(const Reduction& reduction, std::byte* result, std::span<const std::byte* const> parts, size_t count) {
  using Stored = typename Format::stored;
  using Wide = typename Format::wide;
  std::array<Wide, block> sums;
  std::array<Wide, block> next;
  const auto load = [&](const std::byte* part, size_t first, size_t length, Wide* into) {
    const auto* from = reinterpret_cast<const Stored*>(part) + first;
    for (size_t i = 0; i < length; ++i) into[i] = Format::load(from[i]);
    if (reduction.factor == 1) return;
    for (size_t i = 0; i < length; ++i) into[i] = static_cast<Wide>(static_cast<double>(into[i]) * reduction.factor);
  };
  for (size_t first = 0; first < count; first += block) {
    const size_t length = std::min(block, count - first);
    load(parts[0], first, length, sums.data());
    for (const std::byte* part : parts.subspan(1)) {
      load(part, first, length, next.data());
      step(reduction.combiner, sums.data(), next.data(), length);
    }
    if (reduction.combiner == Combiner::average) {
      const auto ranks = static_cast<Wide>(parts.size());
      for (size_t i = 0; i < length; ++i) sums[i] = static_cast<Wide>(sums[i] / ranks);
    }
    auto* to = reinterpret_cast<Stored*>(result) + first;
    for (size_t i = 0; i < length; ++i) to[i] = Format::store(sums[i]);
  }
}

// A sum of truths is whether one is, a product whether all are.
Combiner of_truths(Combiner combiner) {
  switch (combiner) {
    case Combiner::sum:
    case Combiner::maximum:
      return Combiner::bit_or;
    case Combiner::product:
    case Combiner::minimum:
      return Combiner::bit_and;
    default:
      return combiner;
  }
}

template <typename Signed, typename Unsigned>
void combine_integers(const Reduction& reduction, std::byte* result, std::span<const std::byte* const> parts,
                      size_t count) {
  reduction.is_unsigned ? combine_as<Plain<Unsigned>>(reduction, result, parts, count)
                        : combine_as<Plain<Signed>>(reduction, result, parts, count);
}

}  // namespace

bool is_supported(const Reduction& reduction) {
  const bool is_bitwise = reduction.combiner >= Combiner::bit_and;
  if (is_float(reduction.dtype)) return size_of(reduction.dtype) > 1 && !is_bitwise;
  return reduction.factor == 1 && !(reduction.dtype == DType::I1 && reduction.combiner == Combiner::average);
}

void combine(const Reduction& reduction, std::byte* result, std::span<const std::byte* const> parts, size_t count) {
  if (!is_supported(reduction)) {
    throw Unsupported(concat("the message engines do not combine ", name_of(reduction.dtype), " so"), "",
                      "convert to float32, bfloat16 or an integer first");
  }
  switch (reduction.dtype) {
    case DType::I1: {
      Reduction of_bits = reduction;
      of_bits.combiner = of_truths(reduction.combiner);
      return combine_as<Plain<uint8_t>>(of_bits, result, parts, count);
    }
    case DType::I8:
      return combine_integers<int8_t, uint8_t>(reduction, result, parts, count);
    case DType::I16:
      return combine_integers<int16_t, uint16_t>(reduction, result, parts, count);
    case DType::I32:
      return combine_integers<int32_t, uint32_t>(reduction, result, parts, count);
    case DType::I64:
      return combine_integers<int64_t, uint64_t>(reduction, result, parts, count);
    case DType::F16:
      return combine_as<Half>(reduction, result, parts, count);
    case DType::BF16:
      return combine_as<Bfloat>(reduction, result, parts, count);
    case DType::F32:
      return combine_as<Plain<float>>(reduction, result, parts, count);
    default:
      return combine_as<Plain<double>>(reduction, result, parts, count);
  }
}

}  // namespace mtia::network
