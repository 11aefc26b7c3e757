// Random numbers of the device's Philox generator, and what is drawn with them.
#include <ATen/ExpandUtils.h>
#include <ATen/ops/view_as_real.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/cpp/random.h"
#include "torch_backend/device.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/generator.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/checked_generator.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/elementwise.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"
#include "torch_backend/operators/type_rules.h"

namespace mtia::torch_backend {
namespace {

using kernels::Distribution;
using OptionalGenerator = std::optional<at::Generator>;

struct Draw {
  Distribution distribution;
  double a = 0;
  double b = 1;
  int64_t integer_low = 0;
  uint64_t integer_range = 0;
  double lowest = -INFINITY;  // see kernels/cpp/random.h
  double highest = INFINITY;
};

// What the conversions of a dtype do at its limits.
struct Format {
  double largest;   // finite
  double smallest;  // positive, and normal but in float16, whose subnormal numbers are ordinary draws
  double (*rounded)(double);
  double (*below)(double);  // of a number of the dtype: the next one
};

template <typename T, typename Bits>
double next_below(double value) {
  T number = static_cast<T>(value);
  if (number == 0) return -static_cast<double>(std::numeric_limits<T>::denorm_min());
  Bits bits;
  std::memcpy(&bits, &number, sizeof bits);
  bits = static_cast<Bits>(value > 0 ? bits - 1 : bits + 1);
  std::memcpy(&number, &bits, sizeof bits);
  return static_cast<double>(number);
}

template <typename T, typename Bits>
Format format_as(double smallest) {
  return {static_cast<double>(std::numeric_limits<T>::max()), smallest,
          [](double value) { return static_cast<double>(static_cast<T>(value)); }, next_below<T, Bits>};
}

Format format_of(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kHalf:
      return format_as<c10::Half, uint16_t>(0x1p-24);
    case c10::kBFloat16:
      return format_as<c10::BFloat16, uint16_t>(0x1p-126);
    case c10::kDouble:
      return format_as<double, uint64_t>(std::numeric_limits<double>::min());
    default:
      return format_as<float, uint32_t>(std::numeric_limits<float>::min());
  }
}

// Four elements take one counter; wide numbers take two.
uint64_t counters_of(const Draw& draw, c10::ScalarType dtype, int64_t count) {
  const bool wide = draw.distribution == Distribution::integer
                        ? draw.integer_range == 0 || draw.integer_range > (1ULL << 32)
                        : dtype == c10::kDouble;
  return (static_cast<uint64_t>(count) + 3) / 4 * (wide ? 2 : 1);
}

at::Tensor& fill_random(at::Tensor& self, const Draw& draw, const OptionalGenerator& generator) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("random");
  if (self.numel() == 0) return self;
  const at::Tensor dense = self.is_contiguous() ? self : empty_device(self.sizes(), self.scalar_type(), self.device());
  const c10::DeviceIndex device = self.device().index();
  const PhiloxState philox = reserve_philox(generator, device, counters_of(draw, self.scalar_type(), self.numel()));
  kernels::RandomArguments arguments;
  arguments.destination = address_of(dense);
  arguments.count = dense.numel();
  arguments.seed = philox.seed;
  arguments.offset = philox.offset;
  arguments.a = draw.a;
  arguments.b = draw.b;
  arguments.integer_low = draw.integer_low;
  arguments.integer_range = draw.integer_range;
  arguments.lowest = draw.lowest;
  arguments.highest = draw.highest;
  arguments.dtype = chip_dtype(dense.scalar_type()).dtype;
  arguments.distribution = draw.distribution;
  launch_cpp_kernel(kernel, device, arguments, {dense});
  if (!dense.is_same(self)) self.copy_(dense);
  return self;
}

// What CPU torch says of the distributions that it checks by hand.
void check_continuous(const char* distribution, const at::Tensor& self) {
  TORCH_CHECK(
      at::isFloatingType(self.scalar_type()), distribution,
      " distribution is a continuous probability distribution. dtype must be a floating point but you specified ",
      self.scalar_type());
}

