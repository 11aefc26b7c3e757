// Combining by the loops of the emulator's units, in blocks that stay in the first cache.
#include "network/reduction.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "host_math/elementwise.h"

namespace mtia::network {
namespace {

using host_math::BinaryLoop;
using host_math::BinaryMode;
using host_math::BinaryOp;

constexpr size_t block = 2048;  // elements
constexpr size_t widest = 8;    // bytes of an element

DType combined_in(DType dtype) { return is_narrow_float(dtype) ? DType::F32 : dtype == DType::I1 ? DType::I8 : dtype; }

BinaryOp operation_of(const Reduction& reduction) {
  const bool is_real = is_float(reduction.dtype);
  // A sum of truths is whether one is, a product whether all are.
  const bool is_truth = reduction.dtype == DType::I1;
  switch (reduction.combiner) {
    case Combiner::sum:
    case Combiner::average:
      return is_real ? BinaryOp::add_f : is_truth ? BinaryOp::or_i : BinaryOp::add_i;
    case Combiner::product:
      return is_real ? BinaryOp::mul_f : is_truth ? BinaryOp::and_i : BinaryOp::mul_i;
    case Combiner::minimum:
      return is_real ? BinaryOp::minimum_f : reduction.is_unsigned ? BinaryOp::min_u : BinaryOp::min_s;
    case Combiner::maximum:
      return is_real ? BinaryOp::maximum_f : reduction.is_unsigned ? BinaryOp::max_u : BinaryOp::max_s;
    case Combiner::bit_and:
      return BinaryOp::and_i;
    case Combiner::bit_or:
      return BinaryOp::or_i;
    default:
      return BinaryOp::xor_i;
  }
}

// One number in a dtype, as the loops read it.
struct Number {
  alignas(widest) std::array<std::byte, widest> bytes{};

  Number(double value, DType dtype) { host_math::convert_loop(DType::F64, dtype)(bytes.data(), &value, 1); }
};

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
  const DType wide = combined_in(reduction.dtype);
  const size_t element = size_of(reduction.dtype);
  const bool converts = is_narrow_float(reduction.dtype);
  const BinaryLoop step = host_math::binary_loop(operation_of(reduction), wide);
  const BinaryLoop scale = reduction.factor == 1 ? nullptr : host_math::binary_loop(BinaryOp::mul_f, wide);
  BinaryLoop divide = nullptr;
  if (reduction.combiner == Combiner::average)
    divide = host_math::binary_loop(is_float(wide)          ? BinaryOp::div_f
                                    : reduction.is_unsigned ? BinaryOp::div_u
                                                            : BinaryOp::div_s,
                                    wide);
  const Number factor(reduction.factor, wide), ranks(static_cast<double>(parts.size()), wide);
  // Numbers that are combined as they are stored need no copy but where a result is still to be changed.
  const bool is_as_stored = !converts && scale == nullptr;
  alignas(64) std::array<std::byte, block * widest> sums;
  alignas(64) std::array<std::byte, block * widest> next;
  for (size_t first = 0; first < count; first += block) {
    const size_t length = std::min(block, count - first);
    const auto load = [&](const std::byte* part, std::byte* into) -> const std::byte* {
      const std::byte* from = part + first * element;
      if (is_as_stored) return from;
      converts ? host_math::convert_loop(reduction.dtype, wide)(into, from, length)
               : static_cast<void>(std::memcpy(into, from, length * element));
      if (scale != nullptr) scale(into, into, factor.bytes.data(), length, BinaryMode::vector_scalar);
      return into;
    };
    std::byte* to = result + first * element;
    const std::byte* sum = load(parts[0], sums.data());
    for (size_t part = 1; part < parts.size(); ++part) {
      // The result may lie where a part is, so that it is written when the last one has been read.
      const bool is_last = part + 1 == parts.size() && !converts && divide == nullptr;
      std::byte* into = is_last ? to : sums.data();
      step(into, sum, load(parts[part], next.data()), length, BinaryMode::vector_vector);
      sum = into;
    }
    if (divide != nullptr) {
      std::byte* into = converts ? sums.data() : to;
      divide(into, sum, ranks.bytes.data(), length, BinaryMode::vector_scalar);
      sum = into;
    }
    if (converts) {
      host_math::convert_loop(wide, reduction.dtype)(to, sum, length);
    } else if (sum != to) {
      std::memcpy(to, sum, length * element);
    }
  }
}

}  // namespace mtia::network
