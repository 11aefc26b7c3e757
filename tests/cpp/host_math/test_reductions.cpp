// Reductions against their definition (16 lanes, binary tree), scans, arg-reductions, layout and random numbers.
#include "host_math/reductions.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "host_math/layout.h"
#include "host_math/random.h"
#include "samples.h"
#include "test.h"

namespace mtia::host_math {
namespace {

using test::RandomBits;

std::vector<float> random_floats(size_t n, uint64_t seed) {
  RandomBits random(seed);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(random.uniform(-1, 1));
  return values;
}

TEST("a row's sum is that of 16 lanes joined as a tree, and close to the exact one") {
  for (const size_t n : {size_t{0}, size_t{1}, size_t{15}, size_t{64}, size_t{1000}}) {
    const std::vector<float> values = random_floats(n, n + 1);
    float lanes[16] = {};
    double exact = 0;
    for (size_t i = 0; i < n; ++i) {
      lanes[i % 16] += values[i];
      exact += values[i];
    }
    for (size_t half = 8; half > 0; half /= 2) {
      for (size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    }
    float result = 777;
    reduce_rows_loop(ReduceOp::sum_f, DType::F32)(&result, values.data(), 1, n, n);
    CHECK_EQ(result, lanes[0]);
    CHECK_NEAR(result, exact, 1e-5 * (1 + std::sqrt(static_cast<double>(n))));
  }
}

TEST("column sums run down the rows") {
  const std::vector<float> values = random_floats(50 * 40, 5);
  std::vector<float> result(37, 777.0F);
  reduce_columns_loop(ReduceOp::sum_f, DType::F32)(result.data(), values.data(), 50, 37, 40);
  for (size_t c = 0; c < 37; ++c) {
    float sum = 0;
    for (size_t r = 0; r < 50; ++r) sum += values[r * 40 + c];
    CHECK_EQ(result[c], sum);
  }
}

TEST("max loses NaNs unless all are NaN, maximum keeps them") {
  const float nan = std::nanf("");
  const float rows[] = {nan, 3, 1, nan, nan, nan, -5, -7, -6};
  float result[3];
  reduce_rows_loop(ReduceOp::max_f, DType::F32)(result, rows, 3, 3, 3);
  CHECK(result[0] == 3 && std::isnan(result[1]) && result[2] == -5);
  reduce_rows_loop(ReduceOp::maximum_f, DType::F32)(result, rows, 3, 3, 3);
  CHECK(std::isnan(result[0]) && std::isnan(result[1]) && result[2] == -5);
}

TEST("arg-reductions take the lowest index among equals, NaN first where it wins") {
  const float nan = std::nanf("");
  const float row[] = {1, 4, 2, 4, nan, nan};
  float value = 777;
  int32_t index = 777;
  reduce_index_rows_loop(ReduceOp::max_f, DType::F32)(&value, &index, row, nullptr, 1, 6, 6);
  CHECK(value == 4 && index == 1);
  reduce_index_rows_loop(ReduceOp::maximum_f, DType::F32)(&value, &index, row, nullptr, 1, 6, 6);
  CHECK(std::isnan(value) && index == 4);
  const int32_t positions[] = {9, 8, 7, 6, 5, 4};
  reduce_index_rows_loop(ReduceOp::max_f, DType::F32)(&value, &index, row, positions, 1, 6, 6);
  CHECK_EQ(index, 6);
  const int64_t integers[] = {-3, -9, -9};
  int64_t least = 0;
  reduce_index_rows_loop(ReduceOp::min_s, DType::I64)(&least, &index, integers, nullptr, 1, 3, 3);
  CHECK(least == -9 && index == 1);
}

TEST("scans in both directions, in place") {
  const std::vector<float> values = random_floats(11 * 70, 9);
  std::vector<float> forward = values;
  scan_rows_loop(ReduceOp::sum_f, DType::F32)(forward.data(), 70, forward.data(), 70, 11, 70, false);
  std::vector<float> backward(values.size());
  scan_rows_loop(ReduceOp::sum_f, DType::F32)(backward.data(), 70, values.data(), 70, 11, 70, true);
  std::vector<float> down(values.size());
  scan_columns_loop(ReduceOp::maximum_f, DType::F32)(down.data(), 70, values.data(), 70, 11, 70, false);
  for (size_t r = 0; r < 11; ++r) {
    float sum = 0;
    for (size_t i = 0; i < 70; ++i)
      CHECK_EQ(forward[r * 70 + i], i == 0 ? sum = values[r * 70] : sum += values[r * 70 + i]);
    for (size_t i = 70; i-- > 0;)
      CHECK_EQ(backward[r * 70 + i], i == 69 ? sum = values[r * 70 + 69] : sum += values[r * 70 + i]);
    for (size_t i = 0; i < 70; ++i) {
      const float before = r == 0 ? values[i] : down[(r - 1) * 70 + i];
      CHECK_EQ(down[r * 70 + i], std::max(before, values[r * 70 + i]));
    }
  }
}

TEST("transpose, gather, scatter and histogram") {
  std::vector<uint16_t> matrix(19 * 23);
  std::iota(matrix.begin(), matrix.end(), uint16_t{0});
  std::vector<uint16_t> result(19 * 23, 7777);
  transpose(2, result.data(), 19, matrix.data(), 23, 19, 23);
  for (size_t r = 0; r < 19; ++r) {
    for (size_t c = 0; c < 23; ++c) CHECK_EQ(result[c * 19 + r], matrix[r * 23 + c]);
  }
  const int64_t index[] = {5, 0, 5};
  uint16_t picked[3];
  gather(2, picked, matrix.data(), index, 3);
  CHECK(picked[0] == 5 && picked[1] == 0 && picked[2] == 5);
  const uint16_t fresh[] = {100, 200, 300};
  scatter(2, matrix.data(), index, fresh, 3);
  CHECK(matrix[5] == 300 && matrix[0] == 200);
  const int32_t values[] = {2, -1, 0, 2, 3, 9};
  int32_t counts[4] = {};
  histogram(DType::I32, counts, 4, values, 6);
  CHECK(counts[0] == 1 && counts[1] == 0 && counts[2] == 2 && counts[3] == 1);
}

TEST("philox matches the published vector and does not depend on how it is cut") {
  uint32_t words[4];
  philox_bits(words, {.seed = 0, .stream = 0, .first = 0}, 4);
  CHECK(words[0] == 0x6627e8d5U && words[1] == 0xe169c58dU && words[2] == 0xbc57ac4cU && words[3] == 0x9b00dbd8U);
  std::vector<float> whole(1000);
  std::vector<float> pieces(1000);
  philox_normal(whole.data(), {.seed = 42, .stream = 3, .first = 0}, 1000);
  philox_normal(pieces.data(), {.seed = 42, .stream = 3, .first = 0}, 500);
  philox_normal(pieces.data() + 500, {.seed = 42, .stream = 3, .first = 500}, 500);
  for (size_t i = 0; i < 1000; ++i) CHECK_EQ(whole[i], pieces[i]);
}

TEST("uniform and normal numbers have their moments") {
  constexpr size_t n = 100'000;
  std::vector<float> values(n);
  const auto moments = [&] {
    double mean = 0;
    double square = 0;
    for (const float value : values) {
      mean += value / static_cast<double>(n);
      square += static_cast<double>(value) * value / static_cast<double>(n);
    }
    return std::pair{mean, square - mean * mean};
  };
  philox_uniform(values.data(), {.seed = 1, .stream = 0, .first = 0}, n);
  const auto [uniform_mean, uniform_variance] = moments();
  CHECK_NEAR(uniform_mean, 0.5, 0.005);
  CHECK_NEAR(uniform_variance, 1.0 / 12, 0.001);
  for (const float value : values) CHECK(value >= 0 && value < 1);
  philox_normal(values.data(), {.seed = 1, .stream = 0, .first = 0}, n);
  const auto [normal_mean, normal_variance] = moments();
  CHECK_NEAR(normal_mean, 0, 0.015);
  CHECK_NEAR(normal_variance, 1, 0.02);
}

}  // namespace
}  // namespace mtia::host_math
