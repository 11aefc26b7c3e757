// How a discrete Fourier transform that fits the local memory of a PE is made of small ones, and the table of roots of
// unity that this takes.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace mtia {
struct ChipSpec;
}

namespace mtia::kernels {

// Transforms of at least this length are made of two shorter ones, and a PE works on one at a time: its instructions
// are long then. Of shorter ones a PE transforms many at a time, side by side.
constexpr int64_t shortest_split = 256;

// The longest prime that is transformed by its definition.
constexpr int64_t largest_radix = 61;

struct FftPlan {
  int64_t length = 1;
  int64_t outer = 1;  // length = outer * inner; not split: inner is 1
  int64_t inner = 1;
  std::vector<int64_t> outer_radices{};
  std::vector<int64_t> inner_radices{};

  bool is_split() const { return inner > 1; }
};

// Whether all prime factors are radices.
bool has_radices(int64_t length);

// length = first * second, as equal as its factors let them be; first <= second.
std::pair<int64_t, int64_t> split_evenly(int64_t length);

FftPlan fft_plan(int64_t length);

// Numbers of the table: the roots of the outer and of the inner stages (stage_roots each), and where the plan is split
// those between them, exp(-2 pi i k j / length) for frequency k of the outer and place j of the inner transform.
int64_t fft_table_size(const FftPlan& plan);
std::vector<double> fft_table(const FftPlan& plan);

// Stage after stage of a transform of `length`: for r = 1 .. radix - 1 the real, then the imaginary parts of
// exp(-2 pi i j r / (m radix)), j = 0 .. m - 1, where m is what the stages behind have left. Nothing where m is 1.
int64_t stage_roots_size(int64_t length, const std::vector<int64_t>& radices);

// exp(-2 pi i numerator / denominator), to the last bit or so.
std::pair<double, double> root_of_unity(int64_t numerator, int64_t denominator);

// Elements of room that the butterflies take beside a signal and its result.
int64_t scratch_elements(const FftPlan& plan);

// Whether one transform fits the local memory of a PE, with `factors` numbers by which each of its own is multiplied.
bool fits_local_memory(const ChipSpec& chip, DType dtype, int64_t length, int64_t factors);

}  // namespace mtia::kernels
