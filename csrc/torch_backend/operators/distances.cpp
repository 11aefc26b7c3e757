// Distances of pairs of points in p-norms, with their gradients, and rows scaled down to a norm.
#include <ATen/ExpandUtils.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/_euclidean_dist.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/renorm_meta.h>
#include <ATen/ops/triu_indices.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/structured.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

// By their places in NORMS of kernels/triton/distances.py.
enum class Norm : int64_t { zero, one, two, infinity, any };

Norm norm_of(double p) {
  if (p == 0) return Norm::zero;
  if (p == 1) return Norm::one;
  if (p == 2) return Norm::two;
  return std::isinf(p) ? Norm::infinity : Norm::any;
}

// More points than this on one side: Euclidean distances from products, as CPU torch does.
constexpr int64_t few_points = 25;

enum class ComputeMode : int64_t { products_of_many, products, no_products };

void check_points(const char* name, const at::Tensor& points, c10::ScalarType dtype) {
  check_implemented(dtype == c10::kFloat || dtype == c10::kDouble, name, dtype);
  TORCH_CHECK(points.scalar_type() == dtype, name, ": expected points of one type, but got ", points.scalar_type(),
              " and ", dtype);
}

// a [batches, n, length], b [batches, m, length], dense.
at::Tensor all_distances(const at::Tensor& a, const at::Tensor& b, double p) {
  static const KernelId kernel("distances");
  const int64_t batches = a.size(0), n = a.size(1), m = b.size(1), length = a.size(2);
  const at::Tensor out = empty_device({batches, n, m}, a.scalar_type(), a.device());
  if (out.numel() == 0) return out;
  if (length == 0) return out.zero_();
  const at::Tensor columns_a = a.transpose(1, 2).contiguous(), columns_b = b.transpose(1, 2).contiguous();
  launch_kernel(kernel, {out, columns_a, columns_b}, {static_cast<int64_t>(norm_of(p)), batches, n, m, length}, {p});
  return out;
}

at::Tensor all_distances_backward(const at::Tensor& grad, const at::Tensor& a, const at::Tensor& b, double p,
                                  const at::Tensor& found) {
  static const KernelId kernel("distances_backward");
  const at::Tensor out = empty_device(a.sizes(), a.scalar_type(), a.device());
  if (out.numel() == 0) return out;
  if (b.size(1) == 0 || p == 0) return out.zero_();
  const at::Tensor g = grad.transpose(1, 2).contiguous(), distance = found.transpose(1, 2).contiguous();
  launch_kernel(kernel, {out, g, a, b, distance},
                {static_cast<int64_t>(norm_of(p)), a.size(0), a.size(1), b.size(1), a.size(2)}, {p});
  return out;
}

struct Batches {
  c10::DimVector sizes;  // of all dimensions but the last two
  at::Tensor a, b;       // [batches, points, length], dense
};

Batches batches_of(const at::Tensor& x1, const at::Tensor& x2) {
  Batches batches;
  const auto first = x1.sizes().slice(0, static_cast<size_t>(x1.dim() - 2));
  const auto second = x2.sizes().slice(0, static_cast<size_t>(x2.dim() - 2));
  batches.sizes = at::infer_size_dimvector(first, second);
  int64_t count = 1;
  for (const int64_t size : batches.sizes) count *= size;
  const auto flat = [&](const at::Tensor& x) {
    c10::DimVector sizes = batches.sizes;
    sizes.append({x.size(-2), x.size(-1)});
    return x.expand(sizes).reshape({count, x.size(-2), x.size(-1)}).contiguous();
  };
  batches.a = flat(x1);
  batches.b = flat(x2);
  return batches;
}

at::Tensor cdist_forward(const at::Tensor& x1, const at::Tensor& x2, double p, std::optional<int64_t> compute_mode) {
  const OperatorScope scope("cdist");
  TORCH_CHECK(x1.dim() >= 2, "cdist only supports at least 2D tensors, X1 got: ", x1.dim(), "D");
  TORCH_CHECK(x2.dim() >= 2, "cdist only supports at least 2D tensors, X2 got: ", x2.dim(), "D");
  TORCH_CHECK(x1.size(-1) == x2.size(-1), "X1 and X2 must have the same number of columns. X1: ", x1.size(-1),
              " X2: ", x2.size(-1));
  TORCH_CHECK(p >= 0, "cdist only supports non-negative p values");
  check_same_device("cdist", x1.device(), x2);
  check_points("cdist", x2, x1.scalar_type());
  const auto mode = static_cast<ComputeMode>(compute_mode.value_or(0));
  TORCH_CHECK(mode >= ComputeMode::products_of_many && mode <= ComputeMode::no_products,
              "possible modes: 0, 1, 2, but was: ", static_cast<int64_t>(mode));
  const Batches batches = batches_of(x1, x2);
  const bool is_large = x1.size(-2) > few_points || x2.size(-2) > few_points;
  const bool by_products = p == 2 && x1.size(-1) > 0 && batches.a.numel() > 0 && batches.b.numel() > 0 &&
                           (mode == ComputeMode::products || (mode == ComputeMode::products_of_many && is_large));
  const at::Tensor result =
      by_products ? at::_euclidean_dist(batches.a, batches.b) : all_distances(batches.a, batches.b, p);
  c10::DimVector sizes = batches.sizes;
  sizes.append({x1.size(-2), x2.size(-2)});
  return result.view(sizes);
}

