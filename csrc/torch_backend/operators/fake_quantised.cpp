// Quantisation-aware training: numbers rounded to the steps of a quantised type, which stay floats.
#include <ATen/core/Tensor.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

namespace mtia::torch_backend {
namespace {

using Masked = std::tuple<at::Tensor, at::Tensor>;

void check_range(int64_t low, int64_t high) {
  TORCH_CHECK(low <= high, "`quant_min` should be less than or equal to `quant_max`.");
}

// Rounded to steps, and where a number is in range. Scale and zero point are float32 tensors that broadcast.
Masked to_steps(const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point, int64_t low,
                int64_t high) {
  const at::Tensor steps = self.to(c10::kFloat).mul(scale.reciprocal()).add(zero_point).round();
  const at::Tensor inside = at::logical_and(steps.ge(low), steps.le(high));
  return {steps.clamp(low, high).sub(zero_point).mul(scale).to(self.scalar_type()), inside};
}

Masked per_tensor(const at::Tensor& self, double scale, int64_t zero_point, int64_t low, int64_t high) {
  check_range(low, high);
  TORCH_CHECK(zero_point >= low && zero_point <= high, "`zero_point` must be between `quant_min` and `quant_max`.");
  const at::Tensor steps = self.to(c10::kFloat).mul(1.0F / static_cast<float>(scale)).add(zero_point).round();
  const at::Tensor inside = at::logical_and(steps.ge(low), steps.le(high));
  return {steps.clamp(low, high).sub(zero_point).mul(scale).to(self.scalar_type()), inside};
}

Masked by_tensors(const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point,
                  const at::Tensor& enabled, int64_t low, int64_t high) {
  check_range(low, high);
  const auto [steps, inside] =
      to_steps(self, scale.to(c10::kFloat).reshape({}), zero_point.to(c10::kFloat).reshape({}), low, high);
  const at::Tensor wanted = enabled.reshape({}).ge(1);
  return {at::where(wanted, steps, self), at::where(wanted, inside, at::ones_like(inside))};
}

at::Tensor along(const at::Tensor& channels, const at::Tensor& self, int64_t axis) {
  c10::SmallVector<int64_t, 6> sizes(static_cast<size_t>(self.dim()), 1);
  sizes[static_cast<size_t>(axis)] = channels.numel();
  return channels.to(c10::kFloat).view(sizes);
}

Masked per_channel(const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point, int64_t axis,
                   int64_t low, int64_t high) {
  check_range(low, high);
  TORCH_CHECK(axis >= 0 && axis < self.dim(), "`axis` must be between 0 and number of dimensions of input");
  TORCH_CHECK(scale.dim() == 1 && zero_point.dim() == 1 && scale.numel() == self.size(axis) &&
                  zero_point.numel() == self.size(axis),
              "scale and zero-point need one number a channel: ", self.size(axis));
  return to_steps(self, along(scale, self, axis), along(zero_point, self, axis), low, high);
}

// The range of what was seen, moved by each tensor's; steps of it; and the tensor in these steps.
Masked observe_and_round(const at::Tensor& self, const at::Tensor& observing, const at::Tensor& rounding,
                         at::Tensor& running_min, at::Tensor& running_max, at::Tensor& scale, at::Tensor& zero_point,
                         double share, int64_t low, int64_t high, int64_t axis, bool by_row, bool symmetric) {
  check_range(low, high);
  const at::Tensor seen = by_row ? self.movedim(axis, 0).flatten(1) : self.reshape({1, -1});
  if (by_row && running_min.numel() == 0) {
    running_min.resize_(self.size(axis)).fill_(std::numeric_limits<float>::infinity());
    running_max.resize_(self.size(axis)).fill_(-std::numeric_limits<float>::infinity());
    scale.resize_(self.size(axis));
    zero_point.resize_(self.size(axis));
  }
  if (observing.item().toLong() >= 1) {
    const auto [least, most] = at::aminmax(seen.to(c10::kFloat), 1);
    const auto moved = [&](const at::Tensor& running, const at::Tensor& now) {
      const at::Tensor fresh = now.view_as(running);
      return at::where(running.isinf(), fresh, running.add(fresh.sub(running), share));
    };
    running_min.copy_(moved(running_min, least));
    running_max.copy_(moved(running_max, most));
    const at::Tensor bottom = running_min.clamp_max(0), top = running_max.clamp_min(0);
    const double steps = static_cast<double>(high - low);
    constexpr double smallest = std::numeric_limits<float>::epsilon();
    at::Tensor step = top.sub(bottom).div(steps);
    at::Tensor zero = bottom.div(step.clamp_min(smallest)).round().neg().add(low).clamp(low, high);
    if (symmetric) {  // where numbers of both signs were seen
      const at::Tensor both = at::logical_and(bottom.lt(0), top.gt(0));
      const double positive = std::floor(steps / 2);
      step = at::where(both, at::maximum(bottom.neg().div(positive + 1), top.div(positive)), step);
      zero = at::where(both, at::full({}, std::nearbyint(static_cast<double>(low + high) / 2), zero.options()), zero);
    }
    scale.copy_(step.clamp_min(smallest).view_as(scale));
    zero_point.copy_(zero.view_as(zero_point));
  }
  if (rounding.item().toLong() < 1) return {self.clone(), at::ones_like(self, self.options().dtype(c10::kBool))};
  return by_row ? per_channel(self, scale, zero_point, axis, low, high)
                : by_tensors(self, scale, zero_point, rounding, low, high);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("fake_quantize_per_tensor_affine_cachemask", per_tensor);
  library.impl("_fake_quantize_per_tensor_affine_cachemask_tensor_qparams", by_tensors);
  library.impl("fake_quantize_per_channel_affine_cachemask", per_channel);
  library.impl("_fused_moving_avg_obs_fq_helper", observe_and_round);
}
