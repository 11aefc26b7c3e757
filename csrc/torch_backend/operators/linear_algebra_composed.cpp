// Operators of linear algebra made of others: least squares, the matrix exponential, cross products.
#include <ATen/ExpandUtils.h>
#include <ATen/OpMathType.h>
#include <ATen/native/Cross.h>
#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/ops/_linalg_check_errors.h>
#include <ATen/ops/_linalg_svd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/geqrf.h>
#include <ATen/ops/linalg_cross_native.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ormqr.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/linear_algebra.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

using at::Tensor;

struct LeastSquares {
  Tensor solution;
  Tensor residuals;
  Tensor rank;
  Tensor singular_values;
};

Tensor squares(const Tensor& values) { return values.abs().square(); }

// By QR, for matrices of full rank: raises where the triangle has a zero on its diagonal.
void solve_by_qr(const Tensor& a, const Tensor& b, LeastSquares& result) {
  const int64_t m = a.size(-2), n = a.size(-1), steps = std::min(m, n);
  const bool is_tall = m >= n;
  const auto [factors, tau] = at::geqrf(is_tall ? a : a.mH());
  const Tensor triangle = at::native::cloneBatchedColumnMajor(factors.narrow(-2, 0, steps));
  if (triangle.numel() != 0) {
    const Tensor zeros = zeros_on_diagonals(as_columns(triangle));
    at::_linalg_check_errors(zeros, "torch.linalg.lstsq", zeros.numel() == 1);
  }
  if (is_tall) {
    const Tensor turned = at::ormqr(factors, tau, b, /*left=*/true, /*transpose=*/true);
    result.solution = at::native::cloneBatchedColumnMajor(turned.narrow(-2, 0, n));
    if (result.solution.numel() != 0)
      solve_triangular(as_columns(triangle), as_columns(result.solution), /*left=*/true, /*upper=*/true,
                       kernels::Transpose::none, false);
    if (m > n) result.residuals = squares(turned.narrow(-2, n, m - n)).sum(-2);
    return;
  }
  c10::SmallVector<int64_t, 5> sizes(b.sizes().begin(), b.sizes().end());
  sizes.end()[-2] = n;
  const Tensor known = at::native::cloneBatchedColumnMajor(b);
  if (known.numel() != 0)
    solve_triangular(as_columns(triangle), as_columns(known), /*left=*/true, /*upper=*/true,
                     kernels::Transpose::conjugate, false);
  const Tensor padded = at::zeros(sizes, b.options());
  padded.narrow(-2, 0, m).copy_(known);
  result.solution = at::ormqr(factors, tau, padded, /*left=*/true, /*transpose=*/false);
}

// By singular values, of which those up to `rcond` times the largest count as zero.
void solve_by_svd(const Tensor& a, const Tensor& b, double rcond, bool has_residuals, LeastSquares& result) {
  const int64_t m = a.size(-2), n = a.size(-1);
  const auto [u, s, vh] = at::_linalg_svd(a, /*full_matrices=*/false, /*compute_uv=*/true);
  result.singular_values = s;
  if (s.size(-1) == 0) {
    result.rank = at::zeros(s.sizes().slice(0, s.dim() - 1), s.options().dtype(c10::kLong));
    c10::SmallVector<int64_t, 5> sizes(b.sizes().begin(), b.sizes().end());
    sizes.end()[-2] = n;
    result.solution = at::zeros(sizes, b.options());
    return;
  }
  const Tensor counts = s.gt(s.narrow(-1, 0, 1).mul(rcond));
  result.rank = counts.sum(-1);
  const Tensor inverse = at::where(counts, s.reciprocal(), at::zeros({}, s.options()));
  result.solution = at::matmul(vh.mH(), at::matmul(u.mH(), b).mul(inverse.unsqueeze(-1)));
  if (has_residuals && m > n && result.rank.eq(n).all().item().toBool())
    result.residuals = squares(b.sub(at::matmul(a, result.solution))).sum(-2);
}

std::string driver_of(std::optional<c10::string_view> driver) {
  if (!driver.has_value()) return "gelsy";
  std::string name(*driver);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  TORCH_CHECK(name == "gels" || name == "gelsy" || name == "gelsd" || name == "gelss",
              "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)");
  return name;
}

