// Sorting along a dimension, and the operators that follow from it.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sort_meta.h>
#include <ATen/ops/topk_meta.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "chip/chip_spec.h"
#include "kernels/cpp/sort.h"
#include "runtime/runtime.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// Rows of elements with the positions that they had, as matrices that fit behind each other.
struct SortedRows {
  at::Tensor values;
  at::Tensor indices;  // undefined: positions in the row
  int64_t row_stride = 0;
};

// Sorts the rows of a matrix and keeps the first `kept` of each. Rows beyond local memory, and rows that are too few to
// give each PE one, are cut into runs, which are sorted and then merged pass by pass; where few are kept, the first of
// each run are sorted again instead.
class RowSorter {
 public:
  RowSorter(const at::Tensor& self, int64_t rows, int64_t kept, bool descending)
      : device_(self.device()),
        dtype_(self.scalar_type()),
        chip_dtype_(chip_dtype(dtype_)),
        longest_run_(kernels::longest_sort_run(runtime::chip(), chip_dtype_.dtype)),
        rows_(rows),
        kept_(kept),
        descending_(descending) {}

  // `values` and `indices`: contiguous, [rows, kept].
  void sort(const RowView& view, const at::Tensor& values, const at::Tensor& indices) const {
    SortedRows source{view.storage, {}, view.row_stride};
    const SortedRows result{values, indices, kept_};
    int64_t length = view.columns;
    while (true) {
      const kernels::RunLayout runs{length, run_length(length)};
      if (runs.count() == 1) {
        sort_runs(source, runs, result);
        return;
      }
      kernels::RunLayout sorted = runs.cut(kept_);
      source = sort_runs(source, runs, empty(sorted.length));
      length = sorted.length;
      // Merging takes log2(count) passes, sorting what is left one or two.
      if (8 * sorted.length <= runs.length) continue;
      while (sorted.count() > 2) {
        const kernels::RunLayout merged = sorted.merged(kept_);
        source = merge_runs(source, sorted, empty(merged.length));
        sorted = merged;
      }
      merge_runs(source, sorted, result);
      return;
    }
  }

 private:
  static constexpr int64_t shortest_run = 4096;

  int64_t run_length(int64_t length) const {
    const int64_t pes_a_row = std::max<int64_t>(1, runtime::chip().pe_count() / rows_);
    const int64_t share = (length + pes_a_row - 1) / pes_a_row;
    return std::min({length, longest_run_, std::max(share, shortest_run)});
  }

  SortedRows empty(int64_t length) const {
    const std::array<int64_t, 2> sizes{rows_, length};
    return {empty_device(sizes, dtype_, device_), empty_device(sizes, c10::kLong, device_), length};
  }

  template <typename Arguments>
  Arguments arguments_for(const kernels::RunLayout& runs, const SortedRows& result) const {
    Arguments arguments;
    arguments.values = address_of(result.values);
    arguments.indices = address_of(result.indices);
    arguments.rows = rows_;
    arguments.runs = runs;
    arguments.kept = kept_;
    arguments.dtype = chip_dtype_.dtype;
    arguments.is_unsigned = chip_dtype_.is_unsigned;
    arguments.descending = descending_;
    return arguments;
  }

  SortedRows sort_runs(const SortedRows& source, const kernels::RunLayout& runs, const SortedRows& result) const {
    static const emulator::CppKernel& kernel = emulator::cpp_kernel("sort");
    auto arguments = arguments_for<kernels::SortArguments>(runs, result);
    arguments.source = address_to_read(source.values);
    arguments.source_indices = address_to_read(source.indices);
    arguments.row_stride = source.row_stride;
    launch_cpp_kernel(kernel, device_.index(), arguments,
                      {source.values, source.indices, result.values, result.indices});
    return result;
  }

  SortedRows merge_runs(const SortedRows& source, const kernels::RunLayout& runs, const SortedRows& result) const {
    static const emulator::CppKernel& kernel = emulator::cpp_kernel("merge_runs");
    auto arguments = arguments_for<kernels::MergeArguments>(runs, result);
    arguments.source_values = address_to_read(source.values);
    arguments.source_indices = address_to_read(source.indices);
    launch_cpp_kernel(kernel, device_.index(), arguments,
                      {source.values, source.indices, result.values, result.indices});
    return result;
  }

  c10::Device device_;
  c10::ScalarType dtype_;
  ChipDType chip_dtype_;
  int64_t longest_run_;
  int64_t rows_;
  int64_t kept_;
  bool descending_;
};

// Values of `self` and their positions, each in an output of its own.
void check_selection(const char* operation, const at::Tensor& self, const at::Tensor& values,
                     const at::Tensor& indices) {
  check_output(operation, values, self.scalar_type(), self.device());
  check_output(operation, indices, c10::kLong, self.device());
  check_separate(values, {self});
  check_separate(indices, {self});
  check_apart(values, {indices});
}

std::tuple<at::Tensor&, at::Tensor&> write_selection(const std::tuple<at::Tensor, at::Tensor>& results,
                                                     at::Tensor& values, at::Tensor& indices) {
  write_output(values, std::get<0>(results));
  write_output(indices, std::get<1>(results));
  return {values, indices};
}

