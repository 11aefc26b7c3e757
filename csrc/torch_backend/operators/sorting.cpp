// Sorting along a dimension, and the operators that follow from it.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sort_meta.h>
#include <ATen/ops/topk_meta.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "kernels/cpp/sort.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// Sorts `self` along `dim` and keeps the first `kept` into values and indices of that size.
void sort_into(const at::Tensor& self, int64_t dim, int64_t kept, bool descending, const at::Tensor& values,
               const at::Tensor& indices) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("sort");
  if (values.numel() == 0) return;
  const RowView view = row_view(self, dim);
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  c10::SmallVector<int64_t, 8> sizes(view.storage.sizes().begin(), view.storage.sizes().end());
  if (!sizes.empty()) sizes.back() = kept;
  const at::Tensor row_values = empty_device(sizes, values.scalar_type(), self.device());
  const at::Tensor row_indices = empty_device(sizes, c10::kLong, self.device());
  kernels::SortArguments arguments;
  arguments.values = reinterpret_cast<uint64_t>(row_values.const_data_ptr());
  arguments.indices = reinterpret_cast<uint64_t>(row_indices.const_data_ptr());
  arguments.source = reinterpret_cast<uint64_t>(view.storage.const_data_ptr());
  arguments.rows = view.rows;
  arguments.length = view.columns;
  arguments.kept = kept;
  arguments.row_stride = view.row_stride;
  arguments.dtype = chip_dtype(self.scalar_type()).dtype;
  arguments.is_unsigned = chip_dtype(self.scalar_type()).is_unsigned;
  arguments.descending = descending;
  launch_cpp_kernel(kernel, self.device().index(), arguments);
  values.copy_(self.dim() == 0 ? row_values : row_values.movedim(-1, axis));
  indices.copy_(self.dim() == 0 ? row_indices : row_indices.movedim(-1, axis));
}

std::tuple<at::Tensor&, at::Tensor&> sort_out(const at::Tensor& self, std::optional<bool> stable, int64_t dim,
                                              bool descending, at::Tensor& values, at::Tensor& indices) {
  WithOutputs<at::meta::structured_sort_stable> call(values, indices);
  call.meta(self, stable, dim, descending);
  sort_into(self, dim, self.dim() == 0 ? 1 : self.size(dim), descending, call.output(0), call.output(1));
  call.finish();
  return {values, indices};
}

std::tuple<at::Tensor&, at::Tensor&> topk_out(const at::Tensor& self, int64_t k, int64_t dim, bool largest, bool sorted,
                                              at::Tensor& values, at::Tensor& indices) {
  WithOutputs<at::meta::structured_topk> call(values, indices);
  call.meta(self, k, dim, largest, sorted);
  sort_into(self, dim, self.dim() == 0 ? 1 : k, largest, call.output(0), call.output(1));
  call.finish();
  return {values, indices};
}

std::tuple<at::Tensor, at::Tensor> kthvalue(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim) {
  TORCH_CHECK(k >= 1 && (self.dim() == 0 ? k == 1 : k <= self.size(dim)),
              "selected number k out of range for dimension ", dim);
  if (self.dim() == 0) return {self.clone(), at::Tensor(empty_device({}, c10::kLong, self.device())).fill_(0)};
  const auto [values, indices] = self.topk(k, dim, /*largest=*/false, /*sorted=*/true);
  const at::Tensor value = values.narrow(dim, k - 1, 1);
  const at::Tensor index = indices.narrow(dim, k - 1, 1);
  return {keepdim ? value.contiguous() : value.squeeze(dim).contiguous(),
          keepdim ? index.contiguous() : index.squeeze(dim).contiguous()};
}

// The lower median, as torch defines it. NaN sorts behind all numbers: it is the median where there is one, or the
// median is that of what stands before it.
std::tuple<at::Tensor, at::Tensor> median_along(const at::Tensor& self, int64_t dim, bool keepdim, bool ignores_nan) {
  const int64_t length = self.dim() == 0 ? 1 : self.size(dim);
  TORCH_CHECK_INDEX(length > 0, "median(): Expected reduction dim ", dim, " to have non-zero size.");
  if (self.dim() == 0 || self.numel() == 0 || !at::isFloatingType(self.scalar_type()))
    return torch_backend::kthvalue(self, (length + 1) / 2, dim, keepdim);
  const auto [sorted, order] = self.sort(/*stable=*/true, dim, /*descending=*/false);
  const at::Tensor nans = self.isnan().sum(dim, /*keepdim=*/true);
  const at::Tensor numbers = nans.neg().add(length);
  const at::Tensor place = ignores_nan
                               ? numbers.sub(1).clamp_min(0).bitwise_right_shift(1)
                               : at::where(nans.gt(0), numbers, at::scalar_tensor((length - 1) / 2, numbers.options()));
  const at::Tensor value = sorted.gather(dim, place);
  const at::Tensor index = order.gather(dim, place);
  return {keepdim ? value : value.squeeze(dim), keepdim ? index : index.squeeze(dim)};
}