void check_least_squares(const Tensor& input, const Tensor& other) {
  TORCH_CHECK(input.dim() >= 2, "torch.linalg.lstsq: input must have at least 2 dimensions.");
  at::native::checkFloatingOrComplex(input, "linalg.lstsq", /*allow_low_precision_dtypes=*/false);
  TORCH_CHECK(other.dim() >= 1, "torch.linalg.lstsq: other must have at least 1 dimension.");
  TORCH_CHECK(input.scalar_type() == other.scalar_type(),
              "torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype ",
              input.scalar_type(), " and other's dtype ", other.scalar_type());
  const int64_t difference = input.dim() - other.dim();
  TORCH_CHECK(0 <= difference && difference <= 1,
              "torch.linalg.lstsq: input.dim() must be greater or equal to other.dim() and (input.dim() - "
              "other.dim()) <= 1");
  const bool is_vector = at::native::linalg_solve_is_vector_rhs(input, other);
  TORCH_CHECK(input.size(-2) == other.size(is_vector ? -1 : -2),
              is_vector ? "torch.linalg.lstsq: input.size(-2) should match other.size(-1)"
                        : "torch.linalg.lstsq: input.size(-2) should match other.size(-2)");
  at::native::checkSameDevice("torch.linalg.lstsq", other, input, "other");
}

using Outputs = std::tuple<Tensor&, Tensor&, Tensor&, Tensor&>;

Outputs linalg_lstsq_out(const Tensor& input, const Tensor& other, std::optional<double> rcond,
                         std::optional<c10::string_view> driver, Tensor& solution, Tensor& residuals, Tensor& rank,
                         Tensor& singular_values) {
  check_least_squares(input, other);
  const c10::ScalarType real = c10::toRealValueType(input.scalar_type());
  const std::array<std::tuple<const char*, Tensor*, c10::ScalarType>, 4> outputs{
      {{"solution", &solution, input.scalar_type()},
       {"residuals", &residuals, real},
       {"rank", &rank, c10::kLong},
       {"singular_values", &singular_values, real}}};
  for (const auto& [name, out, dtype] : outputs) {
    at::native::checkSameDevice("torch.linalg.lstsq", *out, input, name);
    at::native::checkLinalgCompatibleDtype("torch.linalg.lstsq", out->scalar_type(), dtype, name);
  }
  const std::string name = driver_of(driver);
  const bool is_vector = at::native::linalg_solve_is_vector_rhs(input, other);
  const Tensor matrices = is_vector ? other.unsqueeze(-1) : other;
  // CPU torch reads the sizes of a batch from the left, also where `other` has fewer dimensions: what it then makes of
  // a matrix of rows is repeated as often.
  const auto batch_dims = static_cast<size_t>(input.dim() - 2);
  const std::vector<int64_t> batch =
      at::infer_size(input.sizes().slice(0, batch_dims), matrices.sizes().slice(0, batch_dims));
  const auto [b_sizes, a_sizes] = at::native::_linalg_broadcast_batch_dims(matrices, input);
  const Tensor a = input.expand(a_sizes), b = matrices.expand(b_sizes);
  LeastSquares result;
  if (name == "gels") {
    solve_by_qr(a, b, result);
  } else {
    const double epsilon = at::native::_get_epsilon(real);
    const double tolerance = rcond.value_or(epsilon * static_cast<double>(std::max(input.size(-2), input.size(-1))));
    solve_by_svd(input, b, tolerance, name != "gelsy", result);
    if (name == "gelsy") result.singular_values = Tensor();
  }
  if (matrices.dim() < input.dim()) {
    const auto repeated = [&](const Tensor& value, int64_t dims) {
      std::vector<int64_t> sizes = batch;
      sizes.insert(sizes.end(), value.sizes().end() - dims, value.sizes().end());
      return value.expand(sizes);
    };
    result.solution = repeated(result.solution, 2);
    if (result.residuals.defined()) result.residuals = repeated(result.residuals, 1);
  }
  if (is_vector) result.solution = result.solution.squeeze(-1);
  const auto write = [](Tensor& out, const Tensor& value) {
    if (value.defined()) {
      write_output(out, value);
    } else {
      at::native::resize_output(out, {0});
    }
  };
  write(solution, result.solution);
  write(residuals, result.residuals);
  write(rank, result.rank);
  write(singular_values, result.singular_values);
  return {solution, residuals, rank, singular_values};
}

