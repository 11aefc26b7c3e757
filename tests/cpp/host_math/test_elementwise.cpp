// Accuracy of the float functions against the C library in double, and integer operations against plain arithmetic.
#include "host_math/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "samples.h"
#include "test.h"

namespace mtia::host_math {
namespace {

using test::RandomBits;

struct Accuracy {
  UnaryOp op;
  double (*reference)(double);
  double low;
  double high;
  double ulp;  // documented in docs/numerics.md
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double rsqrt(double x) { return 1 / std::sqrt(x); }
double reciprocal(double x) { return 1 / x; }

const std::vector<Accuracy>& accuracies() {
  static const std::vector<Accuracy> rows{
      {UnaryOp::exp, std::exp, -104, 89, 1.0},
      {UnaryOp::exp2, std::exp2, -150, 128, 1.0},
      {UnaryOp::expm1, std::expm1, -20, 89, 2.0},
      {UnaryOp::expm1, std::expm1, -1, 1, 2.0},
      {UnaryOp::log, std::log, 0, 3, 1.0},
      {UnaryOp::log, std::log, 0, 1e30, 1.0},
      {UnaryOp::log2, std::log2, 0, 3, 1.5},
      {UnaryOp::log2, std::log2, 0, 1e30, 1.5},
      {UnaryOp::log10, std::log10, 0, 3, 2.0},
      {UnaryOp::log10, std::log10, 0, 1e30, 2.0},
      {UnaryOp::log1p, std::log1p, -1, 1, 1.5},
      {UnaryOp::log1p, std::log1p, 0, 1e30, 1.5},
      {UnaryOp::sin, std::sin, -10, 10, 1.5},
      {UnaryOp::sin, std::sin, -1e14, 1e14, 1.5},
      {UnaryOp::cos, std::cos, -10, 10, 1.5},
      {UnaryOp::cos, std::cos, -1e16, 1e16, 1.5},
      {UnaryOp::tan, std::tan, -10, 10, 0.51},
      {UnaryOp::tanh, std::tanh, -11, 11, 3.0},
      {UnaryOp::sigmoid, sigmoid, -90, 90, 3.0},
      {UnaryOp::erf, std::erf, -5, 5, 1.5},
      {UnaryOp::erfc, std::erfc, -5, 9, 0.51},
      {UnaryOp::rsqrt, rsqrt, 0, 100, 1.5},
      {UnaryOp::sqrt, std::sqrt, 0, 100, 0.5},
      {UnaryOp::reciprocal, reciprocal, -9, 9, 0.5},
      {UnaryOp::cbrt, std::cbrt, -100, 100, 0.51},
      {UnaryOp::asin, std::asin, -1, 1, 0.51},
      {UnaryOp::acos, std::acos, -1, 1, 0.51},
      {UnaryOp::atan, std::atan, -100, 100, 0.51},
      {UnaryOp::sinh, std::sinh, -80, 80, 0.51},
      {UnaryOp::cosh, std::cosh, -80, 80, 0.51},
      {UnaryOp::asinh, std::asinh, -80, 80, 0.51},
      {UnaryOp::acosh, std::acosh, 1, 80, 0.51},
      {UnaryOp::atanh, std::atanh, -1, 1, 0.51},
      {UnaryOp::lgamma, std::lgamma, 0.1, 80, 0.51},
      {UnaryOp::floor, std::floor, -100, 100, 0},
      {UnaryOp::ceil, std::ceil, -100, 100, 0},
      {UnaryOp::trunc, std::trunc, -100, 100, 0},
      {UnaryOp::round_even, std::nearbyint, -100, 100, 0},
      {UnaryOp::neg_f, [](double x) { return -x; }, -9, 9, 0},
      {UnaryOp::abs_f, std::fabs, -9, 9, 0},
  };
  return rows;
}

// |got - exact| in units of the last place of the float32 nearest to exact.
double error_in_ulp(float got, double exact) {
  const auto nearest = static_cast<float>(exact);
  if (std::isnan(exact)) return std::isnan(got) ? 0 : 1e9;
  if (std::isinf(nearest) || std::isinf(got)) return got == nearest ? 0 : 1e9;
  int exponent = 0;
  std::frexp(nearest, &exponent);
  const double place = std::ldexp(1.0, std::max(exponent - 24, -149));
  return std::fabs(static_cast<double>(got) - exact) / place;
}

TEST("float32 functions stay within their bounds of the C library's double") {
  constexpr size_t n = 4000;
  std::string failures;
  for (const Accuracy& row : accuracies()) {
    RandomBits random(static_cast<uint64_t>(row.op) + 7);
    std::vector<float> input(n);
    std::vector<float> output(n, 777.0F);
    for (size_t i = 0; i < n; ++i) {
      const double value = random.uniform(row.low, row.high);
      // Half of the inputs are spread evenly, half over magnitudes.
      input[i] = static_cast<float>(i % 2 == 0 ? value : value * std::exp2(-random.uniform(0, 30)));
      if (input[i] < row.low || input[i] > row.high) input[i] = static_cast<float>(value);
    }
    unary_loop(row.op, DType::F32)(output.data(), input.data(), n);
    double worst = 0;
    float where = 0;
    for (size_t i = 0; i < n; ++i) {
      const double error = error_in_ulp(output[i], row.reference(input[i]));
      if (error > worst) {
        worst = error;
        where = input[i];
      }
    }
    if (std::getenv("MTIA_PRINT_ULP") != nullptr) {
      std::printf("%-10s [%g, %g] %.3f ulp (bound %.2f)\n", std::string(name_of(row.op)).c_str(), row.low, row.high,
                  worst, row.ulp);
    }
    if (worst > row.ulp) {
      failures += concat(name_of(row.op), "(", where, "): ", worst, " ulp, bound ", row.ulp, "\n");
    }
  }
  CHECK_EQ(failures, std::string());
}

TEST("float32 functions of special values") {
  const std::vector<float> input = test::special_floats();
  std::string failures;
  for (const Accuracy& row : accuracies()) {
    std::vector<float> output(input.size(), 777.0F);
    unary_loop(row.op, DType::F32)(output.data(), input.data(), input.size());
    for (size_t i = 0; i < input.size(); ++i) {
      const double exact = row.reference(input[i]);
      const bool zero_sign_differs = exact == 0 && std::signbit(exact) != std::signbit(output[i]);
      if (error_in_ulp(output[i], exact) > row.ulp || zero_sign_differs) {
        failures += concat(name_of(row.op), "(", input[i], ") = ", output[i], ", expected ", exact, "\n");
      }
    }
  }
  CHECK_EQ(failures, std::string());
}

TEST("gelu is x times the normal distribution, to an absolute bound") {
  RandomBits random(3);
  for (int i = 0; i < 2000; ++i) {
    const auto x = static_cast<float>(random.uniform(-8, 8));
    float result = 777;
    unary_loop(UnaryOp::gelu, DType::F32)(&result, &x, 1);
    const double exact = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    CHECK_NEAR(result, exact, 2e-7 * std::max(1.0, std::fabs(exact)));
  }
}

TEST("pow agrees with the C library, limits and signs included") {
  std::vector<float> bases = test::special_floats();
  std::vector<float> exponents = test::special_floats();
  RandomBits random(5);
  for (int i = 0; i < 60; ++i) {
    bases.push_back(static_cast<float>(random.uniform(0, 10)));
    exponents.push_back(static_cast<float>(random.uniform(-20, 20)));
    bases.push_back(static_cast<float>(random.uniform(-10, 0)));
    exponents.push_back(static_cast<float>(static_cast<int>(random.uniform(-20, 20))));
  }
  for (const float base : bases) {
    for (const float exponent : exponents) {
      float result = 777;
      binary_loop(BinaryOp::pow_f, DType::F32)(&result, &base, &exponent, 1, BinaryMode::vector_vector);
      const double exact = std::pow(static_cast<double>(base), static_cast<double>(exponent));
      if (error_in_ulp(result, exact) > 0.51 || std::signbit(result) != std::signbit(exact)) {
        if (std::isnan(exact) && std::isnan(result)) continue;
        test::fail(__FILE__, __LINE__, concat("pow(", base, ", ", exponent, ") = ", result, ", expected ", exact));
      }
    }
  }
}

TEST("maxNum loses NaNs, maximum keeps them") {
  const float nan = std::nanf("");
  const float a[] = {1, nan, nan, 2};
  const float b[] = {nan, 1, nan, 3};
  float result[4];
  binary_loop(BinaryOp::max_f, DType::F32)(result, a, b, 4, BinaryMode::vector_vector);
  CHECK(result[0] == 1 && result[1] == 1 && std::isnan(result[2]) && result[3] == 3);
  binary_loop(BinaryOp::minimum_f, DType::F32)(result, a, b, 4, BinaryMode::vector_vector);
  CHECK(std::isnan(result[0]) && std::isnan(result[1]) && std::isnan(result[2]) && result[3] == 2);
}

template <typename Signed>
Signed integer_reference(BinaryOp op, Signed a, Signed b) {
  using Unsigned = std::make_unsigned_t<Signed>;
  using Wide = __int128;
  const auto ua = static_cast<Unsigned>(a);
  const auto ub = static_cast<Unsigned>(b);
  const int width = 8 * static_cast<int>(sizeof(Signed));
  switch (op) {
    case BinaryOp::add_i:
      return static_cast<Signed>(static_cast<Wide>(a) + b);
    case BinaryOp::sub_i:
      return static_cast<Signed>(static_cast<Wide>(a) - b);
    case BinaryOp::mul_i:
      return static_cast<Signed>(static_cast<Wide>(a) * b);
    case BinaryOp::div_s:
      return b == 0 ? Signed{-1} : static_cast<Signed>(static_cast<Wide>(a) / b);
    case BinaryOp::div_u:
      return b == 0 ? Signed{-1} : static_cast<Signed>(ua / ub);
    case BinaryOp::rem_s:
      return b == 0 ? a : static_cast<Signed>(static_cast<Wide>(a) % b);
    case BinaryOp::rem_u:
      return b == 0 ? a : static_cast<Signed>(ua % ub);
    case BinaryOp::max_s:
      return std::max(a, b);
    case BinaryOp::max_u:
      return static_cast<Signed>(std::max(ua, ub));
    case BinaryOp::min_s:
      return std::min(a, b);
    case BinaryOp::min_u:
      return static_cast<Signed>(std::min(ua, ub));
    case BinaryOp::and_i:
      return static_cast<Signed>(a & b);
    case BinaryOp::or_i:
      return static_cast<Signed>(a | b);
    case BinaryOp::xor_i:
      return static_cast<Signed>(a ^ b);
    case BinaryOp::shl:
      return ub >= static_cast<Unsigned>(width) ? Signed{0} : static_cast<Signed>(static_cast<Wide>(ua) << ub);
    case BinaryOp::shr_s:
      return static_cast<Signed>(a >> std::min<Unsigned>(ub, static_cast<Unsigned>(width - 1)));
    case BinaryOp::shr_u:
      return ub >= static_cast<Unsigned>(width) ? Signed{0} : static_cast<Signed>(ua >> ub);
    case BinaryOp::mulhi_u:
      return static_cast<Signed>((static_cast<unsigned __int128>(ua) * ub) >> width);
    case BinaryOp::mulhi_s:
      return static_cast<Signed>((static_cast<Wide>(a) * b) >> width);
    default:
      return 0;
  }
}

template <typename Signed>
void check_integers(DType dtype) {
  constexpr size_t n = 1500;
  const std::vector<std::byte> left = test::sample(dtype, n, 1);
  const std::vector<std::byte> right = test::sample(dtype, n, 2);
  const auto* a = reinterpret_cast<const Signed*>(left.data());
  const auto* b = reinterpret_cast<const Signed*>(right.data());
  for (size_t op = static_cast<size_t>(BinaryOp::add_i); op < binary_op_count; ++op) {
    std::vector<Signed> result(n, 77);
    binary_loop(static_cast<BinaryOp>(op), dtype)(result.data(), a, b, n, BinaryMode::vector_vector);
    for (size_t i = 0; i < n; ++i) {
      const Signed expected = integer_reference(static_cast<BinaryOp>(op), a[i], b[i]);
      if (result[i] != expected) {
        test::fail(__FILE__, __LINE__,
                   concat(name_of(static_cast<BinaryOp>(op)), " ", name_of(dtype), "(", +a[i], ", ", +b[i],
                          ") = ", +result[i], ", expected ", +expected));
      }
    }
  }
}

TEST("integer operations wrap and division never traps") {
  check_integers<int8_t>(DType::I8);
  check_integers<int16_t>(DType::I16);
  check_integers<int32_t>(DType::I32);
  check_integers<int64_t>(DType::I64);
}

TEST("narrow floats convert as base/bit_patterns.h") {
  std::vector<uint16_t> patterns(65536);
  std::vector<float> wide(65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  const auto check = [&](float got, float expected, size_t i) {
    if (bits_of_float(got) != bits_of_float(expected))
      test::fail(__FILE__, __LINE__, concat("pattern ", i, ": ", got, ", expected ", expected));
  };
  convert_loop(DType::F16, DType::F32)(wide.data(), patterns.data(), 65536);
  for (size_t i = 0; i < 65536; ++i) check(wide[i], f32_from_f16(patterns[i]), i);
  convert_loop(DType::BF16, DType::F32)(wide.data(), patterns.data(), 65536);
  for (size_t i = 0; i < 65536; ++i) check(wide[i], f32_from_bf16(patterns[i]), i);
  std::vector<uint8_t> bytes(256);
  for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(i);
  convert_loop(DType::F8E4M3, DType::F32)(wide.data(), bytes.data(), 256);
  for (size_t i = 0; i < 256; ++i) check(wide[i], f32_from_f8e4m3(bytes[i]), i);
  convert_loop(DType::F8E5M2, DType::F32)(wide.data(), bytes.data(), 256);
  for (size_t i = 0; i < 256; ++i) check(wide[i], f32_from_f8e5m2(bytes[i]), i);

  RandomBits random(11);
  constexpr size_t n = 100'000;
  std::vector<float> values(n);
  for (float& value : values) {
    const uint64_t bits = random.next();
    // Mostly exponents near the formats' ranges, with ties.
    value = float_of_bits(bits % 4 == 0 ? static_cast<uint32_t>(bits >> 32)
                                        : static_cast<uint32_t>((95 + (bits >> 8) % 55) << 23 |
                                                                ((bits >> 20) % 4096) << 11 | (bits & 0x80000000U)));
  }
  std::vector<uint16_t> halves(n);
  convert_loop(DType::F32, DType::F16)(halves.data(), values.data(), n);
  for (size_t i = 0; i < n; ++i) CHECK_EQ(halves[i], f16_from_f32(values[i]));
  convert_loop(DType::F32, DType::BF16)(halves.data(), values.data(), n);
  for (size_t i = 0; i < n; ++i) CHECK_EQ(halves[i], bf16_from_f32(values[i]));
  std::vector<uint8_t> eighths(n);
  convert_loop(DType::F32, DType::F8E4M3)(eighths.data(), values.data(), n);
  for (size_t i = 0; i < n; ++i) CHECK_EQ(eighths[i], f8e4m3_from_f32(values[i]));
  convert_loop(DType::F32, DType::F8E5M2)(eighths.data(), values.data(), n);
  for (size_t i = 0; i < n; ++i) CHECK_EQ(eighths[i], f8e5m2_from_f32(values[i]));
}

TEST("conversions: saturation, sign and rounding") {
  const float floats[] = {-1.5F, 3e9F, -3e9F, std::nanf(""), 1e20F, 300.0F, 0.99F, -0.5F};
  int32_t ints[8];
  convert_loop(DType::F32, DType::I32)(ints, floats, 8);
  const int32_t expected[] = {-1, INT32_MAX, INT32_MIN, 0, INT32_MAX, 300, 0, 0};
  for (int i = 0; i < 8; ++i) CHECK_EQ(ints[i], expected[i]);
  uint32_t unsigned_ints[8];
  convert_loop(DType::F32, DType::I32, {.is_unsigned = true})(unsigned_ints, floats, 8);
  const uint32_t expected_unsigned[] = {0, 3'000'000'000U, 0, 0, UINT32_MAX, 300, 0, 0};
  for (int i = 0; i < 8; ++i) CHECK_EQ(unsigned_ints[i], expected_unsigned[i]);
  uint8_t bools[8];
  convert_loop(DType::F32, DType::I1)(bools, floats, 8);
  for (int i = 0; i < 8; ++i) CHECK_EQ(bools[i], 1);
  const uint8_t truths[] = {0, 1};
  int32_t signed_truths[2];
  convert_loop(DType::I1, DType::I32)(signed_truths, truths, 2);
  CHECK(signed_truths[0] == 0 && signed_truths[1] == -1);
  const int64_t big = -3'000'000'001;
  float rounded = 0;
  convert_loop(DType::I64, DType::F32)(&rounded, &big, 1);
  CHECK_EQ(rounded, static_cast<float>(big));
  // 1 + 2^-8 + 2^-40 lies above the tie of bf16: rounding through float32 first would lose that.
  const double above_tie = 1.0 + 0x1p-8 + 0x1p-40;
  uint16_t half = 0;
  convert_loop(DType::F64, DType::BF16)(&half, &above_tie, 1);
  CHECK_EQ(half, 0x3F81);
  const float value = -1.999F;
  convert_loop(DType::F32, DType::BF16, {.rounding = Rounding::toward_zero})(&half, &value, 1);
  CHECK_EQ(f32_from_bf16(half), -1.9921875F);
}

TEST("select, clamp and fma with scalar operands") {
  const uint8_t condition[] = {1, 0, 1};
  const float a[] = {1, 2, 3};
  const float zero = 0;
  float result[3];
  select_loop(DType::F32)(result, condition, a, &zero, 3, scalar_c);
  CHECK(result[0] == 1 && result[1] == 0 && result[2] == 3);
  const float low = 1.5F;
  const float high = 2.5F;
  ternary_loop(TernaryOp::clamp_f, DType::F32)(result, a, &low, &high, 3, scalar_b | scalar_c);
  CHECK(result[0] == 1.5F && result[1] == 2 && result[2] == 2.5F);
  const float almost = 1.0F + 0x1p-23F;
  const float minus_one = -1;
  ternary_loop(TernaryOp::fma_f, DType::F32)(result, &almost, &almost, &minus_one, 3, scalar_a | scalar_b | scalar_c);
  CHECK_EQ(result[2], static_cast<float>(0x1p-22 + 0x1p-46));
}

}  // namespace
}  // namespace mtia::host_math
