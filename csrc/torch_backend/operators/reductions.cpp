// Reductions over any set of dimensions.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/all_meta.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/amax_meta.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/amin_meta.h>
#include <ATen/ops/aminmax_meta.h>
#include <ATen/ops/any_meta.h>
#include <ATen/ops/argmax_meta.h>
#include <ATen/ops/argmin_meta.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/cumprod_meta.h>
#include <ATen/ops/cumsum_meta.h>
#include <ATen/ops/linalg_vector_norm_meta.h>
#include <ATen/ops/max_meta.h>
#include <ATen/ops/mean_meta.h>
#include <ATen/ops/min_meta.h>
#include <ATen/ops/prod_meta.h>
#include <ATen/ops/sum_meta.h>
#include <ATen/ops/view_as_real.h>
#include <torch/library.h>

#include <cmath>

#include "runtime/device.h"
#include "torch_backend/device.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/memory/address.h"
#include "torch_backend/operators/complex_reductions.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

using Dims = at::OptionalIntArrayRef;

// The result of reducing nothing; without one (amax of nothing) the meta function has already refused.
using Identity = std::optional<c10::Scalar>;

// out = self reduced over the masked dimensions; out holds the kept elements in order, in its own dtype.
void reduce(const KernelId& kernel, const at::Tensor& self, const c10::SmallVector<bool, 8>& mask,
            const at::Tensor& out, const Identity& identity, std::initializer_list<ScalarArgument> scalars = {}) {
  if (out.numel() == 0) return;
  if (self.numel() == 0) {
    TORCH_CHECK(identity.has_value(), kernel.name(),
                ": a reduction over no elements has no result; give it a dimension of size > 0");
    out.fill_(*identity);
    return;
  }
  const ReductionView view = reduction_view(self, mask);
  const at::Tensor dense = out.is_contiguous() ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  launch_kernel(kernel, {dense, view.storage}, view.sizes, scalars);
  if (!dense.is_same(out)) out.copy_(dense);
}

void reduce(const KernelId& kernel, const at::Tensor& self, Dims dims, const at::Tensor& out,
            const Identity& identity) {
  reduce(kernel, self, dimension_mask(dims, self.dim()), out, identity);
}

// Of floats that the caller wants as integers, each is made one before they are joined, as CPU torch does.
at::Tensor made_integers(const at::Tensor& self, c10::ScalarType result) {
  const bool converts = at::isFloatingType(self.scalar_type()) && at::isIntegralType(result, /*includeBool=*/true);
  return converts ? self.to(result) : self;
}

// What is linear is done to both parts, as with torch.view_as_real.
template <typename Function>
void for_both_parts(const at::Tensor& self, const at::Tensor& out, Function&& function) {
  const at::Tensor parts = at::view_as_real(self.resolve_conj());
  const at::Tensor results = at::view_as_real(out);
  for (int64_t part = 0; part < 2; ++part) results.select(-1, part).copy_(function(parts.select(-1, part)));
}

at::Tensor& sum_out(const at::Tensor& self, Dims dim, bool keepdim, std::optional<at::ScalarType> dtype,
                    at::Tensor& out) {
  static const KernelId kernel("reduce.sum");
  WithOutputs<at::meta::structured_sum_dim_IntList> call(out);
  call.meta(self, dim, keepdim, dtype);
  if (call.output().is_complex()) {
    const at::Tensor numbers = self.to(call.output().scalar_type());
    for_both_parts(numbers, call.output(), [&](const at::Tensor& part) { return part.sum(dim, keepdim); });
  } else {
    reduce(kernel, made_integers(self, call.output().scalar_type()), dim, call.output(), c10::Scalar(0));
  }
  call.finish();
  return out;
}

at::Tensor& mean_out(const at::Tensor& self, Dims dim, bool keepdim, std::optional<at::ScalarType> dtype,
                     at::Tensor& out) {
  static const KernelId kernel("reduce.mean");
  WithOutputs<at::meta::structured_mean_dim> call(out);
  call.meta(self, dim, keepdim, dtype);
  check_convertible("mean", call.output(), dtype.value_or(self.scalar_type()), self.device());
  if (self.is_complex()) {
    for_both_parts(self, call.output(), [&](const at::Tensor& part) { return part.mean(dim, keepdim); });
  } else {
    reduce(kernel, self, dim, call.output(), c10::Scalar(NAN));
  }
  call.finish();
  return out;
}