at::Tensor& normal_(at::Tensor& self, double mean, double deviation, OptionalGenerator generator) {
  TORCH_CHECK(deviation >= 0.0, "normal expects std >= 0.0, but found std ", deviation);
  if (self.is_complex()) {
    // The variance is that of both parts together.
    at::Tensor parts = at::view_as_real(self);
    normal_(parts, mean, deviation * M_SQRT1_2, std::move(generator));
    return self;
  }
  check_floating("normal_", self.scalar_type());
  return fill_random(self, {Distribution::normal, mean, deviation}, generator);
}

at::Tensor& uniform_(at::Tensor& self, double from, double to, OptionalGenerator generator) {
  check_floating("uniform_", self.scalar_type());
  if (self.is_complex()) {
    at::Tensor parts = at::view_as_real(self);
    uniform_(parts, from, to, std::move(generator));
    return self;
  }
  const Format format = format_of(self.scalar_type());
  for (const auto& [name, end] : {std::pair("from", from), std::pair("to", to)}) {
    TORCH_CHECK(std::abs(end) <= format.largest, name, " is out of bounds for ", self.scalar_type(), ", found ", end);
  }
  TORCH_CHECK(from <= to, "uniform_ expects to return a [from, to) range, but found from=", from, " > to=", to);
  TORCH_CHECK(to - from <= format.largest, "uniform_ expects to-from <= ", format.largest, ", the largest ",
              self.scalar_type(), ", but found to=", to, " and from=", from);
  // The largest number of the dtype below `to`; where none is left above `from`, the one that both round to.
  const double rounded = format.rounded(to);
  const double below = rounded < to ? rounded : format.below(rounded);
  return fill_random(
      self,
      {.distribution = Distribution::uniform, .a = from, .b = to, .highest = std::max(below, format.rounded(from))},
      generator);
}

at::Tensor& exponential_(at::Tensor& self, double rate, OptionalGenerator generator) {
  TORCH_CHECK(rate > 0.0, "exponential_ expects lambda > 0.0, but found lambda=", rate);
  check_continuous("Exponential", self);
  if (std::isinf(rate)) return self.zero_();
  // Half of the smallest draw stands for the draw of 0, which the distribution does not have.
  const Format format = format_of(self.scalar_type());
  const double least = (self.scalar_type() == c10::kDouble ? 0x1p-54 : 0x1p-25) / rate;
  return fill_random(self,
                     {.distribution = Distribution::exponential,
                      .a = rate,
                      .lowest = std::max(format.rounded(least), format.smallest)},
                     generator);
}

// Where a function follows the draw, what it is drawn in: a number of few bits would give a function of few values.
at::Tensor empty_wide(const at::Tensor& self) {
  return empty_device(self.sizes(), self.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat, self.device());
}

at::Tensor& log_normal_(at::Tensor& self, double mean, double deviation, OptionalGenerator generator) {
  TORCH_CHECK(deviation > 0.0, "log_normal_ expects std > 0.0, but found std=", deviation);
  check_floating("log_normal_", self.scalar_type());
  at::Tensor draws = empty_wide(self);
  return self.copy_(normal_(draws, mean, deviation, std::move(generator)).exp_());
}

at::Tensor& cauchy_(at::Tensor& self, double median, double sigma, OptionalGenerator generator) {
  TORCH_CHECK(sigma > 0.0, "cauchy_ expects sigma > 0.0, but found sigma=", sigma);
  check_continuous("Cauchy", self);
  at::Tensor draws = empty_wide(self);
  uniform_(draws, 0, 1, std::move(generator)).sub_(0.5).mul_(M_PI).tan_().mul_(sigma).add_(median);
  return self.copy_(draws);
}

at::Tensor& geometric_(at::Tensor& self, double p, OptionalGenerator generator) {
  TORCH_CHECK(0 < p && p < 1, "geometric_ expects p to be in (0, 1), but got p=", p);
  check_numeric("geometric_", self.scalar_type());
  // The number of trials up to the first success is an exponential number of rate -log(1 - p), rounded up.
  at::Tensor draws = empty_device(self.sizes(), c10::kFloat, self.device());
  return self.copy_(exponential_(draws, -std::log1p(-p), generator).ceil_().clamp_min_(1));
}

