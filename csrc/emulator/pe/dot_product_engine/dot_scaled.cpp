// The instruction dot_scaled: operands in MX formats, whose scaled numbers the engine multiplies as bf16, which holds
// them exactly within its range (docs/numerics.md).
#include <array>
#include <cstring>

#include "base/bit_patterns.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/dot_product_engine/dot_sums.h"
#include "host_math/dot.h"

namespace mtia::emulator {
namespace {

constexpr std::array<float, 16> e2m1 = {0.F,  0.5F,  1.F,  1.5F,  2.F,  3.F,  4.F,  6.F,
                                        -0.F, -0.5F, -1.F, -1.5F, -2.F, -3.F, -4.F, -6.F};

constexpr float scale_from_exponent(uint8_t exponent) {
  if (exponent == 255) return float_of_bits(0x7FC00000U);
  return float_of_bits(exponent == 0 ? 0x00400000U : static_cast<uint32_t>(exponent) << 23);
}

// Number of each byte of a type.
using Numbers = std::array<float, 256>;
template <typename Function>
constexpr Numbers make_numbers(Function of) {
  Numbers numbers{};
  for (size_t byte = 0; byte < numbers.size(); ++byte) numbers[byte] = of(static_cast<uint8_t>(byte));
  return numbers;
}
constexpr Numbers exponents = make_numbers(scale_from_exponent);
constexpr Numbers f8e4m3 = make_numbers(f32_from_f8e4m3);
constexpr Numbers f8e5m2 = make_numbers(f32_from_f8e5m2);
constexpr Numbers low_halves = make_numbers([](uint8_t byte) { return e2m1[byte & 15U]; });
constexpr Numbers high_halves = make_numbers([](uint8_t byte) { return e2m1[byte >> 4U]; });

const Numbers& numbers_of(DType dtype) { return dtype == DType::F8E5M2 ? f8e5m2 : f8e4m3; }
const Numbers& scales_of(DType dtype) { return dtype == DType::I8 ? exponents : f8e4m3; }

struct ScaledDotDetail {
  struct Operand {
    Place place;
    DType dtype = DType::I8;
    Place scale;
    DType scale_dtype = DType::I8;
    int64_t groups = 0;  // along k; 0: no scales
    size_t scratch = 0;  // where its bf16 goes
  };
  Operand a;
  Operand b;
  DotSums sums;
  int64_t k = 1;
  size_t factors = 0;  // scratch for a row of scales of b
};

uint16_t scaled(float number, float factor) { return bf16_from_f32(number * factor); }

// a[m, k], as [m, k / 2] bytes where it is e2m1, with scales [m, groups].
void scale_rows(const ScaledDotDetail::Operand& operand, uint16_t* to, const uint8_t* from, const uint8_t* scales,
                int64_t rows, int64_t k) {
  const int64_t groups = std::max<int64_t>(operand.groups, 1);
  const int64_t group = k / groups;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      const float factor = operand.groups == 0 ? 1.F : scales_of(operand.scale_dtype)[scales[row * groups + g]];
      uint16_t* target = to + row * k + g * group;
      if (operand.dtype == DType::I8) {
        const uint8_t* source = from + (row * k + g * group) / 2;
        for (int64_t i = 0; i < group; ++i)
          target[i] = scaled((i % 2 == 0 ? low_halves : high_halves)[source[i / 2]], factor);
      } else {
        const Numbers& numbers = numbers_of(operand.dtype);
        const uint8_t* source = from + row * k + g * group;
        for (int64_t i = 0; i < group; ++i) target[i] = scaled(numbers[source[i]], factor);
      }
    }
  }
}

// b[k, n], as [k / 2, n] bytes where it is e2m1, with scales [n, groups].
void scale_columns(const ScaledDotDetail::Operand& operand, uint16_t* to, const uint8_t* from, const uint8_t* scales,
                   float* factors, int64_t k, int64_t n) {
  const int64_t groups = std::max<int64_t>(operand.groups, 1);
  const int64_t group = k / groups;
  const bool halves = operand.dtype == DType::I8;
  for (int64_t p = 0; p < k; ++p) {
    if (p % group == 0) {
      for (int64_t j = 0; j < n; ++j)
        factors[j] = operand.groups == 0 ? 1.F : scales_of(operand.scale_dtype)[scales[j * groups + p / group]];
    }
    const Numbers& numbers = !halves ? numbers_of(operand.dtype) : p % 2 == 0 ? low_halves : high_halves;
    const uint8_t* source = from + (halves ? p / 2 : p) * n;
    for (int64_t j = 0; j < n; ++j) to[p * n + j] = scaled(numbers[source[j]], factors[j]);
  }
}