// Floats have a kernel of their own, in which nothing overflows on its way to the product.
const KernelId& prod_kernel(const at::Tensor& out) {
  static const KernelId integers("reduce.prod");
  static const KernelId floats("scaled_product");
  return at::isFloatingType(out.scalar_type()) ? floats : integers;
}

at::Tensor& prod_out(const at::Tensor& self, int64_t dim, bool keepdim, std::optional<at::ScalarType> dtype,
                     at::Tensor& out) {
  WithOutputs<at::meta::structured_prod_dim_int> call(out);
  call.meta(self, dim, keepdim, dtype);
  const at::Tensor& result = call.output();
  if (result.is_complex()) {
    const at::Tensor product =
        complex_product_of(self.to(result.scalar_type()), dimension_mask(c10::IntArrayRef(dim), self.dim()));
    result.copy_(product.view(result.sizes()));
  } else {
    reduce(prod_kernel(result), made_integers(self, result.scalar_type()), c10::IntArrayRef(dim), result,
           c10::Scalar(1));
  }
  call.finish();
  return out;
}

at::Tensor prod(const at::Tensor& self, std::optional<at::ScalarType> dtype) {
  const at::ScalarType result =
      dtype.value_or(at::isIntegralType(self.scalar_type(), true) ? at::kLong : self.scalar_type());
  if (c10::isComplexType(result)) return complex_product_of(self.to(result), dimension_mask(std::nullopt, self.dim()));
  at::Tensor out = empty_device({}, result, self.device());
  reduce(prod_kernel(out), made_integers(self, result), std::nullopt, out, c10::Scalar(1));
  return out;
}

template <typename Meta>
at::Tensor& extreme_out(const char* name, const at::Tensor& self, c10::IntArrayRef dim, bool keepdim, at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(self, dim, keepdim);
  reduce(KernelId(name), self, Dims(dim), call.output(), std::nullopt);
  call.finish();
  return out;
}

at::Tensor& amax_out(const at::Tensor& self, c10::IntArrayRef dim, bool keepdim, at::Tensor& out) {
  return extreme_out<at::meta::structured_amax>("reduce.amax", self, dim, keepdim, out);
}

at::Tensor& amin_out(const at::Tensor& self, c10::IntArrayRef dim, bool keepdim, at::Tensor& out) {
  return extreme_out<at::meta::structured_amin>("reduce.amin", self, dim, keepdim, out);
}

at::Tensor max(const at::Tensor& self) {
  TORCH_CHECK(self.numel() > 0,
              "max(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
              "the 'dim' argument.");
  return at::amax(self);
}

at::Tensor min(const at::Tensor& self) {
  TORCH_CHECK(self.numel() > 0,
              "min(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
              "the 'dim' argument.");
  return at::amin(self);
}

at::Tensor& max_all_out(const at::Tensor& self, at::Tensor& out) {
  check_convertible("max", out, self.scalar_type(), self.device());
  return write_output(out, torch_backend::max(self));
}

at::Tensor& min_all_out(const at::Tensor& self, at::Tensor& out) {
  check_convertible("min", out, self.scalar_type(), self.device());
  return write_output(out, torch_backend::min(self));
}

std::tuple<at::Tensor&, at::Tensor&> aminmax_out(const at::Tensor& self, std::optional<int64_t> dim, bool keepdim,
                                                 at::Tensor& low, at::Tensor& high) {
  WithOutputs<at::meta::structured_aminmax> call(low, high);
  call.meta(self, dim, keepdim);
  const auto mask = dimension_mask(dim ? Dims(c10::IntArrayRef(*dim)) : Dims(), self.dim());
  reduce(KernelId("reduce.amin"), self, mask, call.output(0), std::nullopt);
  reduce(KernelId("reduce.amax"), self, mask, call.output(1), std::nullopt);
  call.finish();
  return {low, high};
}

