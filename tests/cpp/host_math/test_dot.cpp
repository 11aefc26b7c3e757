// Matrix products: bit for bit the documented sums on every instruction set, layout and edge.
#include "host_math/dot.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "instruction_models.h"
#include "samples.h"
#include "test.h"

namespace mtia::host_math {
namespace {

using test::RandomBits;

void store(DType dtype, std::byte* to, double value) {
  const auto single = static_cast<float>(value);
  uint64_t bits = 0;
  switch (dtype) {
    case DType::F16:
      bits = f16_from_f32(single);
      break;
    case DType::BF16:
      bits = bf16_from_f32(single);
      break;
    case DType::F8E4M3:
      bits = f8e4m3_from_f32(single);
      break;
    case DType::F8E5M2:
      bits = f8e5m2_from_f32(single);
      break;
    case DType::F32:
      bits = bits_of_float(single);
      break;
    case DType::F64:
      bits = std::bit_cast<uint64_t>(value);
      break;
    default:
      bits = static_cast<uint64_t>(static_cast<int64_t>(value * 20));
  }
  std::memcpy(to, &bits, size_of(dtype));
}

// A matrix with rows or columns adjacent, or neither, and room between.
struct Layout {
  ptrdiff_t row_stride;
  ptrdiff_t column_stride;
};

std::vector<Layout> layouts(size_t rows, size_t columns) {
  const auto r = static_cast<ptrdiff_t>(rows);
  const auto c = static_cast<ptrdiff_t>(columns);
  return {{c, 1}, {c + 3, 1}, {1, r}, {1, r + 5}, {3 * c + 1, 3}};
}

struct Sample {
  std::vector<std::byte> bytes;
  Layout layout;
  size_t size;
  const std::byte* at(size_t i, size_t j) const {
    return bytes.data() +
           (static_cast<ptrdiff_t>(i) * layout.row_stride + static_cast<ptrdiff_t>(j) * layout.column_stride) *
               static_cast<ptrdiff_t>(size);
  }
  ConstMatrix matrix() const { return {bytes.data(), layout.row_stride, layout.column_stride}; }
};

Sample random_matrix(DType dtype, size_t rows, size_t columns, Layout layout, uint64_t seed) {
  RandomBits random(seed);
  const auto extent =
      static_cast<ptrdiff_t>(rows) * layout.row_stride + static_cast<ptrdiff_t>(columns) * layout.column_stride + 1;
  Sample sample{std::vector<std::byte>(static_cast<size_t>(extent) * size_of(dtype), std::byte{0x7F}), layout,
                size_of(dtype)};
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) store(dtype, const_cast<std::byte*>(sample.at(i, j)), random.uniform(-2, 2));
  }
  return sample;
}

double integer_or_float(DType dtype, const std::byte* element) {
  return dtype == DType::I8 ? static_cast<double>(static_cast<int8_t>(*element)) : test::to_double(dtype, element);
}

bool is_summed_as_bf16(DType dtype) { return dtype == DType::BF16 || dtype == DType::F8E4M3 || dtype == DType::F8E5M2; }

// The definition in dot.h.
template <typename T>
T expected_sum(DType dtype, HostBits bits, const Sample& a, const Sample& b, size_t i, size_t j, size_t k, T start) {
  if (is_summed_as_bf16(dtype)) {
    std::vector<float> left(k);
    std::vector<float> right(k);
    for (size_t p = 0; p < k; ++p) {
      left[p] = static_cast<float>(test::to_double(dtype, a.at(i, p)));
      right[p] = static_cast<float>(test::to_double(dtype, b.at(p, j)));
    }
    const auto model = bits == HostBits::portable ? test::dot_of_pairs : test::dot_of_tiles;
    return static_cast<T>(model(left, right, static_cast<float>(start)));
  }
  T sum = start;
  for (size_t p = 0; p < k; ++p) {
    const auto left = static_cast<T>(integer_or_float(dtype, a.at(i, p)));
    const auto right = static_cast<T>(integer_or_float(dtype, b.at(p, j)));
    if constexpr (std::is_integral_v<T>)
      sum += left * right;
    else
      sum = std::fma(left, right, sum);
  }
  return sum;
}