const Op* run_dot_scaled(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const ScaledDotDetail*>(op->detail);
  std::byte* d = detail.sums.begin(frame);
  const auto at = [&](Place place, int64_t bytes) { return reinterpret_cast<const uint8_t*>(frame.at(place)) + bytes; };
  const auto in_scratch = [&](size_t offset) { return reinterpret_cast<uint16_t*>(frame.scratch + offset); };
  auto* factors = reinterpret_cast<float*>(frame.scratch + detail.factors);
  uint16_t* a = in_scratch(detail.a.scratch);
  uint16_t* b = in_scratch(detail.b.scratch);
  const int64_t m = detail.sums.m;
  const int64_t n = detail.sums.n;
  const int64_t k = detail.k;
  for (int64_t batch = 0; batch < detail.sums.batch; ++batch) {
    const auto operand = [&](const ScaledDotDetail::Operand& of, int64_t rows) {
      return at(of.place, batch * rows * k / (of.dtype == DType::I8 ? 2 : 1));
    };
    const auto scales = [&](const ScaledDotDetail::Operand& of, int64_t rows) {
      return at(of.scale, batch * rows * of.groups);
    };
    scale_rows(detail.a, a, operand(detail.a, m), scales(detail.a, m), m, k);
    scale_columns(detail.b, b, operand(detail.b, n), scales(detail.b, n), factors, k, n);
    const host_math::Matrix sums{d + batch * m * n * static_cast<int64_t>(sizeof(float)), n, 1};
    host_math::dot(DType::BF16, sums, {a, k, 1}, {b, n, 1}, static_cast<size_t>(m), static_cast<size_t>(n),
                   static_cast<size_t>(k), detail.sums.accumulate);
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

}  // namespace

void decode_dot_scaled(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  auto* detail = decoder.loaded.details.make<ScaledDotDetail>();
  detail->sums = decode_sums(decoder, instruction);
  const Value& left = decoder.value(instruction.operands[0]);
  const size_t columns = left.rank - 1U;
  detail->k = static_cast<int64_t>(left.dims[columns]) * (left.dtype == DType::I8 ? 2 : 1);
  size_t scratch = 0;
  const auto set_aside = [&](int64_t bytes) {
    const size_t at = scratch;
    scratch += (static_cast<size_t>(bytes) + 63) / 64 * 64;
    return at;
  };
  std::array<ScaleGroups, 2> scales;
  for (const size_t o : {size_t{0}, size_t{1}}) {
    ScaledDotDetail::Operand& operand = o == 0 ? detail->a : detail->b;
    operand.place = decoder.place(instruction.operands[o]);
    operand.dtype = decoder.value(instruction.operands[o]).dtype;
    operand.scratch = set_aside(2 * detail->k * (o == 0 ? detail->sums.m : detail->sums.n));
    const uint32_t scale = Decoder::operand(instruction, 3 + o);
    if (scale == absent) continue;
    operand.scale = decoder.place(scale);
    operand.scale_dtype = decoder.value(scale).dtype;
    operand.groups = decoder.value(scale).dims[columns];
    scales[o] = {operand.scale_dtype, static_cast<uint64_t>(detail->k / operand.groups)};
  }
  detail->factors = set_aside(detail->sums.n * static_cast<int64_t>(sizeof(float)));
  decoder.need_scratch(scratch);
  Tick& tick = decoder.make_tick(index);
  decoder.costs.dot_scaled(tick, detail->a.dtype, detail->b.dtype, scales, static_cast<uint64_t>(detail->sums.batch),
                           static_cast<uint64_t>(detail->sums.m), static_cast<uint64_t>(detail->sums.n),
                           static_cast<uint64_t>(detail->k), decoder.local_bytes(instruction));
  if (detail->sums.stay()) tick.latency = 0;
  Op& op = decoder.emit(run_dot_scaled, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
