// Factors of transform lengths, and roots of unity in extended precision.
#include "kernels/cpp/fft_plan.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "chip/chip_spec.h"

namespace mtia::kernels {
namespace {

// Fours first; a two comes last, where it needs no room of its own.
std::vector<int64_t> radices_of(int64_t length) {
  std::vector<int64_t> radices;
  while (length % 4 == 0) {
    radices.push_back(4);
    length /= 4;
  }
  const bool has_two = length % 2 == 0;
  if (has_two) length /= 2;
  for (int64_t prime = 3; length > 1; prime += 2) {
    if (prime * prime > length) prime = length;
    for (; length % prime == 0; length /= prime) radices.push_back(prime);
  }
  if (has_two) radices.push_back(2);
  return radices;
}

void append_stage_roots(std::vector<double>& table, int64_t length, const std::vector<int64_t>& radices) {
  int64_t left = length;
  for (const int64_t radix : radices) {
    const int64_t m = left / radix;
    for (int64_t r = 1; m > 1 && r < radix; ++r) {
      const size_t base = table.size();
      table.resize(base + 2 * static_cast<size_t>(m));
      for (int64_t j = 0; j < m; ++j) {
        const auto [real, imaginary] = root_of_unity(j * r, left);
        table[base + static_cast<size_t>(j)] = real;
        table[base + static_cast<size_t>(m + j)] = imaginary;
      }
    }
    left = m;
  }
}

int64_t scratch_of(int64_t length, const std::vector<int64_t>& radices) {
  int64_t most = 0;
  for (const int64_t radix : radices) {
    if (radix > 2) most = std::max(most, (radix == 4 ? 1 : 3) * (length / radix));
  }
  return most;
}

}  // namespace

bool has_radices(int64_t length) {
  const std::vector<int64_t> radices = radices_of(length);
  return std::all_of(radices.begin(), radices.end(), [](int64_t radix) { return radix <= largest_radix; });
}

std::pair<int64_t, int64_t> split_evenly(int64_t length) {
  auto first = static_cast<int64_t>(std::sqrt(static_cast<double>(length)));
  while (length % first != 0) --first;
  return {first, length / first};
}

FftPlan fft_plan(int64_t length) {
  FftPlan plan{.length = length, .outer = length};
  if (length >= shortest_split) std::tie(plan.outer, plan.inner) = split_evenly(length);
  plan.outer_radices = radices_of(plan.outer);
  plan.inner_radices = radices_of(plan.inner);
  return plan;
}

int64_t stage_roots_size(int64_t length, const std::vector<int64_t>& radices) {
  int64_t size = 0;
  for (const int64_t radix : radices) {
    length /= radix;
    if (length > 1) size += 2 * (radix - 1) * length;
  }
  return size;
}

int64_t fft_table_size(const FftPlan& plan) {
  return stage_roots_size(plan.outer, plan.outer_radices) + stage_roots_size(plan.inner, plan.inner_radices) +
         (plan.is_split() ? 2 * plan.length : 0);
}

std::vector<double> fft_table(const FftPlan& plan) {
  std::vector<double> table;
  table.reserve(static_cast<size_t>(fft_table_size(plan)));
  append_stage_roots(table, plan.outer, plan.outer_radices);
  append_stage_roots(table, plan.inner, plan.inner_radices);
  if (!plan.is_split()) return table;
  const size_t base = table.size();
  table.resize(base + 2 * static_cast<size_t>(plan.length));
  for (int64_t i = 0; i < plan.length; ++i) {
    const auto [real, imaginary] = root_of_unity(i / plan.inner * (i % plan.inner), plan.length);
    table[base + static_cast<size_t>(i)] = real;
    table[base + static_cast<size_t>(plan.length + i)] = imaginary;
  }
  return table;
}

std::pair<double, double> root_of_unity(int64_t numerator, int64_t denominator) {
  numerator %= denominator;
  const int64_t quarter = 4 * numerator / denominator;
  const int64_t rest = 4 * numerator % denominator;
  const long double angle =
      std::numbers::pi_v<long double> / 2 * (static_cast<long double>(rest) / static_cast<long double>(denominator));
  const auto cosine = static_cast<double>(std::cos(angle)), sine = static_cast<double>(std::sin(angle));
  switch (quarter) {
    case 0:
      return {cosine, -sine};
    case 1:
      return {-sine, -cosine};
    case 2:
      return {-cosine, sine};
    default:
      return {sine, cosine};
  }
}

int64_t scratch_elements(const FftPlan& plan) {
  return std::max(scratch_of(plan.length, plan.outer_radices), scratch_of(plan.length, plan.inner_radices));
}

bool fits_local_memory(const ChipSpec& chip, DType dtype, int64_t length, int64_t factors) {
  const FftPlan plan = fft_plan(length);
  constexpr int64_t alignment = 32 * 64;
  // Loaded, in work twice, result; the factors, and the one that is in work.
  const int64_t signals = 4 + (factors > 0 ? factors + 1 : 0);
  const int64_t numbers = 2 * (signals * length + scratch_elements(plan)) + fft_table_size(plan);
  return numbers * static_cast<int64_t>(size_of(dtype)) + alignment <= static_cast<int64_t>(chip.local_memory_bytes);
}

}  // namespace mtia::kernels