// The extreme elements and where they stand; either output may be undefined.
void with_index(bool largest, const at::Tensor& self, const c10::SmallVector<bool, 8>& mask, const at::Tensor& values,
                const at::Tensor& indices) {
  static const KernelId max_kernel("max_with_index");
  static const KernelId min_kernel("min_with_index");
  const auto dense = [](const at::Tensor& out) {
    return !out.defined() || out.is_contiguous() ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  };
  const at::Tensor dense_values = dense(values);
  const at::Tensor dense_indices = dense(indices);
  const ReductionView view = reduction_view(self, mask);
  KernelCall call(largest ? max_kernel : min_kernel, self.device().index());
  call.tensor(dense_values).tensor(dense_indices).tensor(view.storage).sizes(view.sizes).launch();
  if (!dense_values.is_same(values)) values.copy_(dense_values);
  if (!dense_indices.is_same(indices)) indices.copy_(dense_indices);
}

template <typename Meta>
at::Tensor& arg_extreme_out(bool largest, const at::Tensor& self, std::optional<int64_t> dim, bool keepdim,
                            at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(self, dim, keepdim);
  if (call.output().numel() != 0) {
    // Without a dimension the index counts the elements in order.
    with_index(largest, self, dimension_mask(dim ? Dims(c10::IntArrayRef(*dim)) : Dims(), self.dim()), {},
               call.output());
  }
  call.finish();
  return out;
}

at::Tensor& argmax_out(const at::Tensor& self, std::optional<int64_t> dim, bool keepdim, at::Tensor& out) {
  return arg_extreme_out<at::meta::structured_argmax>(true, self, dim, keepdim, out);
}

at::Tensor& argmin_out(const at::Tensor& self, std::optional<int64_t> dim, bool keepdim, at::Tensor& out) {
  return arg_extreme_out<at::meta::structured_argmin>(false, self, dim, keepdim, out);
}

template <typename Meta>
std::tuple<at::Tensor&, at::Tensor&> extreme_dim_out(bool largest, const at::Tensor& self, int64_t dim, bool keepdim,
                                                     at::Tensor& values, at::Tensor& indices) {
  WithOutputs<Meta> call(values, indices);
  call.meta(self, dim, keepdim);
  if (call.output(0).numel() != 0) {
    with_index(largest, self, dimension_mask(Dims(c10::IntArrayRef(dim)), self.dim()), call.output(0), call.output(1));
  }
  call.finish();
  return {values, indices};
}

std::tuple<at::Tensor&, at::Tensor&> max_dim_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                                                 at::Tensor& indices) {
  return extreme_dim_out<at::meta::structured_max_dim>(true, self, dim, keepdim, values, indices);
}

std::tuple<at::Tensor&, at::Tensor&> min_dim_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                                                 at::Tensor& indices) {
  return extreme_dim_out<at::meta::structured_min_dim>(false, self, dim, keepdim, values, indices);
}

at::Tensor truth_of(const at::Tensor& self) { return self.is_complex() ? self.ne(0) : self; }

const KernelId& any_kernel() {
  static const KernelId kernel("reduce.any");
  return kernel;
}

const KernelId& all_kernel() {
  static const KernelId kernel("reduce.all");
  return kernel;
}

template <typename Meta>
at::Tensor& logical_dim_out(const KernelId& kernel, bool identity, const at::Tensor& self, int64_t dim, bool keepdim,
                            at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(self, dim, keepdim);
  reduce(kernel, truth_of(self), c10::IntArrayRef(dim), call.output(), c10::Scalar(identity));
  call.finish();
  return out;
}

template <typename Meta>
at::Tensor& logical_dims_out(const KernelId& kernel, bool identity, const at::Tensor& self, Dims dim, bool keepdim,
                             at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(self, dim, keepdim);
  // Unlike for sum, an empty list names no dimension here.
  const bool none = dim.has_value() && dim->empty();
  const auto mask =
      none ? c10::SmallVector<bool, 8>(static_cast<size_t>(self.dim()), false) : dimension_mask(dim, self.dim());
  reduce(kernel, truth_of(self), mask, call.output(), c10::Scalar(identity));
  call.finish();
  return out;
}

template <typename Meta>
at::Tensor& logical_all_out(const KernelId& kernel, bool identity, const at::Tensor& self, at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(self);
  reduce(kernel, truth_of(self), std::nullopt, call.output(), c10::Scalar(identity));
  call.finish();
  return out;
}

