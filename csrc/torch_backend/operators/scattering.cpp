// Operators that join elements of one index: sums, products, means and extremes. Their shape rules are torch's own.
#include <ATen/WrapDimUtils.h>
#include <ATen/native/ReductionType.h>
#include <ATen/native/TensorAdvancedIndexing.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_add_meta.h>
#include <ATen/ops/index_reduce_meta.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/scatter_add_native.h>
#include <ATen/ops/scatter_native.h>
#include <ATen/ops/scatter_reduce_native.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/along_dim.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// The positions along `dim` where an index says the same for all of a slice of self.
std::optional<at::Tensor> positions_of(at::Tensor index, const at::Tensor& self, int64_t dim) {
  for (int64_t d = 0; d < self.dim(); ++d) {
    if (d == dim) continue;
    if (index.size(d) != self.size(d) || (index.size(d) > 1 && index.stride(d) != 0)) return std::nullopt;
    index = index.narrow(d, 0, 1);
  }
  return index.reshape({-1});
}

// Into few slices of a large tensor, of which these alone are widened. Equal positions share the first one's slot.
void accumulate_slices(const char* kernel, const at::Tensor& source, const at::Tensor& self, int64_t dim,
                       const at::Tensor& positions, c10::ScalarType wide) {
  const at::Tensor sorted = std::get<0>(positions.sort());
  const at::Tensor joined = self.index_select(dim, sorted).to(wide);
  const at::Tensor slots = at::searchsorted(sorted, positions);
  launch_along_dim(kernel, source.to(wide), joined, dim, along(slots, joined.sizes(), dim));
  const at::Tensor results = joined.index_select(dim, at::searchsorted(sorted, sorted));
  at::Tensor(self).index_copy_(dim, sorted, results.to(self.scalar_type()));
}

// launch_along_dim where elements of one index are joined with each other.
void accumulate_along_dim(const char* kernel, const at::Tensor& source, const at::Tensor& self, int64_t dim,
                          const at::Tensor& index) {
  if (index.numel() == 0) return;
  const c10::ScalarType wide = accumulated_in(self.scalar_type());
  if (wide == self.scalar_type()) return launch_along_dim(kernel, source, self, dim, index);
  if (self.dim() > 0 && self.size(dim) > 8 * index.size(dim)) {
    if (const std::optional<at::Tensor> positions = positions_of(index, self, dim))
      return accumulate_slices(kernel, source.narrow(dim, 0, positions->numel()), self, dim, *positions, wide);
  }
  const at::Tensor joined = self.to(wide);
  launch_along_dim(kernel, source.to(wide), joined, dim, index);
  self.copy_(joined);
}

void scatter_add_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source) {
  const OperatorScope scope("scatter_add");
  accumulate_along_dim("index_add", source, self, dim, index);
}

// The kernel that joins elements in place, or nullptr for products, which no atomic makes.
const char* kernel_of(at::native::ReductionType reduction) {
  using at::native::ReductionType;
  switch (reduction) {
    case ReductionType::SUM:
    case ReductionType::MEAN:
      return "index_add";
    case ReductionType::MAX:
      return "index_amax";
    case ReductionType::MIN:
      return "index_amin";
    default:
      return nullptr;
  }
}

// self *= source where the index says. Equal indices are brought together by sorting, their products made by doubling,
// and the last of each run, which holds the whole, is the one that stays.
void multiply_along_dim(const at::Tensor& source, const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  if (index.numel() == 0) return;
  const at::Tensor positions = at_least_1d(index);
  const at::Tensor side = at_least_1d(self);
  const int64_t axis = at::maybe_wrap_dim(dim, side.dim());
  const auto [sorted, order] = positions.sort(/*stable=*/true, axis, /*descending=*/false);
  const at::Tensor shaped = at_least_1d(source);
  at::Tensor product = shaped.as_strided(positions.sizes(), shaped.strides()).gather(axis, order);
  const int64_t length = positions.size(axis);
  for (int64_t step = 1; step < length; step *= 2) {
    const auto first = [&](const at::Tensor& tensor) { return tensor.narrow(axis, 0, length - step); };
    const auto last = [&](const at::Tensor& tensor) { return tensor.narrow(axis, step, length - step); };
    const at::Tensor joined = last(product).mul(first(product));
    const at::Tensor same = last(sorted).eq(first(sorted));
    product = at::cat({product.narrow(axis, 0, step), at::where(same, joined, last(product))}, axis);
  }
  launch_along_dim("index_put", side.gather(axis, sorted).mul(product), side, axis, sorted);
}

void join_along_dim(at::native::ReductionType reduction, const at::Tensor& source, const at::Tensor& self, int64_t dim,
                    const at::Tensor& index) {
  if (const char* kernel = kernel_of(reduction)) return accumulate_along_dim(kernel, source, self, dim, index);
  const c10::ScalarType wide = accumulated_in(self.scalar_type());
  if (wide == self.scalar_type()) return multiply_along_dim(source, self, dim, index);
  const at::Tensor joined = self.to(wide);
  multiply_along_dim(source.to(wide), joined, dim, index);
  self.copy_(joined);
}

void scatter_reduce_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                           const at::native::ReductionType& reduction) {
  const OperatorScope scope("scatter_reduce");
  join_along_dim(reduction, source, self, dim, index);
}

// A mean of halves is rounded once: neither its sum, which may overflow, nor its count, which may be odd, is a half.
bool is_wider_mean(c10::string_view reduce, c10::ScalarType dtype) {
  return reduce == "mean" && (dtype == c10::kHalf || dtype == c10::kBFloat16);
}

// Of the older names "add" and "multiply".
void scatter_operator_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                             const at::native::ReductionType& reduction) {
  const OperatorScope scope("scatter");
  join_along_dim(reduction, source, self, dim, index);
}

