// Matrix products: bit for bit the documented chain of fused multiply-adds on every instruction set, layout and edge.
#include "host_math/dot.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
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

// The definition in dot.h.
template <typename T>
T chain(DType dtype, const Sample& a, const Sample& b, size_t i, size_t j, size_t k, T start) {
  T sum = start;
  const auto step = [&](size_t p) {
    const auto left = static_cast<T>(integer_or_float(dtype, a.at(i, p)));
    const auto right = static_cast<T>(integer_or_float(dtype, b.at(p, j)));
    if constexpr (std::is_integral_v<T>)
      sum += left * right;
    else
      sum = std::fma(left, right, sum);
  };
  for (size_t p = 0; p < k; p += dtype == DType::BF16 ? 2 : 1) {
    if (dtype == DType::BF16 && p + 1 < k) step(p + 1);
    step(p);
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
            const T expected = chain<T>(dtype, a, b, i, j, k, accumulate ? T{3} : T{0});
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
  const size_t shapes[][3] = {{1, 1, 1}, {8, 32, 16}, {7, 33, 17}, {13, 65, 1}, {24, 5, 30}, {17, 70, 40}, {3, 40, 0}};
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

TEST("long products cross the blocks without a seam, packed or not") {
  constexpr size_t m = 75;
  constexpr size_t n = 300;
  constexpr size_t k = 1100;
  for (const DType dtype : {DType::F32, DType::BF16}) {
    const Sample a = random_matrix(dtype, m, k, {k, 1}, 3);
    const Sample b = random_matrix(dtype, k, n, {n, 1}, 4);
    std::vector<float> c(m * n, 777);
    dot(dtype, {c.data(), n, 1}, a.matrix(), b.matrix(), m, n, k, false);
    for (size_t i = 0; i < m; i += 4) {
      for (size_t j = 0; j < n; j += 37) CHECK_EQ(c[i * n + j], chain<float>(dtype, a, b, i, j, k, 0.0F));
    }
    std::vector<std::byte> storage(packed_b_bytes(dtype, k, n) + 64);
    void* packed = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    pack_b(dtype, packed, b.matrix(), k, n);
    std::vector<float> again(m * n, 777);
    dot_packed(dtype, {again.data(), n, 1}, a.matrix(), nullptr, packed, m, n, k, false);
    CHECK(again == c);
    std::vector<std::byte> left_storage(packed_a_bytes(dtype, m, k) + 64);
    void* packed_a = left_storage.data() + (64 - reinterpret_cast<uintptr_t>(left_storage.data()) % 64) % 64;
    pack_a(dtype, packed_a, a.matrix(), m, k);
    again.assign(m * n, 777);
    dot_packed(dtype, {again.data(), n, 1}, {nullptr, 0, 0}, packed_a, packed, m, n, k, false);
    CHECK(again == c);
  }
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