template <typename T>
void check_dot(DType dtype, size_t m, size_t n, size_t k) {
  const std::vector<Layout> of_a = layouts(m, k);
  const std::vector<Layout> of_b = layouts(k, n);
  for (size_t variant = 0; variant < of_a.size(); ++variant) {
    const Sample a = random_matrix(dtype, m, k, of_a[variant], 1);
    const Sample b = random_matrix(dtype, k, n, of_b[(variant * 2 + 2) % of_b.size()], 2);
    const Layout of_c = layouts(m, n)[(variant + 1) % of_a.size()];
    for (const bool accumulate : {false, true}) {
      std::array<std::vector<T>, 2> sums;  // by HostBits
      for (const HostBits bits : {HostBits::portable, HostBits::tiles}) {
        for (size_t i = 0; i < m; ++i) {
          for (size_t j = 0; j < n; ++j) {
            sums[static_cast<size_t>(bits)].push_back(
                expected_sum<T>(dtype, bits, a, b, i, j, k, accumulate ? T{3} : T{0}));
          }
        }
      }
      for (const HostIsa isa : available_isas()) {
        std::vector<T> c(static_cast<size_t>(static_cast<ptrdiff_t>(m) * of_c.row_stride +
                                             static_cast<ptrdiff_t>(n) * of_c.column_stride) +
                             1,
                         T{3});
        dot(dtype, {c.data(), of_c.row_stride, of_c.column_stride}, a.matrix(), b.matrix(), m, n, k, accumulate, isa);
        size_t written = 0;
        for (size_t i = 0; i < m; ++i) {
          for (size_t j = 0; j < n; ++j) {
            const T got = c[static_cast<size_t>(static_cast<ptrdiff_t>(i) * of_c.row_stride +
                                                static_cast<ptrdiff_t>(j) * of_c.column_stride)];
            const T expected = sums[static_cast<size_t>(bits_of(isa))][i * n + j];
            if (got != expected) {
              test::fail(__FILE__, __LINE__,
                         concat(name_of(dtype), " ", m, "x", n, "x", k, " layout ", variant, " on ", name_of(isa),
                                " at (", i, ", ", j, "): ", got, ", expected ", expected));
            }
            ++written;
          }
        }
        size_t kept = 0;
        for (const T value : c) kept += value == T{3};
        CHECK(kept + written >= c.size());  // nothing outside of c has changed
      }
    }
  }
}

TEST("products are the documented chain in every layout") {
  const size_t shapes[][3] = {{1, 1, 1},    {8, 32, 16}, {7, 33, 17},  {13, 65, 1},   {24, 5, 30},
                              {17, 70, 40}, {3, 40, 0},  {40, 50, 64}, {19, 33, 128}, {64, 64, 64}};
  for (const auto& [m, n, k] : shapes) {
    check_dot<float>(DType::F32, m, n, k);
    check_dot<float>(DType::BF16, m, n, k);
    check_dot<float>(DType::F16, m, n, k);
    check_dot<float>(DType::F8E4M3, m, n, k);
    check_dot<float>(DType::F8E5M2, m, n, k);
    check_dot<double>(DType::F64, m, n, k);
    check_dot<int32_t>(DType::I8, m, n, k);
  }
}

// A buffer aligned for packed operands.
class Packed {
 public:
  explicit Packed(size_t bytes) : storage_(bytes + 64) {}
  void* data() { return storage_.data() + (64 - reinterpret_cast<uintptr_t>(storage_.data()) % 64) % 64; }

 private:
  std::vector<std::byte> storage_;
};

TEST("long products cross the blocks without a seam, packed or not") {
  constexpr size_t m = 73;  // more rows than stay in the first-level cache
  constexpr size_t n = 70;
  const auto hold = [](DType dtype, size_t k) {
    for (const HostIsa isa : available_isas()) {
      const Sample a = random_matrix(dtype, m, k, {static_cast<ptrdiff_t>(k), 1}, 3);
      const Sample b = random_matrix(dtype, k, n, {n, 1}, 4);
      const auto as_bits = [&](const std::vector<float>& sums) {
        std::vector<uint32_t> bits(sums.size());
        std::memcpy(bits.data(), sums.data(), sums.size() * sizeof(float));
        return bits;
      };
      std::vector<float> c(m * n, 777);
      dot(dtype, {c.data(), n, 1}, a.matrix(), b.matrix(), m, n, k, false, isa);
      for (size_t i = 0; i < m; i += 4) {
        for (size_t j = 0; j < n; j += 37) {
          if (dtype == DType::I8) {
            CHECK_EQ(std::bit_cast<int32_t>(c[i * n + j]),
                     expected_sum<int32_t>(dtype, bits_of(isa), a, b, i, j, k, 0));
          } else {
            CHECK_EQ(c[i * n + j], expected_sum<float>(dtype, bits_of(isa), a, b, i, j, k, 0.0F));
          }
        }
      }
      Packed right(packed_b_bytes(dtype, k, n, isa));
      pack_b(dtype, right.data(), b.matrix(), k, n, isa);
      std::vector<float> again(m * n, 777);
      dot_packed(dtype, {again.data(), n, 1}, a.matrix(), nullptr, right.data(), m, n, k, false, isa);
      CHECK(as_bits(again) == as_bits(c));
      Packed left(packed_a_bytes(dtype, m, k, isa));
      pack_a(dtype, left.data(), a.matrix(), m, k, isa);
      again.assign(m * n, 777);
      dot_packed(dtype, {again.data(), n, 1}, {nullptr, 0, 0}, left.data(), right.data(), m, n, k, false, isa);
      CHECK(as_bits(again) == as_bits(c));
    }
  };
  for (const DType dtype : {DType::F32, DType::BF16, DType::F16, DType::I8}) {
    for (const size_t k : {1100, 1152}) hold(dtype, k);  // the rows of the second are read where they lie
  }
}

