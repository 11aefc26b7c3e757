// Which elements along one dimension a result along it is made of, and by which weights: interpolation, padding and
// their gradients, which are the same tables the other way round.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace mtia::torch_backend {

enum class Taps : uint8_t {
  nearest,
  nearest_exact,
  linear,
  cubic,
  antialiased_linear,
  antialiased_cubic,
  antialiased_lanczos,
  reflection,
  replication,
};

inline bool is_weighted(Taps taps) {
  return taps != Taps::nearest && taps != Taps::nearest_exact && taps < Taps::reflection;
}

struct TapRule {
  Taps taps = Taps::nearest;
  int64_t input = 1;
  int64_t output = 1;
  bool align_corners = false;     // linear, cubic
  std::optional<double> scale{};  // of interpolation
  int64_t before = 0;             // elements that padding puts in front; negative ones are cut off
  bool wide = false;              // positions and weights in float64 instead of float32
  bool fixed_point = false;       // weights rounded as of 8-bit images: to as many bits as let the largest fit 15
  bool transposed = false;        // the gradient: elements of the output that an element of the input reached
};

// table[taps, results] of int64 positions, -1 where a result has fewer; behind them, where weighted, as many float64
// weights.
struct TapTable {
  at::Tensor table;
  int64_t taps = 0;
};

// The table in device memory. Equal ones are made and sent once.
TapTable tap_table(const TapRule& rule, c10::DeviceIndex device);

}  // namespace mtia::torch_backend