std::tuple<at::Tensor&, at::Tensor&> into(const std::tuple<at::Tensor, at::Tensor>& results, at::Tensor& values,
                                          at::Tensor& indices) {
  const auto& [value, index] = results;
  at::native::resize_output(values, value.sizes());
  at::native::resize_output(indices, index.sizes());
  values.copy_(value);
  indices.copy_(index);
  return {values, indices};
}

std::tuple<at::Tensor&, at::Tensor&> median_dim_out(const at::Tensor& self, int64_t dim, bool keepdim,
                                                    at::Tensor& values, at::Tensor& indices) {
  return into(median_along(self, dim, keepdim, false), values, indices);
}

std::tuple<at::Tensor&, at::Tensor&> nanmedian_dim_out(const at::Tensor& self, int64_t dim, bool keepdim,
                                                       at::Tensor& values, at::Tensor& indices) {
  return into(median_along(self, dim, keepdim, true), values, indices);
}

// Of nothing: NaN, and what the CPU makes of it in an integer.
at::Tensor median_of_nothing(const at::Tensor& self) {
  at::Tensor result = empty_device({}, self.scalar_type(), self.device());
  switch (self.scalar_type()) {
    case c10::kLong:
      return result.fill_(std::numeric_limits<int64_t>::min());
    case c10::kInt:
      return result.fill_(std::numeric_limits<int32_t>::min());
    default:
      return at::isFloatingType(self.scalar_type()) ? result.fill_(NAN) : result.fill_(0);
  }
}

at::Tensor median(const at::Tensor& self) {
  if (self.numel() == 0) return median_of_nothing(self);
  return std::get<0>(median_along(self.reshape({-1}), 0, false, false));
}

at::Tensor nanmedian(const at::Tensor& self) {
  if (self.numel() == 0) return median_of_nothing(self);
  return std::get<0>(median_along(self.reshape({-1}), 0, false, true));
}

at::Tensor isin_tensors(const at::Tensor& elements, const at::Tensor& tests, bool invert) {
  const at::Tensor found = elements.unsqueeze(-1).eq(tests.reshape({-1})).any(-1);
  return invert ? found.logical_not() : found;
}

at::Tensor& isin_out(const at::Tensor& elements, const at::Tensor& tests, bool, bool invert, at::Tensor& out) {
  const at::Tensor found = isin_tensors(elements, tests, invert);
  at::native::resize_output(out, found.sizes());
  return out.copy_(found);
}

at::Tensor& isin_scalar_out(const at::Tensor& elements, const at::Scalar& test, bool, bool invert, at::Tensor& out) {
  const at::Tensor found = invert ? elements.ne(test) : elements.eq(test);
  at::native::resize_output(out, found.sizes());
  return out.copy_(found);
}

// The number of boundaries below (or, with `right`, not above) each value; NaN is above all of them.
at::Tensor searchsorted(const at::Tensor& sorted, const at::Tensor& values, bool out_int32, bool right,
                        std::optional<c10::string_view> side, const std::optional<at::Tensor>& sorter) {
  const bool upper = right || (side.has_value() && *side == "right");
  at::Tensor boundaries = sorter.has_value() && sorter->defined() ? sorted.gather(-1, *sorter) : sorted;
  const at::Tensor row = boundaries.dim() == 1 ? boundaries : boundaries.unsqueeze(-2);
  const at::Tensor value = values.unsqueeze(-1);
  const at::Tensor before = upper ? row.le(value) : row.lt(value);
  const at::Tensor behind = upper ? row.gt(value) : row.ge(value);
  // Where no boundary is behind a value, it comes last: NaN does, and what is larger than all boundaries but NaN.
  const at::Tensor last = behind.any(-1).logical_not();
  return before.sum(-1, /*keepdim=*/false, out_int32 ? c10::kInt : c10::kLong).masked_fill_(last, row.size(-1));
}

at::Tensor bucketize(const at::Tensor& self, const at::Tensor& boundaries, bool out_int32, bool right) {
  return torch_backend::searchsorted(boundaries, self, out_int32, right, std::nullopt, std::nullopt);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("sort.values_stable", sort_out);
  library.impl("topk.values", topk_out);
  library.impl("kthvalue", kthvalue);
  library.impl("median", median);
  library.impl("median.dim_values", median_dim_out);
  library.impl("nanmedian", mtia::torch_backend::nanmedian);
  library.impl("nanmedian.dim_values", nanmedian_dim_out);
  library.impl("isin.Tensor_Tensor_out", isin_out);
  library.impl("isin.Tensor_Scalar_out", isin_scalar_out);
  library.impl("searchsorted.Tensor", mtia::torch_backend::searchsorted);
  library.impl("bucketize.Tensor", mtia::torch_backend::bucketize);
}