at::Tensor& any_dim_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& out) {
  return logical_dim_out<at::meta::structured_any_dim>(any_kernel(), false, self, dim, keepdim, out);
}
at::Tensor& any_dims_out(const at::Tensor& self, Dims dim, bool keepdim, at::Tensor& out) {
  return logical_dims_out<at::meta::structured_any_dims>(any_kernel(), false, self, dim, keepdim, out);
}
at::Tensor& any_all_out(const at::Tensor& self, at::Tensor& out) {
  return logical_all_out<at::meta::structured_any>(any_kernel(), false, self, out);
}
at::Tensor& all_dim_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& out) {
  return logical_dim_out<at::meta::structured_all_dim>(all_kernel(), true, self, dim, keepdim, out);
}
at::Tensor& all_dims_out(const at::Tensor& self, Dims dim, bool keepdim, at::Tensor& out) {
  return logical_dims_out<at::meta::structured_all_dims>(all_kernel(), true, self, dim, keepdim, out);
}
at::Tensor& all_all_out(const at::Tensor& self, at::Tensor& out) {
  logical_all_out<at::meta::structured_all>(all_kernel(), true, self, out);
  // What programs ask of all elements is as a rule so: that numbers are finite, parameters valid, a loop done.
  runtime::Device& device = device_of(out.device().index());
  if (device.mode() == runtime::Mode::timing) [[unlikely]]
    device.assume_one(address_of(out));
  return out;
}

// The orders that need no power have kernels of their own.
at::Tensor& linalg_vector_norm_out(const at::Tensor& given, const at::Scalar& order, Dims dim, bool keepdim,
                                   std::optional<at::ScalarType> dtype, at::Tensor& out) {
  WithOutputs<at::meta::structured_linalg_vector_norm> call(out);
  call.meta(given, order, dim, keepdim, dtype);
  const at::Tensor self = given.is_complex() ? given.abs() : given;
  const double p = order.toDouble();
  const auto mask = dimension_mask(dim, self.dim());
  const Identity identity = c10::Scalar(p < 0 ? INFINITY : 0.0);
  static const KernelId norm_2("reduce.norm_2");
  if (p == 2) {
    reduce(norm_2, self, mask, call.output(), identity);
  } else if (p == 0 || p == 1 || std::isinf(p)) {
    reduce(KernelId(p == 0   ? "reduce.norm_0"
                    : p == 1 ? "reduce.norm_1"
                    : p > 0  ? "reduce.norm_inf"
                             : "reduce.norm_negative_inf"),
           self, mask, call.output(), identity);
  } else {
    reduce(KernelId(p > 0 ? "reduce.norm_p" : "reduce.norm_negative_p"), self, mask, call.output(), identity, {p});
  }
  call.finish();
  return out;
}

// [kept] of a reduction over the mask, or with sizes of 1 for the reduced dimensions.
c10::SmallVector<int64_t, 8> reduced_sizes(const at::Tensor& self, const c10::SmallVector<bool, 8>& mask,
                                           bool keepdim) {
  c10::SmallVector<int64_t, 8> sizes;
  for (int64_t i = 0; i < self.dim(); ++i) {
    if (!mask[static_cast<size_t>(i)]) {
      sizes.push_back(self.size(i));
    } else if (keepdim) {
      sizes.push_back(1);
    }
  }
  return sizes;
}