// Up to this norm Taylor's polynomial of degree 18 is as accurate as the dtype (torch's own thresholds, from Bader,
// Blanes and Casas, Computing the Matrix Exponential with an Optimized Taylor Polynomial Approximation, 2019).
constexpr double largest_norm_single = 3.010066362817634, largest_norm_double = 1.090863719290036;
constexpr size_t taylor_degree = 18, taylor_block = 4;

// Taylor's polynomial of matrices [batch, n, n] in blocks of four powers (Paterson and Stockmeyer): seven products.
Tensor taylor_exponential(const Tensor& a) {
  std::array<Tensor, taylor_block + 1> powers{at::zeros_like(a), a};
  powers[0].diagonal(0, -2, -1).fill_(1);
  for (size_t i = 2; i <= taylor_block; ++i) powers[i] = at::matmul(powers[i - 1], a);
  std::array<double, taylor_degree + 1> coefficients{1};
  for (size_t i = 1; i <= taylor_degree; ++i) coefficients[i] = coefficients[i - 1] / static_cast<double>(i);
  Tensor result;
  for (size_t first = taylor_degree / taylor_block * taylor_block;; first -= taylor_block) {
    Tensor part = powers[0].mul(coefficients[first]);
    for (size_t i = 1; i < taylor_block && first + i <= taylor_degree; ++i)
      part.add_(powers[i], coefficients[first + i]);
    result = result.defined() ? at::matmul(result, powers[taylor_block]).add_(part) : part;
    if (first == 0) return result;
  }
}

Tensor linalg_matrix_exp(const Tensor& self) {
  at::native::squareCheckInputs(self, "linalg.matrix_exp");
  at::native::checkFloatingOrComplex(self, "linalg.matrix_exp");
  if (self.numel() == 0) return at::empty_like(self, at::MemoryFormat::Contiguous);
  if (self.size(-1) == 1) return self.exp();
  const c10::ScalarType dtype = self.scalar_type();
  const double largest_norm = c10::toRealValueType(dtype) == c10::kDouble ? largest_norm_double : largest_norm_single;
  const Tensor a = self.to(at::toOpMathType(dtype)).reshape({-1, self.size(-2), self.size(-1)});
  // Each matrix is halved until its norm is small, and its exponential squared as often.
  const Tensor norms = a.abs().sum(-2).amax(-1);
  const Tensor halvings = norms.div(largest_norm).log2().ceil().clamp_min(0).nan_to_num(0, 0, 0);
  // As CPU torch has it, what a matrix with an infinite element gives is not a number.
  const Tensor scales = at::exp2(halvings.neg()).add(norms.sub(norms)).view({-1, 1, 1});
  Tensor result = taylor_exponential(a.mul(scales));
  const auto most = halvings.max().item().toDouble();
  for (double i = 0; i < most; ++i)
    result = at::where(halvings.gt(i).view({-1, 1, 1}), at::matmul(result, result), result);
  return result.to(dtype).view(self.sizes()).contiguous();
}

void cross_kernel(const Tensor& result, const Tensor& a, const Tensor& b, const int64_t dim) {
  TORCH_CHECK(a.scalar_type() == b.scalar_type(), "linalg.cross: expected scalar type ", a.scalar_type(), " but found ",
              b.scalar_type());
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t j = (i + 1) % 3, k = (i + 2) % 3;
    Tensor out = result.select(dim, i);
    at::sub_out(out, a.select(dim, j).mul(b.select(dim, k)), a.select(dim, k).mul(b.select(dim, j)));
  }
}

Tensor& linalg_cross_out(const Tensor& self, const Tensor& other, int64_t dim, Tensor& out) {
  run_structured<at::native::structured_linalg_cross_out>(std::tie(out), self, other, dim);
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(cross_stub, &mtia::torch_backend::cross_kernel)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("linalg_lstsq.out", linalg_lstsq_out);
  library.impl("linalg_matrix_exp", mtia::torch_backend::linalg_matrix_exp);
  library.impl("linalg_cross.out", linalg_cross_out);
}
