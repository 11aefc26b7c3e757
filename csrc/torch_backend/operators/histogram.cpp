// torch.histogram and torch.histogramdd: each element's bin by binary search of the edges, and a sum by index.
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>
#include <vector>

#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
using Range = std::optional<at::ArrayRef<double>>;

void check_input(const char* name, const at::Tensor& self, const OptionalTensor& weight) {
  check_implemented(self.scalar_type() == c10::kFloat || self.scalar_type() == c10::kDouble, "histogramdd",
                    self.scalar_type());
  TORCH_CHECK(self.dim() >= 1, "torch.", name, ": input tensor should have at least 1 dimension");
  if (!weight.has_value() || !weight->defined()) return;
  check_same_device(name, self.device(), *weight);
  TORCH_CHECK(
      weight->scalar_type() == self.scalar_type(), "torch.", name,
      ": if weight tensor is provided, input tensor and weight tensor should have the same dtype, but got input(",
      self.scalar_type(), "), and weight(", weight->scalar_type(), ")");
  TORCH_CHECK(weight->sizes().equals(self.sizes().slice(0, static_cast<size_t>(self.dim() - 1))), "torch.", name,
              ": if weight tensor is provided it should have the same shape as the input tensor excluding its innermost"
              " dimension, but got input with shape ",
              self.sizes(), " and weight with shape ", weight->sizes());
}

// The edges of equal bins from the given range, or from the least to the largest element.
std::vector<at::Tensor> equal_bins(const char* name, const at::Tensor& self, c10::IntArrayRef counts,
                                   const Range& range) {
  const int64_t dims = self.size(-1);
  TORCH_CHECK(static_cast<int64_t>(counts.size()) == dims, name,
              ": The size of bins must be equal to the innermost dimension of the input.");
  TORCH_CHECK(!range || static_cast<int64_t>(range->size()) == 2 * dims, "torch.", name, ": for a ", dims,
              "-dimensional histogram range should have ", 2 * dims, " elements, but got ", range ? range->size() : 0);
  const at::Tensor rows = self.reshape({-1, dims});
  std::vector<at::Tensor> edges;
  for (int64_t dim = 0; dim < dims; ++dim) {
    const int64_t count = counts[static_cast<size_t>(dim)];
    TORCH_CHECK(count > 0, "torch.", name, "(): bins must be > 0, but got ", count, " for dimension ", dim);
    double low = 0;
    double high = 1;
    if (range) {
      low = (*range)[static_cast<size_t>(2 * dim)];
      high = (*range)[static_cast<size_t>(2 * dim + 1)];
    } else if (rows.numel() != 0) {
      const at::Tensor column = rows.select(1, dim);
      low = column.min().item().toDouble();
      high = column.max().item().toDouble();
    }
    TORCH_CHECK(std::isfinite(low) && std::isfinite(high), "torch.", name, ": dimension ", dim, "'s range [", low, ", ",
                high, "] is not finite");
    TORCH_CHECK(low <= high, "torch.", name, ": min should not exceed max, but got min ", low, " max ", high,
                " for dimension ", dim);
    if (low == high) {
      low -= 0.5;
      high += 0.5;
    }
    edges.push_back(at::linspace(low, high, count + 1, self.options()));
  }
  return edges;
}

void check_edges(const char* name, const at::Tensor& self, at::TensorList edges) {
  TORCH_CHECK(static_cast<int64_t>(edges.size()) == self.size(-1), "torch.", name, ": expected ", self.size(-1),
              " sequences of bin edges for a ", self.size(-1), "-dimensional histogram but got ", edges.size());
  for (size_t dim = 0; dim < edges.size(); ++dim) {
    const at::Tensor& row = edges[dim];
    check_same_device(name, self.device(), row);
    TORCH_CHECK(row.dim() == 1, "torch.", name, ": bins tensor should have one dimension, but got ", row.dim(),
                " dimensions in the bins tensor for dimension ", dim);
    TORCH_CHECK(row.numel() > 0, "torch.", name,
                ": bins tensor should have at least 1 element, but got 0 elements in the bins tensor for dimension ",
                dim);
    TORCH_CHECK(row.numel() > 1, "torch.", name, "(): bins must be > 0, but got 0 for dimension ", dim);
    TORCH_CHECK(row.scalar_type() == self.scalar_type(), "torch.", name,
                ": input tensor and bins tensors should have the same dtype, but got input with dtype ",
                self.scalar_type(), " and bins for dimension ", dim, " with dtype ", row.scalar_type());
  }
}