std::tuple<at::Tensor, at::Tensor> moments(bool root, bool with_mean, const at::Tensor& self, Dims dim,
                                           const std::optional<at::Scalar>& correction, bool keepdim) {
  static const KernelId variance_kernel("variance");
  static const KernelId deviation_kernel("standard_deviation");
  if (self.is_complex()) {
    // The squares of both parts' distances add up.
    const at::Tensor parts = at::view_as_real(self.resolve_conj());
    const auto [real, real_mean] = moments(false, with_mean, parts.select(-1, 0), dim, correction, keepdim);
    const auto [imaginary, imaginary_mean] = moments(false, with_mean, parts.select(-1, 1), dim, correction, keepdim);
    const at::Tensor variance = real.add(imaginary);
    return {root ? variance.sqrt() : variance, with_mean ? at::complex(real_mean, imaginary_mean) : at::Tensor()};
  }
  TORCH_CHECK(at::isFloatingType(self.scalar_type()), "std and var only support floating point dtypes, got ",
              self.scalar_type());
  const auto mask = dimension_mask(dim, self.dim());
  const auto sizes = reduced_sizes(self, mask, keepdim);
  at::Tensor out = empty_device(sizes, self.scalar_type(), self.device());
  at::Tensor mean = with_mean ? empty_device(sizes, self.scalar_type(), self.device()) : at::Tensor();
  if (out.numel() == 0) return {out, mean};
  if (self.numel() == 0) {
    out.fill_(NAN);
    if (with_mean) mean.fill_(NAN);
    return {out, mean};
  }
  const ReductionView view = reduction_view(self, mask);
  launch_kernel(root ? deviation_kernel : variance_kernel, {out, mean, view.storage}, view.sizes,
                {correction ? correction->toDouble() : 1.0});
  return {out, mean};
}

at::Tensor variance_of(const at::Tensor& self, Dims dim, const std::optional<at::Scalar>& correction, bool keepdim) {
  return std::get<0>(moments(false, false, self, dim, correction, keepdim));
}
at::Tensor standard_deviation(const at::Tensor& self, Dims dim, const std::optional<at::Scalar>& correction,
                              bool keepdim) {
  return std::get<0>(moments(true, false, self, dim, correction, keepdim));
}
at::Tensor& variance_out(const at::Tensor& self, Dims dim, const std::optional<at::Scalar>& correction, bool keepdim,
                         at::Tensor& out) {
  check_convertible("var", out, c10::toRealValueType(self.scalar_type()), self.device());
  return write_output(out, variance_of(self, dim, correction, keepdim));
}
at::Tensor& standard_deviation_out(const at::Tensor& self, Dims dim, const std::optional<at::Scalar>& correction,
                                   bool keepdim, at::Tensor& out) {
  check_convertible("std", out, c10::toRealValueType(self.scalar_type()), self.device());
  return write_output(out, standard_deviation(self, dim, correction, keepdim));
}
std::tuple<at::Tensor, at::Tensor> variance_and_mean(const at::Tensor& self, Dims dim,
                                                     const std::optional<at::Scalar>& correction, bool keepdim) {
  return moments(false, true, self, dim, correction, keepdim);
}
std::tuple<at::Tensor, at::Tensor> deviation_and_mean(const at::Tensor& self, Dims dim,
                                                      const std::optional<at::Scalar>& correction, bool keepdim) {
  return moments(true, true, self, dim, correction, keepdim);
}

at::Tensor count_nonzero(const at::Tensor& self, c10::IntArrayRef dims) { return self.ne(0).sum(dims); }

at::Tensor nansum(const at::Tensor& self, Dims dim, bool keepdim, std::optional<at::ScalarType> dtype) {
  if (at::isIntegralType(self.scalar_type(), true)) return self.sum(dim, keepdim, dtype);
  const c10::ScalarType result = dtype.value_or(self.scalar_type());
  check_implemented(!self.is_complex() && !c10::isComplexType(result), "nansum_cpu", result);
  return self.masked_fill(self.isnan(), 0).sum(dim, keepdim, dtype);
}

at::Tensor& nansum_out(const at::Tensor& self, Dims dim, bool keepdim, std::optional<at::ScalarType> dtype,
                       at::Tensor& out) {
  check_same_device("nansum", self.device(), out);
  const c10::ScalarType result = dtype.value_or(out.scalar_type());
  check_output("nansum", out, result, self.device());
  const bool as_given = dtype.has_value() || at::isIntegralType(self.scalar_type(), true);
  check_implemented(as_given || c10::isFloatingType(result), "nansum_cpu", result);
  return write_output(out, nansum(self, dim, keepdim, result));
}

std::tuple<at::Tensor, at::Tensor> aminmax_of_all(const at::Tensor& self) { return {self.amin(), self.amax()}; }

std::tuple<at::Tensor, at::Tensor> aminmax_along(const at::Tensor& self, int64_t dim, bool keepdim) {
  return {self.amin(dim, keepdim), self.amax(dim, keepdim)};
}

