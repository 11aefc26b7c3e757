// The kernel gemm against float64 for every layout, edge, dtype and epilogue, on chips of different local memory.
#include "kernels/cpp/gemm.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "host_math/dot.h"
#include "host_math/samples.h"
#include "kernels/kernel_launch.h"
#include "test.h"

namespace mtia::kernels {
namespace {

using test::kernel_chips;
using test::Machine;
using test::RandomBits;

// Values of a dtype, and the same as doubles after rounding to it.
struct Values {
  std::vector<std::byte> bytes;
  std::vector<double> exact;
};

Values random_values(DType dtype, size_t n, uint64_t seed) {
  RandomBits random(seed);
  Values values{std::vector<std::byte>(n * size_of(dtype)), std::vector<double>(n)};
  for (size_t i = 0; i < n; ++i) {
    const double value = random.uniform(-1, 1);
    const auto single = static_cast<float>(value);
    const uint64_t bits = dtype == DType::F64    ? std::bit_cast<uint64_t>(value)
                          : dtype == DType::F32  ? bits_of_float(single)
                          : dtype == DType::F16  ? f16_from_f32(single)
                          : dtype == DType::BF16 ? bf16_from_f32(single)
                                                 : f8e5m2_from_f32(single);
    std::memcpy(values.bytes.data() + i * size_of(dtype), &bits, size_of(dtype));
    values.exact[i] = test::to_double(dtype, values.bytes.data() + i * size_of(dtype));
  }
  return values;
}

double bound(DType dtype) {
  return dtype == DType::F64 ? 1e-13 : dtype == DType::F32 ? 2e-6 : dtype == DType::F16 ? 2e-3 : 1e-2;
}

struct Case {
  int64_t m;
  int64_t n;
  int64_t k;
  DType dtype = DType::F32;
  DType c_dtype = DType::F32;
  bool transposed_a = false;
  bool transposed_b = false;
  bool transposed_c = false;
  int64_t batches = 1;
  double alpha = 1;
  double beta = 1;
  int addend = 0;  // 1: a row (bias), 2: a matrix, 3: a column
};

void check(const ChipSpec& chip, const Case& x) {
  Machine machine(2, chip);
  const auto product = [](int64_t a, int64_t b, int64_t c) { return static_cast<size_t>(a * b * c); };
  const Values a = random_values(x.dtype, product(x.batches, x.m, x.k) + 1, 1);
  const Values b = random_values(x.dtype, product(x.batches, x.k, x.n) + 1, 2);
  const Values addend = random_values(x.c_dtype, product(x.batches, x.m, x.n), 3);
  const size_t size = size_of(x.c_dtype);
  const std::vector<std::byte> poison(product(x.batches, x.m, x.n) * size, std::byte{0x7F});
  GemmArguments arguments;
  arguments.m = x.m;
  arguments.n = x.n;
  arguments.k = x.k;
  arguments.batch[1] = x.batches;
  arguments.dtype = x.dtype;
  arguments.c_dtype = arguments.addend_dtype = x.c_dtype;
  arguments.alpha = x.alpha;
  arguments.beta = x.beta;
  arguments.a = {machine.put(a.bytes), x.transposed_a ? 1 : x.k, x.transposed_a ? x.m : 1, {0, x.m * x.k}};
  arguments.b = {machine.put(b.bytes), x.transposed_b ? 1 : x.n, x.transposed_b ? x.k : 1, {0, x.k * x.n}};
  arguments.c = {machine.put(poison), x.transposed_c ? 1 : x.n, x.transposed_c ? x.m : 1, {0, x.m * x.n}};
  if (x.addend != 0) {
    arguments.addend = {machine.put(addend.bytes),
                        x.addend == 1   ? 0
                        : x.addend == 3 ? 1
                                        : x.n,
                        x.addend == 3 ? 0 : 1,
                        {0, x.addend == 2 ? x.m * x.n : 0}};
  }
  run_kernel(machine, "gemm", arguments);
  const std::vector<std::byte> c = machine.get<std::byte>(arguments.c.base, poison.size());
  double error = 0;
  double norm = 0;
  for (int64_t q = 0; q < x.batches; ++q) {
    for (int64_t i = 0; i < x.m; ++i) {
      for (int64_t j = 0; j < x.n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < x.k; ++p) {
          sum +=
              a.exact[static_cast<size_t>(q * x.m * x.k + i * arguments.a.row_stride + p * arguments.a.column_stride)] *
              b.exact[static_cast<size_t>(q * x.k * x.n + p * arguments.b.row_stride + j * arguments.b.column_stride)];
        }
        sum *= x.alpha;
        if (x.addend != 0) {
          sum +=
              x.beta *
              addend.exact[static_cast<size_t>(q * arguments.addend.batch_stride[1] + i * arguments.addend.row_stride +
                                               j * arguments.addend.column_stride)];
        }
        const auto at = static_cast<size_t>(q * x.m * x.n + i * arguments.c.row_stride + j * arguments.c.column_stride);
        const double difference = test::to_double(x.c_dtype, c.data() + at * size) - sum;
        error += difference * difference;
        norm += sum * sum;
      }
    }
  }
  if (!(std::sqrt(error) <= bound(x.c_dtype) * std::sqrt(norm) + 1e-30)) {
    test::fail(__FILE__, __LINE__,
               concat("relative error ", std::sqrt(error / norm), " on ", chip.name, " for ", x.m, "x", x.n, "x", x.k,
                      " ", name_of(x.dtype), " to ", name_of(x.c_dtype)));
  }
}

TEST("products of all layouts and odd sizes") {
  for (const ChipSpec& chip : kernel_chips()) {
    for (const auto& [m, n, k] :
         {std::array<int64_t, 3>{1, 1, 1}, {70, 45, 133}, {129, 64, 31}, {1, 300, 65}, {40, 1, 50}}) {
      for (int layout = 0; layout < 8; ++layout) {
        check(chip, {.m = m,
                     .n = n,
                     .k = k,
                     .transposed_a = (layout & 1) != 0,
                     .transposed_b = (layout & 2) != 0,
                     .transposed_c = (layout & 4) != 0});
      }
    }
  }
}

TEST("dtypes, batches, scales and addends") {
  for (const ChipSpec& chip : kernel_chips()) {
    check(chip, {.m = 65, .n = 70, .k = 129, .dtype = DType::BF16, .c_dtype = DType::BF16, .transposed_b = true});
    check(chip, {.m = 65, .n = 70, .k = 128, .dtype = DType::BF16, .c_dtype = DType::F32, .transposed_a = true});
    check(chip, {.m = 33, .n = 40, .k = 50, .dtype = DType::F16, .c_dtype = DType::F16, .batches = 3});
    check(chip, {.m = 33,
                 .n = 40,
                 .k = 50,
                 .dtype = DType::F64,
                 .c_dtype = DType::F64,
                 .batches = 2,
                 .alpha = -2,
                 .addend = 2});
    check(chip, {.m = 33, .n = 40, .k = 50, .batches = 5, .alpha = 0.5, .beta = -3, .addend = 1});
    check(chip, {.m = 33, .n = 40, .k = 50, .transposed_c = true, .alpha = 0.5, .addend = 2});
    check(chip, {.m = 33, .n = 40, .k = 50, .addend = 3});
    check(chip, {.m = 33, .n = 40, .k = 50, .dtype = DType::BF16, .c_dtype = DType::BF16, .beta = 0.25, .addend = 1});
    check(chip, {.m = 33, .n = 40, .k = 0, .addend = 2});
    if (chip.dot_f8_macs_per_cycle > 0) check(chip, {.m = 33, .n = 40, .k = 50, .dtype = DType::F8E5M2});
  }
}

TEST("the result depends neither on the chip nor on the host's threads, and the account not on the latter") {
  struct Shape {
    int64_t m;
    int64_t n;
    int64_t k;
  };
  // Several tiles both ways, so that operands are shared; one row of tiles; a product of a batch beside another.
  for (const auto& [m, n, k] : {Shape{150, 90, 170}, Shape{520, 330, 700}, Shape{7, 600, 1100}}) {
    for (const DType dtype : {DType::F32, DType::BF16, DType::F16}) {
      for (const bool transposed : {false, true}) {
        const Values a = random_values(dtype, static_cast<size_t>(2 * m * k), 1);
        const Values b = random_values(dtype, static_cast<size_t>(2 * k * n), 2);
        // The definition: one product in host_math, however the kernel cuts it.
        std::vector<float> expected(static_cast<size_t>(2 * m * n));
        for (int64_t batch = 0; batch < 2; ++batch) {
          const auto size = static_cast<int64_t>(size_of(dtype));
          host_math::dot(dtype, {expected.data() + batch * m * n, n, 1},
                         {a.bytes.data() + batch * m * k * size, transposed ? 1 : k, transposed ? m : 1},
                         {b.bytes.data() + batch * k * n * size, transposed ? 1 : n, transposed ? k : 1},
                         static_cast<size_t>(m), static_cast<size_t>(n), static_cast<size_t>(k), false);
        }
        for (const ChipSpec& chip : kernel_chips()) {
          uint64_t cycles = 0;
          for (const unsigned threads : {1U, 2U}) {
            Machine machine(threads, chip);
            GemmArguments arguments;
            arguments.m = m;
            arguments.n = n;
            arguments.k = k;
            arguments.batch[0] = 2;
            arguments.dtype = dtype;
            arguments.a = {machine.put(a.bytes), transposed ? 1 : k, transposed ? m : 1, {m * k, 0}};
            arguments.b = {machine.put(b.bytes), transposed ? 1 : n, transposed ? k : 1, {k * n, 0}};
            arguments.c = {machine.put(std::vector<float>(expected.size(), 777)), n, 1, {m * n, 0}};
            const uint64_t seen = run_kernel(machine, "gemm", arguments).cycles;
            CHECK(machine.get<float>(arguments.c.base, expected.size()) == expected);
            if (threads == 2) CHECK_EQ(seen, cycles);
            cycles = seen;
          }
        }
      }
    }
  }
}

TEST("parts of one product's k, of which the last is shorter") {
  constexpr int64_t m = 5;
  constexpr int64_t n = 67;
  constexpr int64_t part = 96;
  constexpr int64_t k = 3 * part + 33;
  constexpr int64_t parts = 4;
  for (const DType dtype : {DType::F32, DType::BF16}) {
    const auto size = static_cast<int64_t>(size_of(dtype));
    const Values a = random_values(dtype, m * k, 1);
    const Values b = random_values(dtype, k * n, 2);
    std::vector<float> expected(parts * m * n);
    for (int64_t i = 0; i < parts; ++i) {
      host_math::dot(dtype, {expected.data() + i * m * n, n, 1}, {a.bytes.data() + i * part * size, k, 1},
                     {b.bytes.data() + i * part * n * size, n, 1}, m, n,
                     static_cast<size_t>(std::min(part, k - i * part)), false);
    }
    for (const ChipSpec& chip : kernel_chips()) {
      Machine machine(2, chip);
      GemmArguments arguments;
      arguments.m = m;
      arguments.n = n;
      arguments.k = part;
      arguments.k_of_parts = k;
      arguments.batch[1] = parts;
      arguments.dtype = dtype;
      arguments.a = {machine.put(a.bytes), k, 1, {0, part}};
      arguments.b = {machine.put(b.bytes), n, 1, {0, part * n}};
      arguments.c = {machine.put(std::vector<float>(expected.size(), 777)), n, 1, {0, m * n}};
      run_kernel(machine, "gemm", arguments);
      CHECK(machine.get<float>(arguments.c.base, expected.size()) == expected);
    }
  }
}

TEST("a product of 2048^3 on mtia2i runs above 85 % of the chip's peak") {
  const ChipSpec chip = test::chip_of_file("mtia2i");
  Machine machine(2, chip);
  constexpr int64_t n = 2048;
  GemmArguments arguments;
  arguments.m = arguments.n = arguments.k = n;
  arguments.dtype = arguments.c_dtype = DType::BF16;
  const std::vector<uint16_t> ones(n * n, bf16_from_f32(1));
  arguments.a = {machine.put(ones), n, 1, {}};
  arguments.b = {machine.put(ones), n, 1, {}};
  arguments.c = {machine.put(ones), n, 1, {}};
  const double seconds = run_kernel(machine, "gemm", arguments).seconds;
  const double peak = 2 * chip.dot_f16_macs_per_cycle * chip.clock_hz * chip.pe_count();
  const double fraction = 2.0 * n * n * n / seconds / peak;
  if (fraction < 0.85) test::fail(__FILE__, __LINE__, concat("the product runs at a fraction of ", fraction));
  for (const uint16_t value : machine.get<uint16_t>(arguments.c.base, n * n)) CHECK_EQ(value, bf16_from_f32(n));
}

}  // namespace
}  // namespace mtia::kernels
