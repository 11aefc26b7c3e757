// Tables of taps, computed from sizes alone by the formulas of ATen/native/UpSample.h, and the cache of those that were
// sent to a device.
#include "torch_backend/operators/tap_table.h"

#include <ATen/native/UpSample.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "torch_backend/launching/chunk_table.h"
#include "torch_backend/operators/sent_tables.h"

namespace mtia::torch_backend {
namespace {

struct Tap {
  int64_t position;
  double weight;
};
using Results = std::vector<std::vector<Tap>>;

// Positions that were clamped to one are one tap.
void add(std::vector<Tap>& taps, int64_t position, double weight) {
  for (Tap& tap : taps) {
    if (tap.position == position) {
      tap.weight += weight;
      return;
    }
  }
  taps.push_back({position, weight});
}

int64_t clamped(int64_t position, int64_t size) { return std::clamp<int64_t>(position, 0, size - 1); }

template <typename Real>
std::vector<Tap> nearest(const TapRule& rule, int64_t place) {
  const int64_t position = rule.taps == Taps::nearest
                               ? at::native::nearest_idx(place, rule.input, rule.output, rule.scale)
                               : at::native::nearest_exact_idx(place, rule.input, rule.output, rule.scale);
  return {{clamped(position, rule.input), 1.0}};
}

template <typename Real>
std::vector<Tap> linear(const TapRule& rule, int64_t place) {
  const Real ratio =
      at::native::area_pixel_compute_scale<Real>(rule.input, rule.output, rule.align_corners, rule.scale);
  int64_t first = 0, second = 0;
  Real first_weight = 0, second_weight = 0;
  at::native::compute_source_index_and_lambda(first, second, first_weight, second_weight, ratio, place, rule.input,
                                              rule.output, rule.align_corners);
  std::vector<Tap> taps;
  add(taps, first, first_weight);
  add(taps, second, second_weight);
  return taps;
}

template <typename Real>
std::vector<Tap> cubic(const TapRule& rule, int64_t place) {
  const Real ratio =
      at::native::area_pixel_compute_scale<Real>(rule.input, rule.output, rule.align_corners, rule.scale);
  const Real source = at::native::area_pixel_compute_source_index<Real>(ratio, place, rule.align_corners, true);
  int64_t position = 0;
  Real fraction = 0;
  at::native::guard_index_and_lambda(source, rule.input, position, fraction);
  Real weights[4];
  at::native::get_cubic_upsample_coefficients<Real>(weights, fraction);
  std::vector<Tap> taps;
  for (int64_t i = 0; i < 4; ++i) add(taps, clamped(position - 1 + i, rule.input), weights[i]);
  return taps;
}

template <typename Real>
Real sinc(Real x) {
  if (x == 0) return 1;
  x *= std::numbers::pi_v<Real>;
  return std::sin(x) / x;
}

template <typename Real>
Real filter(Taps taps, Real x) {
  x = std::abs(x);
  if (taps == Taps::antialiased_linear) return x < 1 ? 1 - x : 0;
  if (taps == Taps::antialiased_lanczos) return x < 3 ? sinc(x) * sinc(x / 3) : 0;
  constexpr Real a = -0.5;
  if (x < 1) return at::native::cubic_convolution1<Real>(x, a);
  return x < 2 ? at::native::cubic_convolution2<Real>(x, a) : 0;
}

// The filter is stretched where the result is smaller than the input.
template <typename Real>
std::vector<Tap> antialiased(const TapRule& rule, int64_t place) {
  const Real scale =
      at::native::area_pixel_compute_scale<Real>(rule.input, rule.output, rule.align_corners, rule.scale);
  const Real half_width = rule.taps == Taps::antialiased_linear ? 1 : rule.taps == Taps::antialiased_cubic ? 2 : 3;
  const Real support = scale >= 1 ? half_width * scale : half_width;
  const Real inverse = scale >= 1 ? 1 / scale : 1;
  const Real center = scale * (static_cast<Real>(place) + Real(0.5));
  const int64_t first = std::max<int64_t>(static_cast<int64_t>(center - support + Real(0.5)), 0);
  const int64_t end = std::min<int64_t>(static_cast<int64_t>(center + support + Real(0.5)), rule.input);
  std::vector<Tap> taps;
  Real total = 0;
  for (int64_t position = first; position < end; ++position) {
    const Real weight = filter<Real>(rule.taps, (static_cast<Real>(position) - center + Real(0.5)) * inverse);
    taps.push_back({position, weight});
    total += weight;
  }
  if (total != 0)
    for (Tap& tap : taps) tap.weight = static_cast<Real>(tap.weight) / total;
  return taps;
}

std::vector<Tap> padded(const TapRule& rule, int64_t place) {
  int64_t position = place - rule.before;
  if (rule.taps == Taps::reflection) {
    const int64_t last = rule.input - 1;
    position = position < 0 ? -position : position > last ? 2 * last - position : position;
  }
  return {{clamped(position, rule.input), 1.0}};
}

template <typename Real>
std::vector<Tap> taps_of(const TapRule& rule, int64_t place) {
  switch (rule.taps) {
    case Taps::nearest:
    case Taps::nearest_exact:
      return nearest<Real>(rule, place);
    case Taps::linear:
      return linear<Real>(rule, place);
    case Taps::cubic:
      return cubic<Real>(rule, place);
    case Taps::reflection:
    case Taps::replication:
      return padded(rule, place);
    default:
      return antialiased<Real>(rule, place);
  }
}

Results results_of(const TapRule& rule) {
  Results results(static_cast<size_t>(rule.transposed ? rule.input : rule.output));
  for (int64_t place = 0; place < rule.output; ++place) {
    std::vector<Tap> taps = rule.wide ? taps_of<double>(rule, place) : taps_of<float>(rule, place);
    if (!rule.transposed) {
      results[static_cast<size_t>(place)] = std::move(taps);
    } else {
      for (const Tap& tap : taps) results[static_cast<size_t>(tap.position)].push_back({place, tap.weight});
    }
  }
  return results;
}

void round_to_fixed_point(Results& results) {
  double largest = 0;
  for (const auto& taps : results)
    for (const Tap& tap : taps) largest = std::max(largest, tap.weight);
  int bits = 0;
  while (bits < 22 && static_cast<int64_t>(0.5 + std::ldexp(largest, bits + 1)) < (1 << 15)) ++bits;
  for (auto& taps : results)
    for (Tap& tap : taps) tap.weight = std::ldexp(std::round(std::ldexp(tap.weight, bits)), -bits);
}

TapTable made(const TapRule& rule, c10::DeviceIndex device) {
  Results results = results_of(rule);
  if (rule.fixed_point) round_to_fixed_point(results);
  size_t most = 1;
  for (const auto& taps : results) most = std::max(most, taps.size());
  const size_t cells = most * results.size();
  std::vector<uint64_t> words(is_weighted(rule.taps) ? 2 * cells : cells, 0);
  std::fill_n(words.begin(), cells, ~uint64_t{0});
  for (size_t result = 0; result < results.size(); ++result) {
    for (size_t tap = 0; tap < results[result].size(); ++tap) {
      const size_t cell = tap * results.size() + result;
      words[cell] = static_cast<uint64_t>(results[result][tap].position);
      if (is_weighted(rule.taps)) words[cells + cell] = std::bit_cast<uint64_t>(results[result][tap].weight);
    }
  }
  return {send_words(std::make_shared<const std::vector<uint64_t>>(std::move(words)), device),
          static_cast<int64_t>(most)};
}

using Key = std::array<int64_t, 8>;

Key key_of(const TapRule& rule, c10::DeviceIndex device) {
  const int64_t flags = (rule.align_corners ? 1 : 0) + (rule.wide ? 2 : 0) + (rule.transposed ? 4 : 0) +
                        (rule.fixed_point ? 16 : 0) + (rule.scale.has_value() ? 8 : 0);
  return {static_cast<int64_t>(rule.taps),
          rule.input,
          rule.output,
          flags,
          std::bit_cast<int64_t>(rule.scale.value_or(0.0)),
          rule.before,
          device,
          0};
}

}  // namespace

TapTable tap_table(const TapRule& rule, c10::DeviceIndex device) {
  constexpr size_t most = 256;  // a network has a few of these a size of its images
  static auto* tables = new SentTables<Key, TapTable>(most);
  return tables->get(key_of(rule, device), [&] { return std::pair(made(rule, device), int64_t{0}); });
}

}  // namespace mtia::torch_backend