at::Tensor cdist_backward(const at::Tensor& grad, const at::Tensor& x1, const at::Tensor& x2, double p,
                          const at::Tensor& found) {
  const OperatorScope scope("_cdist_backward");
  const Batches batches = batches_of(x1, x2);
  const c10::DimVector pairs{batches.a.size(0), x1.size(-2), x2.size(-2)};
  c10::DimVector sizes = batches.sizes;
  sizes.append({x1.size(-2), x1.size(-1)});
  return all_distances_backward(grad.reshape(pairs), batches.a, batches.b, p, found.reshape(pairs)).view(sizes);
}

// Where the pairs i < j of n points lie in an [n, n] matrix.
at::Tensor pair_places(int64_t n, const at::Tensor& like) {
  const at::Tensor pairs = at::triu_indices(n, n, 1, like.options().dtype(c10::kLong));
  return pairs[0].mul(n).add(pairs[1]);
}

at::Tensor pdist_forward(const at::Tensor& self, double p) {
  const OperatorScope scope("pdist");
  TORCH_CHECK(self.is_contiguous(), "_pdist_forward requires contiguous input");
  check_points("pdist", self, self.scalar_type());
  const int64_t n = self.size(0);
  if (n <= 1) return empty_device({0}, self.scalar_type(), self.device());
  const at::Tensor points = self.unsqueeze(0);
  return all_distances(points, points, p).view({-1}).index_select(0, pair_places(n, self));
}

at::Tensor pdist_backward(const at::Tensor& grad, const at::Tensor& self, double p, const at::Tensor& found) {
  const OperatorScope scope("_pdist_backward");
  const int64_t n = self.size(0);
  if (n <= 1 || self.numel() == 0) return at::zeros(self.sizes(), self.options());
  const at::Tensor places = pair_places(n, self);
  // Both of a pair move by its distance.
  const auto square = [&](const at::Tensor& values) {
    const at::Tensor upper =
        at::zeros({n * n}, values.options()).index_copy_(0, places, values.contiguous()).view({n, n});
    return upper.add(upper.t()).unsqueeze(0);
  };
  const at::Tensor points = self.contiguous().unsqueeze(0);
  return all_distances_backward(square(grad), points, points, p, square(found)).squeeze(0);
}

at::Tensor& renorm_out(const at::Tensor& self, const at::Scalar& p, int64_t dim, const at::Scalar& max_norm,
                       at::Tensor& out) {
  WithOutputs<at::meta::structured_renorm> call(out);
  call.meta(self, p, dim, max_norm);
  const at::Tensor& result = call.output();
  const int64_t kept = c10::maybe_wrap_dim(dim, self.dim());
  if (result.numel() > 0) {
    c10::DimVector others;
    for (int64_t d = 0; d < self.dim(); ++d)
      if (d != kept) others.push_back(d);
    const c10::ScalarType wide = at::toOpMathType(c10::toRealValueType(self.scalar_type()));
    const at::Tensor sizes = self.is_complex() ? self.abs() : self;
    const at::Tensor norms = at::linalg_vector_norm(sizes, p, others, true, wide);
    const double most = max_norm.toDouble();
    const at::Tensor factor = at::where(norms.gt(most), norms.add(1e-7).reciprocal().mul(most), 1.0).to(wide);
    result.copy_(self.mul(factor));
  }
  call.finish();
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_cdist_forward", mtia::torch_backend::cdist_forward);
  library.impl("_cdist_backward", mtia::torch_backend::cdist_backward);
  library.impl("_pdist_forward", mtia::torch_backend::pdist_forward);
  library.impl("_pdist_backward", mtia::torch_backend::pdist_backward);
  library.impl("renorm.out", mtia::torch_backend::renorm_out);
}
