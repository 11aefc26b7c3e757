// softmax and log_softmax of sparse tensors (COO): elements that are not stored count as minus infinity.
#include <ATen/OpMathType.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/_log_softmax_backward_data.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <limits>

#include "torch_backend/same_device.h"
#include "torch_backend/sparse/coordinates.h"

namespace mtia::torch_backend {
namespace {

// Elements that lie along one line of `dim`, by number of the line.
struct Lines {
  at::Tensor of_element;
  int64_t count;
};

Lines lines_of(const at::Tensor& sparse, int64_t dim) {
  auto [lines, inverse, counts] = at::_unique2(flat_places(sparse, dim), /*sorted=*/true, /*return_inverse=*/true);
  return {inverse, lines.size(0)};
}

at::Tensor sums_of(const at::Tensor& values, const Lines& lines) {
  c10::SmallVector<int64_t, 6> sizes(values.sizes().begin(), values.sizes().end());
  sizes[0] = lines.count;
  return at::zeros(sizes, values.options()).index_add_(0, lines.of_element, values);
}

at::Tensor maxima_of(const at::Tensor& values, const Lines& lines) {
  c10::SmallVector<int64_t, 6> sizes(values.sizes().begin(), values.sizes().end());
  sizes[0] = lines.count;
  return at::empty(sizes, values.options())
      .fill_(-std::numeric_limits<double>::infinity())
      .index_reduce_(0, lines.of_element, values, "amax");
}

at::Tensor forward(const char* name, bool logarithm, const at::Tensor& self, int64_t dim, bool half_to_float) {
  TORCH_CHECK(!half_to_float, name, ": a conversion from half to float is not supported, give dtype=torch.float32");
  TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(self.scalar_type()), "\"", logarithm ? "log_softmax" : "softmax",
                              "\" not implemented for '", c10::toString(self.scalar_type()), "'");
  const at::Tensor input = self.coalesce();
  dim = at::maybe_wrap_dim(dim, input.dim());
  const at::Tensor given = input._values();
  if (input._nnz() == 0) return input.clone();
  at::Tensor values;
  if (dim >= input.sparse_dim()) {
    const int64_t along = dim - input.sparse_dim() + 1;
    values = logarithm ? given.log_softmax(along) : given.softmax(along);
  } else {
    const at::Tensor wide = given.to(at::toOpMathType(given.scalar_type()));
    const Lines lines = lines_of(input, dim);
    const at::Tensor below = wide.sub(maxima_of(wide, lines).index_select(0, lines.of_element));
    const at::Tensor powers = below.exp();
    const at::Tensor sums = sums_of(powers, lines);
    values = logarithm ? below.sub(sums.log().index_select(0, lines.of_element))
                       : powers.div(sums.index_select(0, lines.of_element));
    values = values.to(given.scalar_type());
  }
  return sparse_of(input, input._indices().clone(), values, true);
}

// Gradients where `output` has no element are left out, as torch does.
at::Tensor backward(const char* name, bool logarithm, const at::Tensor& grad_output, const at::Tensor& output,
                    int64_t dim) {
  TORCH_CHECK(grad_output.sizes().equals(output.sizes()) && grad_output.sparse_dim() == output.sparse_dim(), name,
              ": expected a gradient of the output's structure, got sizes ", grad_output.sizes(), " and ",
              output.sizes());
  check_same_device(name, output.device(), grad_output);
  const at::Tensor result = output.coalesce();
  dim = at::maybe_wrap_dim(dim, result.dim());
  const at::Tensor made = result._values();
  if (result._nnz() == 0) return result.clone();
  const c10::ScalarType dtype = made.scalar_type();
  const at::Tensor grad = values_at(grad_output.coalesce(), flat_places(result));
  at::Tensor values;
  if (dim >= result.sparse_dim()) {
    const int64_t along = dim - result.sparse_dim() + 1;
    values = logarithm ? at::_log_softmax_backward_data(grad, made, along, dtype)
                       : at::_softmax_backward_data(grad, made, along, dtype);
  } else {
    const c10::ScalarType wide = at::toOpMathType(dtype);
    const at::Tensor y = made.to(wide), g = grad.to(wide);
    const Lines lines = lines_of(result, dim);
    const at::Tensor sums = sums_of(logarithm ? g : g.mul(y), lines).index_select(0, lines.of_element);
    values = (logarithm ? g.sub(y.exp().mul(sums)) : y.mul(g.sub(sums))).to(dtype);
  }
  return sparse_of(result, result._indices().clone(), values, true);
}

at::Tensor softmax(const at::Tensor& self, int64_t dim, bool half_to_float) {
  return forward("_sparse_softmax", false, self, dim, half_to_float);
}
at::Tensor log_softmax(const at::Tensor& self, int64_t dim, bool half_to_float) {
  return forward("_sparse_log_softmax", true, self, dim, half_to_float);
}
at::Tensor softmax_backward(const at::Tensor& grad, const at::Tensor& output, int64_t dim, const at::Tensor&) {
  return backward("_sparse_softmax_backward_data", false, grad, output, dim);
}
at::Tensor log_softmax_backward(const at::Tensor& grad, const at::Tensor& output, int64_t dim, const at::Tensor&) {
  return backward("_sparse_log_softmax_backward_data", true, grad, output, dim);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_sparse_softmax", mtia::torch_backend::softmax);
  library.impl("_sparse_log_softmax", mtia::torch_backend::log_softmax);
  library.impl("_sparse_softmax_backward_data", softmax_backward);
  library.impl("_sparse_log_softmax_backward_data", log_softmax_backward);
}
