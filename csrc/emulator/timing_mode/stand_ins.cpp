// Counter-based random numbers: no state, so that host threads and the order of programs do not show.
#include "emulator/timing_mode/stand_ins.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "emulator/pe/kernel_timing.h"
#include "emulator/timing_mode/needed_values.h"

namespace mtia::emulator {
namespace {

// splitmix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection that passes BigCrush on successive counters.
uint64_t mixed(uint64_t counter) {
  uint64_t z = counter + 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

constexpr double usual_argument = 2.0;  // the mean

double unit(uint64_t bits) { return static_cast<double>(bits >> 11U) * 0x1p-53; }

}  // namespace

uint64_t StandIns::drawn(uint8_t needs, DType dtype, uint64_t where) const {
  const bool decides = (needs & needed_for_control) != 0, loops = (needs & needed_for_loop) != 0;
  if (decides && !(loops && is_float(dtype))) return is_float(dtype) ? 0 : 1;
  const uint64_t random = mixed(settings_.seed ^ mixed(where));
  if (dtype == DType::I1) return unit(random) < settings_.mask ? 1 : 0;
  if (loops) return bits_of_number(dtype, -usual_argument * std::log1p(-unit(random)));
  if (is_float(dtype)) return bits_of_number(dtype, unit(random));
  return random & ((uint64_t{1} << std::min<size_t>(30, 8 * size_of(dtype) - 1)) - 1);
}

void StandIns::fill(uint8_t needs, DType dtype, std::byte* to, uint64_t count, uint64_t where) const {
  const size_t size = size_of(dtype);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t bits = drawn(needs, dtype, where + i * size);
    std::memcpy(to + i * size, &bits, size);
  }
}

uint64_t StandIns::index(uint64_t size, uint64_t where) const {
  if (size <= 1) return 0;
  const double u = unit(mixed(settings_.seed ^ mixed(where)));
  const auto n = static_cast<double>(size);
  double drawn = u * n;
  if (settings_.indices == StandInSettings::Indices::zipf) {
    // The continuous law of the same density on [1, n + 1), inverted.
    const double rest = 1.0 - settings_.exponent;
    drawn = std::abs(rest) < 1e-9 ? std::exp(u * std::log(n + 1)) - 1
                                  : std::pow(u * (std::pow(n + 1, rest) - 1) + 1, 1 / rest) - 1;
  }
  if (settings_.indices == StandInSettings::Indices::quantiles && settings_.quantiles.size() > 1) {
    const double at = u * static_cast<double>(settings_.quantiles.size() - 1);
    const auto below = static_cast<size_t>(at);
    const double low = settings_.quantiles[below];
    drawn = n * (low + (at - static_cast<double>(below)) * (settings_.quantiles[below + 1] - low));
  }
  return std::min(size - 1, static_cast<uint64_t>(std::max(drawn, 0.0)));
}

}  // namespace mtia::emulator