// Sorts `self` along `dim` and keeps the first `kept` into values and indices of that size.
void sort_into(const at::Tensor& self, int64_t dim, int64_t kept, bool descending, const at::Tensor& values,
               const at::Tensor& indices) {
  if (values.numel() == 0) return;
  const RowView view = row_view(self, dim);
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  const bool is_last = axis + 1 >= self.dim();
  const RowSorter sorter(self, view.rows, kept, descending);
  if (is_last && values.is_contiguous() && indices.is_contiguous() && !values.is_alias_of(self) &&
      !indices.is_alias_of(self))
    return sorter.sort(view, values, indices);
  c10::SmallVector<int64_t, 8> sizes(view.storage.sizes().begin(), view.storage.sizes().end());
  if (!sizes.empty()) sizes.back() = kept;
  const at::Tensor row_values = empty_device(sizes, values.scalar_type(), self.device());
  const at::Tensor row_indices = empty_device(sizes, c10::kLong, self.device());
  sorter.sort(view, row_values, row_indices);
  values.copy_(self.dim() == 0 ? row_values : row_values.movedim(-1, axis));
  indices.copy_(self.dim() == 0 ? row_indices : row_indices.movedim(-1, axis));
}

std::tuple<at::Tensor&, at::Tensor&> sort_out(const at::Tensor& self, std::optional<bool> stable, int64_t dim,
                                              bool descending, at::Tensor& values, at::Tensor& indices) {
  WithOutputs<at::meta::structured_sort_stable> call(values, indices);
  call.meta(self, stable, dim, descending);
  check_selection("sort", self, values, indices);
  sort_into(self, dim, self.dim() == 0 ? 1 : self.size(dim), descending, call.output(0), call.output(1));
  call.finish();
  return {values, indices};
}

std::tuple<at::Tensor&, at::Tensor&> topk_out(const at::Tensor& self, int64_t k, int64_t dim, bool largest, bool sorted,
                                              at::Tensor& values, at::Tensor& indices) {
  WithOutputs<at::meta::structured_topk> call(values, indices);
  call.meta(self, k, dim, largest, sorted);
  check_selection("topk", self, values, indices);
  sort_into(self, dim, self.dim() == 0 ? 1 : k, largest, call.output(0), call.output(1));
  call.finish();
  return {values, indices};
}

std::tuple<at::Tensor, at::Tensor> kthvalue(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim) {
  const int64_t axis = at::maybe_wrap_dim(dim, self.dim());
  check_numeric("kthvalue", self.scalar_type());
  if (self.dim() > 0)
    TORCH_CHECK_INDEX(self.size(axis) > 0, "kthvalue(): Expected reduction dim ", axis, " to have non-zero size.");
  TORCH_CHECK(k >= 1 && k <= (self.dim() == 0 ? 1 : self.size(axis)),
              "kthvalue(): selected number k out of range for dimension ", axis);
  if (self.dim() == 0) return {self.clone(), at::Tensor(empty_device({}, c10::kLong, self.device())).fill_(0)};
  const auto [values, indices] = self.topk(k, axis, /*largest=*/false, /*sorted=*/true);
  const at::Tensor value = values.narrow(axis, k - 1, 1);
  const at::Tensor index = indices.narrow(axis, k - 1, 1);
  return {keepdim ? value.contiguous() : value.squeeze(axis).contiguous(),
          keepdim ? index.contiguous() : index.squeeze(axis).contiguous()};
}

std::tuple<at::Tensor&, at::Tensor&> kthvalue_out(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim,
                                                  at::Tensor& values, at::Tensor& indices) {
  check_selection("kthvalue", self, values, indices);
  check_apart(values, {self});
  return write_selection(torch_backend::kthvalue(self, k, dim, keepdim), values, indices);
}

// The lower median, as torch defines it. NaN sorts behind all numbers: it is the median where there is one, or the
// median is that of what stands before it.
std::tuple<at::Tensor, at::Tensor> median_along(const at::Tensor& self, int64_t dim, bool keepdim, bool ignores_nan) {
  const int64_t length = self.dim() == 0 ? 1 : self.size(dim);
  check_numeric("median", self.scalar_type());
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

std::tuple<at::Tensor&, at::Tensor&> median_dim_out(const at::Tensor& self, int64_t dim, bool keepdim,
                                                    at::Tensor& values, at::Tensor& indices) {
  check_selection("median", self, values, indices);
  return write_selection(median_along(self, dim, keepdim, false), values, indices);
}

std::tuple<at::Tensor&, at::Tensor&> nanmedian_dim_out(const at::Tensor& self, int64_t dim, bool keepdim,
                                                       at::Tensor& values, at::Tensor& indices) {
  check_selection("nanmedian", self, values, indices);
  return write_selection(median_along(self, dim, keepdim, true), values, indices);
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

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("sort.values_stable", sort_out);
  library.impl("topk.values", topk_out);
  library.impl("kthvalue.values", kthvalue_out);
  library.impl("median", median);
  library.impl("median.dim_values", median_dim_out);
  library.impl("nanmedian", mtia::torch_backend::nanmedian);
  library.impl("nanmedian.dim_values", nanmedian_dim_out);
}