// The last bin holds its right edge too; what lies outside of all bins counts nowhere.
at::Tensor counted(const at::Tensor& self, at::TensorList edges, const OptionalTensor& weight, bool density) {
  const int64_t dims = self.size(-1);
  const at::Tensor rows = self.reshape({-1, dims});
  const bool weighted = weight.has_value() && weight->defined();
  at::Tensor amounts = weighted ? weight->reshape({-1}) : at::ones({rows.size(0)}, self.options());
  at::Tensor place = at::zeros({rows.size(0)}, self.options().dtype(c10::kLong));
  std::vector<int64_t> shape;
  int64_t bins = 1;
  for (int64_t dim = 0; dim < dims; ++dim) {
    const at::Tensor& row = edges[static_cast<size_t>(dim)];
    const int64_t count = row.numel() - 1;
    shape.push_back(count);
    bins *= count;
    if (rows.numel() == 0) continue;
    const at::Tensor column = rows.select(1, dim).contiguous();
    const at::Tensor bin = at::searchsorted(row.contiguous(), column, /*out_int32=*/false, /*right=*/true).sub(1);
    const at::Tensor inside = column.ge(row[0]).logical_and_(column.le(row[count]));
    amounts = amounts.masked_fill(inside.logical_not(), 0);
    place = place.mul(count).add_(bin.clamp(0, count - 1));
  }
  at::Tensor result = at::zeros({bins}, self.options());
  if (bins != 0 && rows.numel() != 0) result.index_add_(0, place, amounts);
  result = result.view(shape);
  if (!density) return result;
  result = result.div(result.sum());
  for (int64_t dim = 0; dim < dims; ++dim) {
    std::vector<int64_t> along(static_cast<size_t>(dims), 1);
    along[static_cast<size_t>(dim)] = shape[static_cast<size_t>(dim)];
    const at::Tensor& row = edges[static_cast<size_t>(dim)];
    const int64_t count = shape[static_cast<size_t>(dim)];
    result = result.div(row.narrow(0, 1, count).sub(row.narrow(0, 0, count)).view(along));
  }
  return result;
}

std::vector<at::Tensor> histogramdd_bin_edges(const at::Tensor& self, c10::IntArrayRef bins, Range range,
                                              const OptionalTensor& weight, bool /*density*/) {
  check_input("histogramdd", self, weight);
  return equal_bins("histogramdd", self, bins, range);
}

at::Tensor histogramdd_from_counts(const at::Tensor& self, c10::IntArrayRef bins, Range range,
                                   const OptionalTensor& weight, bool density) {
  check_input("histogramdd", self, weight);
  return counted(self, equal_bins("histogramdd", self, bins, range), weight, density);
}

at::Tensor histogramdd_from_edges(const at::Tensor& self, at::TensorList bins, const OptionalTensor& weight,
                                  bool density) {
  check_input("histogramdd", self, weight);
  check_edges("histogramdd", self, bins);
  return counted(self, bins, weight, density);
}

// One dimension of any shape: a column of points.
at::Tensor column_of(const at::Tensor& self) { return self.reshape({-1, 1}); }

OptionalTensor flat(const at::Tensor& self, const OptionalTensor& weight) {
  if (!weight.has_value() || !weight->defined()) return weight;
  TORCH_CHECK(weight->numel() == self.numel(),  // both are rows of points, of whatever shape they were
              "torch.histogram: if weight tensor is provided it should have the same shape as the input tensor, but got"
              " input with shape ",
              self.sizes(), " and weight with shape ", weight->sizes());
  return weight->reshape({-1});
}

std::tuple<at::Tensor, at::Tensor> histogram_counts(const at::Tensor& self, int64_t bins, Range range,
                                                    const OptionalTensor& weight, bool density) {
  const at::Tensor column = column_of(self);
  const OptionalTensor amounts = flat(self, weight);
  check_input("histogram", column, amounts);
  const std::vector<at::Tensor> edges = equal_bins("histogram", column, bins, range);
  return {counted(column, edges, amounts, density), edges[0]};
}

std::tuple<at::Tensor, at::Tensor> histogram_edges(const at::Tensor& self, const at::Tensor& bins,
                                                   const OptionalTensor& weight, bool density) {
  const at::Tensor column = column_of(self);
  const OptionalTensor amounts = flat(self, weight);
  check_input("histogram", column, amounts);
  check_edges("histogram", column, bins);
  return {counted(column, bins, amounts, density), bins.clone()};
}

std::tuple<at::Tensor&, at::Tensor&> write_histogram(const at::Tensor& self,
                                                     const std::tuple<at::Tensor, at::Tensor>& results,
                                                     at::Tensor& counts, at::Tensor& edges) {
  check_output("torch.histogram", counts, self.scalar_type(), self.device());
  check_output("torch.histogram", edges, self.scalar_type(), self.device());
  return {write_output(counts, std::get<0>(results)), write_output(edges, std::get<1>(results))};
}

std::tuple<at::Tensor&, at::Tensor&> histogram_counts_out(const at::Tensor& self, int64_t bins, Range range,
                                                          const OptionalTensor& weight, bool density,
                                                          at::Tensor& counts, at::Tensor& edges) {
  return write_histogram(self, histogram_counts(self, bins, range, weight, density), counts, edges);
}

std::tuple<at::Tensor&, at::Tensor&> histogram_edges_out(const at::Tensor& self, const at::Tensor& bins,
                                                         const OptionalTensor& weight, bool density, at::Tensor& counts,
                                                         at::Tensor& edges) {
  return write_histogram(self, histogram_edges(self, bins, weight, density), counts, edges);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("histogram.bin_ct", histogram_counts);
  library.impl("histogram.bin_ct_out", histogram_counts_out);
  library.impl("histogram.bins_tensor", histogram_edges);
  library.impl("histogram.bins_tensor_out", histogram_edges_out);
  library.impl("_histogramdd_bin_edges", histogramdd_bin_edges);
  library.impl("_histogramdd_from_bin_cts", histogramdd_from_counts);
  library.impl("_histogramdd_from_bin_tensors", histogramdd_from_edges);
}