at::Tensor& bernoulli_float_(at::Tensor& self, double p, OptionalGenerator generator) {
  TORCH_CHECK(0 <= p && p <= 1, "bernoulli_ expects p to be in [0, 1], but got p=", p);
  return fill_random(self, {Distribution::bernoulli, p}, generator);
}

at::Tensor& bernoulli_tensor_(at::Tensor& self, const at::Tensor& p, OptionalGenerator generator) {
  static const KernelId kernel("elementwise.bernoulli");
  const OperatorScope scope("bernoulli");
  check_floating("bernoulli", p.scalar_type());
  at::Tensor draws =
      empty_device(self.sizes(), p.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat, self.device());
  uniform_(draws, 0, 1, generator);
  return self.copy_(elementwise(kernel, at::Tensor(), {draws, p.to(self.device())}, draws.scalar_type(), c10::kBool));
}

at::Tensor& bernoulli_out(const at::Tensor& self, OptionalGenerator generator, at::Tensor& out) {
  check_same_device("bernoulli", self.device(), out);
  check_separate(out, {self});
  at::native::resize_output(out, self.sizes());
  return bernoulli_tensor_(out, self, generator);
}

// The integers that a dtype represents without gaps: what random_() without bounds draws from.
uint64_t whole_range(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kBool:
      return 2;
    case c10::kByte:
      return 256;
    case c10::kChar:
      return 128;
    case c10::kShort:
      return 1ULL << 15;
    case c10::kInt:
      return 1ULL << 31;
    case c10::kLong:
      return 1ULL << 63;
    case c10::kUInt16:
      return 1ULL << 16;
    case c10::kUInt32:
      return 1ULL << 32;
    case c10::kUInt64:
      return 0;  // all of 64 bits
    case c10::kHalf:
      return (1ULL << 11) + 1;
    case c10::kBFloat16:
      return (1ULL << 8) + 1;
    case c10::kFloat:
      return (1ULL << 24) + 1;
    default:
      return (1ULL << 53) + 1;
  }
}

// Floats and wide unsigned integers have no integer draws of their own.
at::Tensor& fill_integers(at::Tensor& self, int64_t low, uint64_t range, const OptionalGenerator& generator) {
  const c10::ScalarType dtype = self.scalar_type();
  const Draw draw{Distribution::integer, 0, 1, low, range};
  const bool has_draws = at::isIntegralType(dtype, /*includeBool=*/true) && !c10::isBarebonesUnsignedType(dtype);
  if (has_draws) return fill_random(self, draw, generator);
  at::Tensor integers = empty_device(self.sizes(), c10::kLong, self.device());
  return self.copy_(fill_random(integers, draw, generator));
}

at::Tensor& random_(at::Tensor& self, OptionalGenerator generator) {
  check_implemented(!c10::isBarebonesUnsignedType(self.scalar_type()), "random_", self.scalar_type());
  return fill_integers(self, 0, whole_range(self.scalar_type()), generator);
}

// Negative numbers of an unsigned dtype fit() as their complement; here they are out of bounds.
bool holds(c10::ScalarType dtype, int64_t bound) {
  if (dtype == c10::kBool) return bound == 0 || bound == 1;
  if (bound < 0 && (dtype == c10::kByte || c10::isBarebonesUnsignedType(dtype))) return false;
  return fits(bound, dtype);
}

at::Tensor& random_from_(at::Tensor& self, int64_t from, std::optional<int64_t> to, OptionalGenerator generator) {
  if (!to.has_value()) {
    // Up to the dtype's largest value; from the least int64 that is all of 64 bits, which range 0 says.
    const uint64_t range =
        from == std::numeric_limits<int64_t>::min() ? 0 : whole_range(self.scalar_type()) - static_cast<uint64_t>(from);
    return fill_integers(self, from, range, generator);
  }
  for (const auto& [name, bound] : {std::pair("from", from), std::pair("to - 1", *to - 1)}) {
    TORCH_CHECK(holds(self.scalar_type(), bound), name, " is out of bounds for ", self.scalar_type(), ", got ", bound);
  }
  TORCH_CHECK(from < *to, "random_ expects 'from' to be less than 'to', but got from=", from, " >= to=", *to);
  return fill_integers(self, from, static_cast<uint64_t>(*to) - static_cast<uint64_t>(from), generator);
}