// Numbers of bf16 whose products and sums lie about the smallest normal number, or anywhere, with zeros, subnormals and
// infinities.
Sample hard_matrix(size_t rows, size_t columns, uint64_t seed) {
  RandomBits random(seed);
  const Layout layout{static_cast<ptrdiff_t>(columns), 1};
  Sample sample{std::vector<std::byte>(rows * columns * 2), layout, 2};
  const bool is_anywhere = seed % 3 == 0;
  for (size_t i = 0; i < rows * columns; ++i) {
    const uint64_t word = random.next();
    const uint64_t exponent = is_anywhere ? word >> 32 & 0xFF : 60 + (word >> 32) % 12;
    const auto number = static_cast<uint16_t>((word & 0x807F) | exponent << 7);
    const uint16_t bits = (word >> 48) % 8 == 0 ? static_cast<uint16_t>(word & 0x80FF) : number;
    std::memcpy(sample.bytes.data() + 2 * i, &bits, sizeof(bits));
  }
  return sample;
}

TEST("products of bf16 read and write subnormal numbers as zero, on every instruction set") {
  constexpr size_t m = 20;
  constexpr size_t n = 40;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const size_t k = 1 + seed * 5 % 70;
    const Sample a = hard_matrix(m, k, seed);
    const Sample b = hard_matrix(k, n, seed + 300);
    std::vector<float> start(m * n);
    RandomBits random(seed);
    for (float& value : start)
      value = std::bit_cast<float>(static_cast<uint32_t>(random.next() & (seed % 2 == 0 ? 0x81FFFFFFU : 0x80FFFFFFU)));
    for (const HostIsa isa : available_isas()) {
      std::vector<float> c = start;
      dot(DType::BF16, {c.data(), n, 1}, a.matrix(), b.matrix(), m, n, k, true, isa);
      for (size_t i = 0; i < m; ++i) {
        for (size_t j = 0; j < n; ++j) {
          const float got = c[i * n + j];
          const float expected = expected_sum<float>(DType::BF16, bits_of(isa), a, b, i, j, k, start[i * n + j]);
          if (std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(expected)) continue;
          if (std::isnan(got) && std::isnan(expected)) continue;
          test::fail(
              __FILE__, __LINE__,
              concat("seed ", seed, " on ", name_of(isa), " at (", i, ", ", j, "): ", got, ", expected ", expected));
        }
      }
    }
  }
}

TEST("products of i8 wrap around and know the lowest number") {
  constexpr size_t k = 150000;  // 2^14 a product: beyond 2^31
  const std::vector<int8_t> a(k, -128);
  std::vector<int8_t> b(k, -128);
  for (const HostIsa isa : available_isas()) {
    int32_t c = 5;
    dot(DType::I8, {&c, 1, 1}, {a.data(), k, 1}, {b.data(), 1, 1}, 1, 1, k, true, isa);
    CHECK_EQ(c, static_cast<int32_t>(static_cast<uint32_t>(uint64_t{k} * 16384 + 5)));
  }
}

TEST("the switch for portable bits leaves out the rows that have others") {
  CHECK(bits_of(choose_isa(nullptr, "portable")) == HostBits::portable);
  const HostIsa last = available_isas().back();
  // A host with tiles that the operating system does not grant has a VDPBF16PS that is not worth its use.
  CHECK(choose_isa("", "") == last || (name_of(last) == "avx512_bf16" && name_of(choose_isa("", "")) == "avx512_vnni"));
  if (name_of(last) == "amx") CHECK_EQ(std::string(name_of(choose_isa(nullptr, "portable"))), "avx512_vnni");
  CHECK(choose_isa("plain", "portable") == HostIsa::plain);
  CHECK(choose_isa("amx_model", "fastest") == HostIsa::amx_model);
  CHECK_CONTAINS(CHECK_THROWS(choose_isa("amx_model", "portable"), InvalidArgument), "MTIA_SIM_HOST_BITS=portable");
  CHECK_CONTAINS(CHECK_THROWS(choose_isa(nullptr, "same"), InvalidArgument), "'same'");
  CHECK_CONTAINS(CHECK_THROWS(choose_isa("sse", nullptr), InvalidArgument), "this CPU runs: amx_model, plain");
}

TEST("NaN and infinity pass through a product") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float a[] = {1, infinity, std::nanf(""), 0};
  const float b[] = {1, 2};
  float c[2] = {777, 777};
  dot(DType::F32, {c, 1, 1}, {a, 2, 1}, {b, 1, 1}, 2, 1, 2, false);
  CHECK(c[0] == infinity && std::isnan(c[1]));
}

TEST("a dtype without a dot product is refused by name") {
  float c = 0;
  const int32_t one = 1;
  CHECK_CONTAINS(CHECK_THROWS(dot(DType::I32, {&c, 1, 1}, {&one, 1, 1}, {&one, 1, 1}, 1, 1, 1, false), Unsupported),
                 "i32");
}

}  // namespace
}  // namespace mtia::host_math