template <typename Meta>
at::Tensor& scan_out(const char* name, const KernelId& kernel, const at::Tensor& given, int64_t dim,
                     std::optional<at::ScalarType> dtype, at::Tensor& out) {
  WithOutputs<Meta> call(out);
  call.meta(given, dim, dtype);
  const at::Tensor& result = call.output();
  check_implemented(result.scalar_type() != c10::kBool, name, result.scalar_type());
  check_separate(out, {given});
  const at::Tensor self = made_integers(given, result.scalar_type());
  if (self.is_complex()) {
    for_both_parts(self, result, [&](const at::Tensor& part) {
      return part.cumsum(self.dim() == 0 ? -1 : at::maybe_wrap_dim(dim, self.dim()));
    });
  } else if (result.numel() != 0) {
    const AxisView view = axis_view(self, dim);
    const at::Tensor dense =
        result.is_contiguous() ? result : empty_device(result.sizes(), result.scalar_type(), result.device());
    const AxisView target = axis_view(dense, dim);
    launch_kernel(kernel, {dense, view.storage},
                  {view.outer, view.axis, view.inner, view.outer_stride, view.axis_stride, view.inner_stride,
                   target.outer_stride, target.axis_stride, target.inner_stride});
    if (!dense.is_same(result)) result.copy_(dense);
  }
  call.finish();
  return out;
}

at::Tensor& cumsum_out(const at::Tensor& self, int64_t dim, std::optional<at::ScalarType> dtype, at::Tensor& out) {
  static const KernelId kernel("cumulative_sum");
  return scan_out<at::meta::structured_cumsum>("cumsum", kernel, self, dim, dtype, out);
}

at::Tensor& cumprod_out(const at::Tensor& self, int64_t dim, std::optional<at::ScalarType> dtype, at::Tensor& out) {
  static const KernelId integers("cumulative_product");
  static const KernelId floats("scaled_cumulative_product");
  const bool is_floating = at::isFloatingType(dtype.value_or(self.scalar_type()));
  const c10::ScalarType result = dtype.value_or(self.scalar_type());
  if (c10::isComplexType(result)) {
    WithOutputs<at::meta::structured_cumprod> call(out);
    call.meta(self, dim, dtype);
    check_separate(out, {self});
    call.output().copy_(complex_running_product(self.to(result), dim));
    call.finish();
    return out;
  }
  return scan_out<at::meta::structured_cumprod>("cumprod", is_floating ? floats : integers, self, dim, dtype, out);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("sum.IntList_out", sum_out);
  library.impl("mean.out", mean_out);
  library.impl("prod.int_out", prod_out);
  library.impl("prod", prod);
  library.impl("amax.out", amax_out);
  library.impl("amin.out", amin_out);
  library.impl("aminmax.out", aminmax_out);
  library.impl("max", max);
  library.impl("min", min);
  library.impl("max.dim_max", max_dim_out);
  library.impl("min.dim_min", min_dim_out);
  library.impl("argmax.out", argmax_out);
  library.impl("argmin.out", argmin_out);
  library.impl("any.out", any_dim_out);
  library.impl("any.dims_out", any_dims_out);
  library.impl("any.all_out", any_all_out);
  library.impl("all.out", all_dim_out);
  library.impl("all.dims_out", all_dims_out);
  library.impl("all.all_out", all_all_out);
  library.impl("linalg_vector_norm.out", linalg_vector_norm_out);
  library.impl("var.correction", variance_of);
  library.impl("var.correction_out", variance_out);
  library.impl("std.correction", standard_deviation);
  library.impl("std.correction_out", standard_deviation_out);
  library.impl("var_mean.correction", variance_and_mean);
  library.impl("std_mean.correction", deviation_and_mean);
  library.impl("count_nonzero.dim_IntList", count_nonzero);
  library.impl("nansum", nansum);
  library.impl("nansum.out", nansum_out);
  library.impl("_aminmax", aminmax_of_all);
  library.impl("_aminmax.dim", aminmax_along);
  library.impl("max.unary_out", max_all_out);
  library.impl("min.unary_out", min_all_out);
  library.impl("cumsum.out", cumsum_out);
  library.impl("cumprod.out", cumprod_out);
}
