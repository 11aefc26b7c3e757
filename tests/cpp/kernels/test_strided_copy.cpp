// The kernels strided_copy, strided_fill and random.
#include "kernels/cpp/strided_copy.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "host_math/elementwise.h"
#include "host_math/samples.h"
#include "kernels/cpp/random.h"
#include "kernels/kernel_launch.h"
#include "test.h"

namespace mtia::kernels {
namespace {

using test::kernel_chips;
using test::Machine;
using test::run_kernel;

// Copies through the kernel and through plain loops; the rest of the destination must keep its poison.
void check_copy(Machine& machine, const std::vector<int64_t>& shape, const std::vector<int64_t>& destination,
                const std::vector<int64_t>& source) {
  StridedCopyArguments arguments;
  arguments.rank = static_cast<uint32_t>(shape.size());
  int64_t elements = 1;
  int64_t source_extent = 1;
  int64_t destination_extent = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    arguments.shape[i] = shape[i];
    arguments.destination_strides[i] = destination[i];
    arguments.source_strides[i] = source[i];
    elements *= shape[i];
    source_extent += (shape[i] - 1) * source[i];
    destination_extent += (shape[i] - 1) * destination[i];
  }
  std::vector<float> values(static_cast<size_t>(source_extent));
  std::iota(values.begin(), values.end(), 1.0F);
  std::vector<float> expected(static_cast<size_t>(destination_extent), -5.0F);
  arguments.source = machine.put(values);
  arguments.destination = machine.put(expected);
  for (int64_t e = 0; e < elements; ++e) {
    int64_t rest = e;
    int64_t from = 0;
    int64_t to = 0;
    for (size_t i = shape.size(); i-- > 0;) {
      from += rest % shape[i] * source[i];
      to += rest % shape[i] * destination[i];
      rest /= shape[i];
    }
    expected[static_cast<size_t>(to)] = values[static_cast<size_t>(from)];
  }
  run_kernel(machine, "strided_copy", arguments);
  const std::vector<float> got = machine.get<float>(arguments.destination, expected.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK_EQ(got[i], expected[i]);
}

TEST("copies of any strides") {
  for (const ChipSpec& chip : kernel_chips()) {
    Machine machine(2, chip);
    check_copy(machine, {}, {}, {});
    check_copy(machine, {20'000}, {1}, {1});
    check_copy(machine, {300}, {3}, {2});
    check_copy(machine, {70, 133}, {133, 1}, {1, 70});                           // a transpose
    check_copy(machine, {5, 70, 9}, {630, 9, 1}, {630, 1, 70});                  // a transpose of the last two
    check_copy(machine, {3, 40, 4, 16}, {2560, 64, 16, 1}, {2560, 16, 640, 1});  // heads and positions exchanged
    check_copy(machine, {37, 50}, {50, 1}, {0, 1});                              // a repeated row
    check_copy(machine, {37, 50}, {50, 1}, {1, 0});                              // a repeated column
    check_copy(machine, {2, 3, 4, 5}, {200, 60, 14, 2}, {1, 2, 6, 24});
    check_copy(machine, {6, 5, 4, 3, 2, 2}, {240, 48, 12, 4, 2, 1}, {1, 6, 30, 120, 360, 720});
    check_copy(machine, {33, 2, 70}, {1, 33, 66}, {140, 70, 1});
  }
}

template <typename From, typename To>
void check_conversion(DType from, bool from_unsigned, DType to, bool to_unsigned, const std::vector<From>& values,
                      const std::vector<To>& expected) {
  Machine machine;
  StridedCopyArguments arguments;
  arguments.rank = 1;
  arguments.shape[0] = static_cast<int64_t>(values.size());
  arguments.destination_strides[0] = arguments.source_strides[0] = 1;
  arguments.source_dtype = from;
  arguments.source_is_unsigned = from_unsigned;
  arguments.destination_dtype = to;
  arguments.destination_is_unsigned = to_unsigned;
  arguments.source = machine.put(values);
  arguments.destination = machine.put(std::vector<To>(values.size(), To(77)));
  run_kernel(machine, "strided_copy", arguments);
  const std::vector<To> got = machine.get<To>(arguments.destination, values.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK_EQ(got[i], expected[i]);
}

TEST("numbers convert as in torch") {
  check_conversion<float, uint8_t>(DType::F32, false, DType::I8, true, {-1.0F, 300.0F, 2.9F, 0.0F}, {255, 44, 2, 0});
  check_conversion<float, uint8_t>(DType::F32, false, DType::I1, false, {-1.0F, 0.0F, 1e-30F, std::nanf("")},
                                   {1, 0, 1, 1});
  check_conversion<int64_t, uint8_t>(DType::I64, false, DType::I1, false, {2, 0, INT64_MIN, -1}, {1, 0, 1, 1});
  check_conversion<uint8_t, float>(DType::I8, true, DType::F32, false, {200, 0, 255}, {200.0F, 0.0F, 255.0F});
  check_conversion<uint8_t, float>(DType::I8, false, DType::F32, false, {200, 0, 255}, {-56.0F, 0.0F, -1.0F});
  check_conversion<uint8_t, float>(DType::I1, false, DType::F32, false, {1, 0}, {1.0F, 0.0F});
  check_conversion<uint8_t, int64_t>(DType::I1, false, DType::I64, false, {1, 0}, {1, 0});
  check_conversion<uint8_t, int64_t>(DType::I8, true, DType::I64, false, {200, 1}, {200, 1});
  check_conversion<int64_t, int32_t>(DType::I64, false, DType::I32, false, {-1, 1LL << 33, 5}, {-1, 0, 5});
  check_conversion<float, uint16_t>(DType::F32, false, DType::BF16, false, {1.00390625F, -2.0F}, {0x3F80, 0xC000});
  check_conversion<double, float>(DType::F64, false, DType::F32, false, {1e300, 0.1},
                                  {std::numeric_limits<float>::infinity(), 0.1F});
}

TEST("copies that convert and rearrange at once") {
  const std::vector<std::vector<int64_t>> source_strides{{40, 1}, {1, 30}, {0, 1}, {1, 0}, {3, 100}};
  for (const ChipSpec& chip : kernel_chips()) {
    for (const auto& strides : source_strides) {
      Machine machine(2, chip);
      StridedCopyArguments arguments;
      arguments.rank = 2;
      arguments.shape[0] = 30;
      arguments.shape[1] = 40;
      arguments.destination_strides[0] = 40;
      arguments.destination_strides[1] = 1;
      arguments.source_strides[0] = strides[0];
      arguments.source_strides[1] = strides[1];
      arguments.destination_dtype = DType::BF16;
      std::vector<float> values(4000);
      std::iota(values.begin(), values.end(), 0.5F);
      arguments.source = machine.put(values);
      arguments.destination = machine.put(std::vector<uint16_t>(30 * 40, 0x7F7F));
      run_kernel(machine, "strided_copy", arguments);
      const std::vector<uint16_t> got = machine.get<uint16_t>(arguments.destination, 30 * 40);
      for (int64_t i = 0; i < 30; ++i) {
        for (int64_t j = 0; j < 40; ++j) {
          const float exact = values[static_cast<size_t>(i * strides[0] + j * strides[1])];
          CHECK_EQ(got[static_cast<size_t>(i * 40 + j)], bf16_from_f32(exact));
        }
      }
    }
  }
}

TEST("fills leave the gaps alone") {
  for (const ChipSpec& chip : kernel_chips()) {
    Machine machine(2, chip);
    std::vector<int16_t> expected(40 * 200, 7);
    StridedFillArguments arguments;
    arguments.rank = 2;
    arguments.shape[0] = 40;
    arguments.shape[1] = 150;
    arguments.strides[0] = 200;
    arguments.strides[1] = 1;
    arguments.dtype = DType::I16;
    arguments.bits = 0xFFFE;
    arguments.destination = machine.put(expected);
    run_kernel(machine, "strided_fill", arguments);
    for (size_t i = 0; i < 40; ++i) std::fill_n(expected.begin() + static_cast<ptrdiff_t>(i) * 200, 150, int16_t{-2});
    CHECK(machine.get<int16_t>(arguments.destination, expected.size()) == expected);
  }
}

struct Moments {
  double mean = 0;
  double variance = 0;
  double least = 1e300;
  double greatest = -1e300;
};

Moments moments_of(DType dtype, const RandomArguments& settings, std::vector<std::byte>* bytes = nullptr,
                   const ChipSpec& chip = test::small_chip()) {
  Machine machine(2, chip);
  RandomArguments arguments = settings;
  arguments.dtype = dtype;
  const auto n = static_cast<size_t>(arguments.count);
  arguments.destination = machine.put(std::vector<std::byte>(n * size_of(dtype), std::byte{0x7F}));
  run_kernel(machine, "random", arguments);
  const std::vector<std::byte> result = machine.get<std::byte>(arguments.destination, n * size_of(dtype));
  if (bytes != nullptr) *bytes = result;
  Moments moments;
  double squares = 0;
  for (size_t i = 0; i < n; ++i) {
    double value = 0;
    if (is_float(dtype)) {
      value = test::to_double(dtype, result.data() + i * size_of(dtype));
    } else {
      host_math::convert_loop(dtype, DType::F64, {.is_unsigned = dtype == DType::I1})(
          &value, result.data() + i * size_of(dtype), 1);
    }
    moments.mean += value / static_cast<double>(n);
    squares += value * value / static_cast<double>(n);
    moments.least = std::min(moments.least, value);
    moments.greatest = std::max(moments.greatest, value);
  }
  moments.variance = squares - moments.mean * moments.mean;
  return moments;
}

TEST("distributions have their moments in every dtype") {
  constexpr int64_t n = 40'001;
  for (const DType dtype : {DType::F32, DType::F64, DType::BF16, DType::F16}) {
    const Moments uniform =
        moments_of(dtype, {.count = n, .seed = 1, .a = -1, .b = 3, .distribution = Distribution::uniform});
    CHECK_NEAR(uniform.mean, 1, 0.03);
    CHECK_NEAR(uniform.variance, 16.0 / 12, 0.03);
    CHECK(uniform.least >= -1 && uniform.greatest <= 3);
    const Moments normal =
        moments_of(dtype, {.count = n, .seed = 2, .a = 1, .b = 2, .distribution = Distribution::normal});
    CHECK_NEAR(normal.mean, 1, 0.04);
    CHECK_NEAR(normal.variance, 4, 0.12);
    const Moments exponential =
        moments_of(dtype, {.count = n, .seed = 3, .a = 0.5, .distribution = Distribution::exponential});
    CHECK_NEAR(exponential.mean, 2, 0.05);
    CHECK(exponential.least >= 0);
    const Moments bernoulli =
        moments_of(dtype, {.count = n, .seed = 4, .a = 0.3, .distribution = Distribution::bernoulli});
    CHECK_NEAR(bernoulli.mean, 0.3, 0.01);
    CHECK(bernoulli.least == 0 && bernoulli.greatest == 1);
  }
  for (const DType dtype : {DType::I64, DType::I32, DType::I8, DType::F32}) {
    const Moments integers = moments_of(
        dtype, {.count = n, .seed = 5, .integer_low = -3, .integer_range = 10, .distribution = Distribution::integer});
    CHECK_NEAR(integers.mean, 1.5, 0.06);
    CHECK(integers.least == -3 && integers.greatest == 6);
  }
  const Moments wide = moments_of(
      DType::I64, {.count = n, .seed = 6, .integer_range = 1ULL << 40, .distribution = Distribution::integer});
  CHECK_NEAR(wide.mean * 0x1p-40, 0.5, 0.01);
  CHECK(wide.least >= 0 && wide.greatest < 0x1p40);
  const Moments flags =
      moments_of(DType::I1, {.count = n, .seed = 7, .a = 0.9, .distribution = Distribution::bernoulli});
  CHECK_NEAR(flags.mean, 0.9, 0.01);
}

TEST("random numbers depend on seed and offset alone, and an offset continues the sequence") {
  std::vector<std::byte> first;
  std::vector<std::byte> again;
  const RandomArguments settings{.count = 5000, .seed = 9, .offset = 100, .distribution = Distribution::normal};
  moments_of(DType::F32, settings, &first);
  for (const ChipSpec& chip : kernel_chips()) {
    moments_of(DType::F32, settings, &again, chip);
    CHECK(first == again);
  }
  RandomArguments later = settings;
  later.offset = 101;
  later.count = 4996;
  moments_of(DType::F32, later, &again);
  CHECK(std::equal(again.begin(), again.end(), first.begin() + 16));
  later.seed = 10;
  moments_of(DType::F32, later, &again);
  CHECK(!std::equal(again.begin(), again.end(), first.begin() + 16));
}

}  // namespace
}  // namespace mtia::kernels