at::Tensor& random_to_(at::Tensor& self, int64_t to, OptionalGenerator generator) {
  return random_from_(self, 0, to, generator);
}

// Refuses deviations that are negative or NaN.
at::Tensor& scale_by(at::Tensor& draws, const at::Tensor& deviation) {
  static const KernelId kernel("elementwise.scaled_draw");
  const OperatorScope scope("normal");
  if (draws.is_complex()) {
    at::Tensor parts = at::view_as_real(draws);
    scale_by(parts, deviation.to(draws.device()).unsqueeze(-1));
    return draws;
  }
  elementwise(kernel, draws, {draws, deviation}, c10::promoteTypes(draws.scalar_type(), deviation.scalar_type()),
              draws.scalar_type());
  return draws;
}

at::Tensor normal_tensor_float(const at::Tensor& mean, double deviation, OptionalGenerator generator) {
  at::Tensor out = empty_device(mean.sizes(), mean.scalar_type(), mean.device());
  return normal_(out, 0, deviation, generator).add_(mean);
}

at::Tensor normal_float_tensor(double mean, const at::Tensor& deviation, OptionalGenerator generator) {
  at::Tensor out = empty_device(deviation.sizes(), deviation.scalar_type(), deviation.device());
  return scale_by(normal_(out, 0, 1, generator), deviation).add_(mean);
}

at::Tensor normal_tensor_tensor(const at::Tensor& mean, const at::Tensor& deviation, OptionalGenerator generator) {
  const std::vector<int64_t> sizes = at::infer_size(mean.sizes(), deviation.sizes());
  at::Tensor out = empty_device(sizes, mean.scalar_type(), mean.device());
  return scale_by(normal_(out, 0, 1, generator), deviation).add_(mean);
}

// Drawn in the output's dtype, as on the CPU.
at::Tensor& write_normal(at::Tensor& out, c10::IntArrayRef sizes, double deviation, const OptionalGenerator& generator,
                         std::initializer_list<at::Tensor> operands) {
  for (const at::Tensor& operand : operands) check_same_device("normal", out.device(), operand);
  check_apart(out, operands);
  at::native::resize_output(out, sizes);
  return normal_(out, 0, deviation, generator);
}

at::Tensor& normal_tensor_float_out(const at::Tensor& mean, double deviation, OptionalGenerator generator,
                                    at::Tensor& out) {
  // torch broadcasts with what the output is, so that one of size 0 is refused.
  return write_normal(out, at::infer_size(mean.sizes(), out.sizes()), deviation, generator, {mean}).add_(mean);
}

at::Tensor& normal_float_tensor_out(double mean, const at::Tensor& deviation, OptionalGenerator generator,
                                    at::Tensor& out) {
  const std::vector<int64_t> sizes = at::infer_size(deviation.sizes(), out.sizes());
  return scale_by(write_normal(out, sizes, 1, generator, {deviation}), deviation).add_(mean);
}

at::Tensor& normal_tensor_tensor_out(const at::Tensor& mean, const at::Tensor& deviation, OptionalGenerator generator,
                                     at::Tensor& out) {
  const std::vector<int64_t> sizes = at::infer_size(mean.sizes(), deviation.sizes());
  return scale_by(write_normal(out, sizes, 1, generator, {mean, deviation}), deviation).add_(mean);
}

at::Tensor& randperm_out(int64_t n, OptionalGenerator generator, at::Tensor& out) {
  TORCH_CHECK(n >= 0, "n must be non-negative, got", n);
  check_numeric("randperm", out.scalar_type());
  at::native::resize_output(out, {n});
  if (n == 0) return out;
  at::Tensor keys = empty_device({n}, c10::kLong, out.device());
  fill_integers(keys, 0, 1ULL << 63, generator);
  return out.copy_(std::get<1>(keys.sort(/*stable=*/true, 0, /*descending=*/false)));
}