void scatter_value_operator_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                                   const at::Scalar& value, const at::native::ReductionType& reduction) {
  const OperatorScope scope("scatter");
  const at::Tensor source = at::full({1}, value, self.options());
  join_along_dim(reduction, source.expand(at_least_1d(index).sizes()), self, dim, index);
}

at::Tensor& scatter_add_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                            at::Tensor& out) {
  WithOutputs<at::native::structured_scatter_add> call(out);
  call.meta(self, dim, index, source);
  call.impl(self, dim, index, source, call.output());
  call.finish();
  return out;
}

at::Tensor& scatter_reduce_two_out(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                                   const at::Tensor& source, c10::string_view reduce, bool include_self,
                                   at::Tensor& out) {
  WithOutputs<at::native::structured_scatter_reduce_two> call(out);
  call.meta(self, dim, index, source, reduce, include_self);
  if (is_wider_mean(reduce, self.scalar_type())) {
    call.output().copy_(self.to(c10::kFloat).scatter_reduce(dim, index, source.to(c10::kFloat), reduce, include_self));
  } else {
    call.impl(self, dim, index, source, reduce, include_self, call.output());
  }
  call.finish();
  return out;
}

at::Tensor& index_add_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                          const at::Scalar& alpha, at::Tensor& out) {
  const OperatorScope scope("index_add");
  WithOutputs<at::meta::structured_index_add> call(out);
  const auto precomputed = call.meta(self, dim, index, source, alpha);
  const at::Tensor& result = call.output();
  if (!result.is_same(self)) result.copy_(self);
  const at::Tensor scaled = at_least_1d(alpha.equal(1) ? source : source.mul(alpha));
  if (scaled.numel() != 0)
    accumulate_along_dim("index_add", scaled, result, precomputed.dim, along(index, scaled.sizes(), precomputed.dim));
  call.finish();
  return out;
}

// What takes no part in a reduction, where self does not.
at::Scalar neutral(at::native::ReductionType reduction, c10::ScalarType dtype) {
  using at::native::ReductionType;
  if (reduction == ReductionType::PROD) return 1;
  if (reduction == ReductionType::MEAN || reduction == ReductionType::SUM) return 0;
  const bool largest = reduction == ReductionType::MIN;
  if (c10::isFloatingType(dtype)) return largest ? INFINITY : -INFINITY;
  const auto bits = static_cast<int>(c10::elementSize(dtype) * 8);
  if (dtype == c10::kByte) return largest ? 255 : 0;
  const int64_t most = std::numeric_limits<int64_t>::max() >> (64 - bits);
  return largest ? most : -most - 1;
}

at::Tensor& index_reduce_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                             c10::string_view reduce, bool include_self, at::Tensor& out) {
  const OperatorScope scope("index_reduce");
  WithOutputs<at::meta::structured_index_reduce> call(out);
  const auto precomputed = call.meta(self, dim, index, source, reduce, include_self);
  const at::native::ReductionType reduction = at::native::get_operator_enum(reduce, /*use_new_options=*/true);
  check_numeric("index_reduce_func_exclude_input_init", self.scalar_type());
  check_implemented(!self.is_complex(), "index_func", self.scalar_type());
  const at::Tensor& result = call.output();
  if (is_wider_mean(reduce, self.scalar_type())) {
    result.copy_(self.to(c10::kFloat).index_reduce(dim, index, source.to(c10::kFloat), reduce, include_self));
    call.finish();
    return out;
  }
  if (!result.is_same(self)) result.copy_(self);
  if (index.numel() != 0) {
    if (!include_self) result.index_fill_(precomputed.dim, index, neutral(reduction, self.scalar_type()));
    const at::Tensor values = at_least_1d(source);
    if (values.numel() != 0)
      join_along_dim(reduction, values, result, precomputed.dim, along(index, values.sizes(), precomputed.dim));
    if (reduction == at::native::ReductionType::MEAN) {
      at::Tensor counts = include_self ? at::ones_like(result) : at::zeros_like(result);
      counts.index_add_(precomputed.dim, index, at::ones_like(source));
      counts.masked_fill_(counts.eq(0), 1);
      if (c10::isFloatingType(result.scalar_type())) {
        result.div_(counts);
      } else {
        result.div_(counts, "floor");
      }
    }
  }
  call.finish();
  return out;
}

at::Tensor& scatter_operator_out(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
                                 c10::string_view reduce, at::Tensor& out) {
  WithOutputs<at::native::structured_scatter_reduce_out> call(out);
  call.meta(self, dim, index, source, reduce);
  call.impl(self, dim, index, source, reduce, call.output());
  call.finish();
  return out;
}

at::Tensor& scatter_value_operator_out(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                                       const at::Scalar& value, c10::string_view reduce, at::Tensor& out) {
  WithOutputs<at::native::structured_scatter_value_reduce_out> call(out);
  call.meta(self, dim, index, value, reduce);
  call.impl(self, dim, index, value, reduce, call.output());
  call.finish();
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(scatter_add_stub, &mtia::torch_backend::scatter_add_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_reduce_stub, &mtia::torch_backend::scatter_operator_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_scalar_reduce_stub, &mtia::torch_backend::scatter_value_operator_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_reduce_two_stub, &mtia::torch_backend::scatter_reduce_kernel)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("scatter_add.out", scatter_add_out);
  library.impl("scatter.reduce_out", scatter_operator_out);
  library.impl("scatter.value_reduce_out", scatter_value_operator_out);
  library.impl("scatter_reduce.two_out", scatter_reduce_two_out);
  library.impl("index_add.out", index_add_out);
  library.impl("index_reduce.out", index_reduce_out);
}