// One draw, or draws without replacement: the largest p / e for exponential e (the "exponential race").
at::Tensor multinomial(const at::Tensor& self, int64_t samples, bool replacement, OptionalGenerator generator) {
  TORCH_CHECK(self.dim() == 1 || self.dim() == 2, "prob_dist must be 1 or 2 dim");
  TORCH_CHECK(at::isFloatingType(self.scalar_type()),
              "multinomial only supports floating-point dtypes for input, got: ", self.scalar_type());
  TORCH_CHECK(samples > 0, "cannot sample n_sample <= 0 samples");
  TORCH_CHECK(replacement || samples <= self.size(-1),
              "cannot sample n_sample > prob_dist.size(-1) samples without replacement");
  const at::Tensor weights = self.scalar_type() == c10::kDouble ? self : self.to(c10::kFloat);
  const at::Tensor is_valid =
      weights.isfinite().logical_and(weights.ge(0)).all().logical_and(weights.sum(-1).gt(0).all());
  const bool is_known = device_of(self.device().index()).knows(address_to_read(is_valid), is_valid.nbytes());
  TORCH_CHECK(!is_known || is_valid.item().toBool(),
              "probability tensor contains either `inf`, `nan` or element < 0, or a row whose sum is not positive");
  if (!replacement || samples == 1) {
    at::Tensor race = empty_device(weights.sizes(), weights.scalar_type(), weights.device());
    const at::Tensor keys = weights.div(exponential_(race, 1, generator));
    return samples == 1 ? keys.argmax(-1, /*keepdim=*/true) : std::get<1>(keys.topk(samples, -1));
  }
  // The place of a uniform number in the cumulative distribution.
  const at::Tensor cumulative = weights.cumsum(-1);
  std::vector<int64_t> sizes(self.sizes().begin(), self.sizes().end());
  sizes.back() = samples;
  at::Tensor draws = empty_device(sizes, weights.scalar_type(), weights.device());
  uniform_(draws, 0, 1, generator).mul_(cumulative.narrow(-1, self.size(-1) - 1, 1));
  return cumulative.unsqueeze(-2).le(draws.unsqueeze(-1)).sum(-1).clamp_max(self.size(-1) - 1);
}

at::Tensor& multinomial_out(const at::Tensor& self, int64_t samples, bool replacement, OptionalGenerator generator,
                            at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == c10::kLong, "multinomial expects Long tensor out, got: ", out.scalar_type());
  check_same_device("multinomial", self.device(), out);
  return write_output(out, torch_backend::multinomial(self, samples, replacement, std::move(generator)));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("normal_", WithCheckedGenerator<normal_>::call);
  library.impl("uniform_", WithCheckedGenerator<uniform_>::call);
  library.impl("exponential_", WithCheckedGenerator<exponential_>::call);
  library.impl("log_normal_", WithCheckedGenerator<log_normal_>::call);
  library.impl("cauchy_", WithCheckedGenerator<cauchy_>::call);
  library.impl("geometric_", WithCheckedGenerator<geometric_>::call);
  library.impl("bernoulli_.float", WithCheckedGenerator<bernoulli_float_>::call);
  library.impl("bernoulli_.Tensor", WithCheckedGenerator<bernoulli_tensor_>::call);
  library.impl("bernoulli.out", WithCheckedGenerator<bernoulli_out>::call);
  library.impl("random_", WithCheckedGenerator<random_>::call);
  library.impl("random_.from", WithCheckedGenerator<random_from_>::call);
  library.impl("random_.to", WithCheckedGenerator<random_to_>::call);
  library.impl("normal.Tensor_float", WithCheckedGenerator<normal_tensor_float>::call);
  library.impl("normal.float_Tensor", WithCheckedGenerator<normal_float_tensor>::call);
  library.impl("normal.Tensor_Tensor", WithCheckedGenerator<normal_tensor_tensor>::call);
  library.impl("normal.Tensor_float_out", WithCheckedGenerator<normal_tensor_float_out>::call);
  library.impl("normal.float_Tensor_out", WithCheckedGenerator<normal_float_tensor_out>::call);
  library.impl("normal.Tensor_Tensor_out", WithCheckedGenerator<normal_tensor_tensor_out>::call);
  library.impl("randperm.generator_out", WithCheckedGenerator<randperm_out>::call);
  library.impl("multinomial", WithCheckedGenerator<mtia::torch_backend::multinomial>::call);
  library.impl("multinomial.out", WithCheckedGenerator<multinomial_out>::call);
}
