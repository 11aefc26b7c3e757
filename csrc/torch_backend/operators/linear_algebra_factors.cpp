// QR, eigenvalues and singular values: orthogonal factors, one matrix a PE. A matrix that does not fit local memory is
// gone through column by column in device memory.
#include <ATen/native/BatchLinearAlgebra.h>
#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/ops/_linalg_check_errors.h>
#include <ATen/ops/_linalg_eigh_native.h>
#include <ATen/ops/_linalg_svd_native.h>
#include <ATen/ops/geqrf_native.h>
#include <ATen/ops/linalg_householder_product_native.h>
#include <ATen/ops/linalg_qr_native.h>
#include <ATen/ops/ormqr_native.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/cpp/linear_algebra/householder.h"
#include "kernels/cpp/linear_algebra/jacobi.h"
#include "kernels/cpp/linear_algebra/schur.h"
#include "kernels/cpp/linear_algebra/tridiagonal.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/linear_algebra.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

using at::Tensor;

constexpr const char* shorter_columns = "use matrices with fewer rows";

Tensor rows_of_vectors(const Tensor& vectors) { return vectors.view({-1, vectors.size(-1)}); }

// ---- QR

void launch_geqrf(const Tensor& a, const Tensor& tau) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("geqrf");
  kernels::GeqrfArguments arguments;
  arguments.number = number_of("geqrf_cpu", a.scalar_type());
  arguments.a = matrices_of(a);
  arguments.tau = vectors_of(tau);
  arguments.batch = a.size(0);
  launch_cpp_kernel(kernel, a.device().index(), arguments, {a, tau});
}

// c = op(Q) c, or c op(Q)
void launch_apply(const Tensor& reflectors, const Tensor& tau, const Tensor& c, bool left, bool adjoint) {
  if (c.numel() == 0 || tau.numel() == 0) return;
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("apply_householder");
  check_fits("ormqr", 8 * reflectors.size(1) + tau.size(1), c.scalar_type(), "eight columns of a matrix",
             shorter_columns);
  kernels::ApplyHouseholderArguments arguments;
  arguments.number = number_of("ormqr_cpu", c.scalar_type());
  arguments.c = matrices_of(c);
  arguments.reflectors = matrices_of(reflectors, Use::read);
  arguments.tau = vectors_of(tau, Use::read);
  arguments.batch = c.size(0);
  arguments.left = left;
  arguments.adjoint = adjoint;
  launch_cpp_kernel(kernel, c.device().index(), arguments, {reflectors, tau, c});
}

// Columns that are reduced by one PE before all others follow; all of them where the matrix fits it and PEs are few.
int64_t panel_width(const Tensor& a, int64_t steps) {
  constexpr int64_t widest = 32;
  const int64_t room = room_for_blocks / static_cast<int64_t>(a.element_size());
  if (a.size(1) * a.size(2) <= room && !pays_to_share(a.size(0), steps)) return a.size(2);
  return std::clamp<int64_t>(room / 2 / std::max<int64_t>(a.size(1), 1), 4, widest);
}

void geqrf_kernel(const Tensor& input, const Tensor& tau) {
  number_of("geqrf_cpu", input.scalar_type());
  if (input.numel() == 0) return;
  const Tensor a = as_columns(input), factors = rows_of_vectors(tau);
  const int64_t rows = a.size(1), columns = a.size(2), steps = factors.size(1);
  check_fits("geqrf", 4 * rows + steps, a.scalar_type(), "four columns of a matrix", shorter_columns);
  const int64_t width = panel_width(a, steps);
  if (width >= columns) return launch_geqrf(a, factors);
  for (int64_t k = 0; k < steps; k += width) {
    const int64_t count = std::min(width, steps - k), end = k + count;
    const Tensor rest = a.narrow(1, k, rows - k), panel = rest.narrow(2, k, count);
    const Tensor panel_factors = factors.narrow(1, k, count);
    launch_geqrf(panel, panel_factors);
    launch_apply(panel, panel_factors, rest.narrow(2, end, columns - end), /*left=*/true, /*adjoint=*/true);
  }
}

void launch_householder_product(const Tensor& a, const Tensor& tau) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("householder_product");
  kernels::HouseholderProductArguments arguments;
  arguments.number = number_of("orgqr_cpu", a.scalar_type());
  arguments.a = matrices_of(a);
  arguments.tau = vectors_of(tau);
  arguments.batch = a.size(0);
  launch_cpp_kernel(kernel, a.device().index(), arguments, {a, tau});
}

Tensor& householder_product_kernel(Tensor& result, const Tensor& tau) {
  number_of("orgqr_cpu", result.scalar_type());
  if (result.numel() == 0) return result;
  const Tensor a = as_columns(result), factors = tau.reshape({a.size(0), tau.size(-1)});
  const int64_t rows = a.size(1), columns = a.size(2), steps = factors.size(1);
  check_fits("linalg.householder_product", 4 * rows + steps, a.scalar_type(), "four columns of a matrix",
             shorter_columns);
  const int64_t width = panel_width(a, steps);
  if (width >= columns) {
    launch_householder_product(a, factors);
    return result;
  }
  const Tensor reflectors = as_columns(at::native::cloneBatchedColumnMajor(a));
  result.zero_();
  result.diagonal(0, -2, -1).fill_(1);
  for (int64_t k = (steps - 1) / width * width; steps > 0 && k >= 0; k -= width) {
    const int64_t count = std::min(width, steps - k);
    launch_apply(reflectors.narrow(1, k, rows - k).narrow(2, k, count), factors.narrow(1, k, count),
                 a.narrow(1, k, rows - k).narrow(2, k, columns - k), /*left=*/true, /*adjoint=*/false);
  }
  return result;
}

void apply_householder_kernel(const Tensor& input, const Tensor& tau, const Tensor& other, bool left, bool transpose) {
  number_of("ormqr_cpu", input.scalar_type());
  if (other.numel() == 0 || tau.numel() == 0) return;
  launch_apply(as_columns(input), rows_of_vectors(tau), as_columns(other), left, transpose);
}

// ---- eigenvalues

void eigh_kernel(const Tensor& values, const Tensor& vectors, const Tensor& infos, bool upper, bool has_vectors) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("symmetric_eigen");
  kernels::SymmetricEigenArguments arguments;
  arguments.number = number_of("linalg_eigh_cpu", vectors.scalar_type());
  if (vectors.numel() == 0) return;
  if (upper) vectors.copy_(at::native::cloneBatchedColumnMajor(vectors.mH()));
  const Tensor a = as_columns(vectors), results = rows_of_vectors(values);
  // Columns, work vectors, and the scalars of the tridiagonal matrix, of eight bytes each.
  check_fits("linalg.eigh", 13 * a.size(1), a.scalar_type(), "thirteen columns of a matrix", "use smaller matrices");
  arguments.a = matrices_of(a);
  arguments.values = vectors_of(results);
  arguments.info = address_of(infos);
  arguments.batch = a.size(0);
  arguments.has_vectors = has_vectors;
  launch_cpp_kernel(kernel, vectors.device().index(), arguments, {a, results, infos});
}

// Eigenvalues and, where asked for, eigenvectors of any square matrices: both complex.
std::tuple<Tensor, Tensor> eigen(const char* name, const Tensor& input, bool has_vectors) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("eigen");
  at::native::squareCheckInputs(input, name);
  kernels::EigenArguments arguments;
  arguments.number = number_of("linalg_eig_cpu", input.scalar_type());
  const c10::ScalarType dtype = c10::toComplexType(input.scalar_type());
  const Tensor values = empty_device(input.sizes().slice(0, input.dim() - 1), dtype, input.device());
  Tensor vectors = has_vectors ? empty_device(input.mT().sizes(), dtype, input.device()).mT() : Tensor();
  if (input.numel() == 0) return {values, vectors};
  const Tensor a = as_columns(at::native::cloneBatchedColumnMajor(input.resolve_conj().resolve_neg()));
  const int64_t n = a.size(1);
  check_fits(name, (has_vectors ? 2 : 1) * n * n + 7 * n, a.scalar_type(), "a matrix with its basis",
             "use smaller matrices, or linalg.eigh where they are symmetric");
  const Tensor infos = empty_device({a.size(0)}, c10::kInt, input.device());
  const Tensor results = rows_of_vectors(values);
  arguments.a = matrices_of(a);
  arguments.values = vectors_of(results);
  const Tensor columns = has_vectors ? as_columns(vectors) : Tensor();
  if (has_vectors) arguments.vectors = matrices_of(columns);
  arguments.info = address_of(infos);
  arguments.batch = a.size(0);
  arguments.has_vectors = has_vectors;
  launch_cpp_kernel(kernel, input.device().index(), arguments, {a, results, columns, infos});
  at::_linalg_check_errors(infos, name, input.dim() == 2);
  return {values, vectors};
}

void check_eigen_output(const std::string& name, const Tensor& out, const Tensor& input, const char* what) {
  at::native::checkLinalgCompatibleDtype(name, out.scalar_type(), c10::toComplexType(input.scalar_type()), what);
  at::native::checkSameDevice(name, out, input, what);
}

std::tuple<Tensor, Tensor> linalg_eig(const Tensor& input) {
  // Asked so that zeros, which stand in for what timing mode does not know, pass at every step.
  TORCH_CHECK(!input.sub(input).isnan().any().item().toBool(),
              "torch.linalg.eig: input tensor should not contain infs or NaNs.");
  return eigen("linalg.eig", input, true);
}

std::tuple<Tensor&, Tensor&> linalg_eig_out(const Tensor& input, Tensor& values, Tensor& vectors) {
  const auto results = torch_backend::linalg_eig(input);
  check_eigen_output("torch.linalg.eig", values, input, "eigenvalues");
  check_eigen_output("torch.linalg.eig", vectors, input, "eigenvectors");
  write_output(values, std::get<0>(results));
  const Tensor& columns = std::get<1>(results);
  if (at::native::resize_output(vectors, columns.sizes())) vectors.as_strided_(columns.sizes(), columns.strides());
  vectors.copy_(columns);
  return {values, vectors};
}

Tensor linalg_eigvals(const Tensor& input) { return std::get<0>(eigen("linalg.eigvals", input, false)); }

Tensor& linalg_eigvals_out(const Tensor& input, Tensor& values) {
  at::native::squareCheckInputs(input, "linalg.eigvals");
  check_eigen_output("torch.linalg.eigvals", values, input, "eigenvalues");
  return write_output(values, torch_backend::linalg_eigvals(input));
}

// ---- singular values

Tensor empty_columns(const Tensor& like, int64_t rows, int64_t columns) {
  c10::SmallVector<int64_t, 5> sizes(like.sizes().begin(), like.sizes().end() - 2);
  sizes.push_back(columns);
  sizes.push_back(rows);
  return empty_device(sizes, like.scalar_type(), like.device()).mT();
}

// `u`, which holds the matrices in its first columns, and `v` become the factors; both of dense columns.
void launch_svd(const Tensor& u, const Tensor& s, const Tensor& v, const Tensor& info) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("jacobi_svd");
  const Tensor left = as_columns(u), right = v.defined() ? as_columns(v) : v, values = rows_of_vectors(s);
  check_fits("linalg.svd", 4 * (left.size(1) + values.size(1)) + values.size(1), u.scalar_type(),
             "four columns of both factors", "use smaller matrices");
  kernels::JacobiSvdArguments arguments;
  arguments.number = number_of("linalg_svd_cpu", u.scalar_type());
  arguments.u = matrices_of(left);
  if (v.defined()) arguments.v = matrices_of(right);
  arguments.s = vectors_of(values);
  arguments.info = address_of(info);
  arguments.batch = left.size(0);
  arguments.has_vectors = v.defined();
  launch_cpp_kernel(kernel, u.device().index(), arguments, {left, values, right, info});
}

void svd_kernel(const Tensor& a, const bool full_matrices, const bool compute_uv,
                const std::optional<std::string_view>& driver, const Tensor& u, const Tensor& s, const Tensor& vh,
                const Tensor& info) {
  (void)driver;
  number_of("linalg_svd_cpu", a.scalar_type());
  const int64_t m = a.size(-2), n = a.size(-1), values = std::min(m, n);
  // Of a wide matrix the conjugate transpose is taken, whose factors are the same with their sides swapped.
  const bool is_tall = m >= n;
  const int64_t longer = std::max(m, n);
  const Tensor left =
      compute_uv && is_tall ? u : empty_columns(a, longer, full_matrices && compute_uv ? longer : values);
  left.narrow(-1, 0, values).copy_(is_tall ? a : a.mH());
  if (!compute_uv) return launch_svd(left, s, {}, info);
  const Tensor right = is_tall ? empty_columns(a, values, values) : u;
  launch_svd(left, s, right, info);
  vh.copy_((is_tall ? right : left).mH());
}

// ---- operators

std::tuple<Tensor&, Tensor&> linalg_qr_out(const Tensor& a, c10::string_view mode, Tensor& q, Tensor& r) {
  run_structured<at::native::structured_linalg_qr_out>(std::tie(q, r), a, mode);
  return {q, r};
}

std::tuple<Tensor&, Tensor&> linalg_eigh_out(const Tensor& a, c10::string_view uplo, bool compute_v, Tensor& values,
                                             Tensor& vectors) {
  run_structured<at::native::structured__linalg_eigh_out>(std::tie(values, vectors), a, uplo, compute_v);
  return {values, vectors};
}

std::tuple<Tensor&, Tensor&, Tensor&> linalg_svd_out(const Tensor& a, bool full_matrices, bool compute_uv,
                                                     std::optional<c10::string_view> driver, Tensor& u, Tensor& s,
                                                     Tensor& vh) {
  run_structured<at::native::structured__linalg_svd_out>(std::tie(u, s, vh), a, full_matrices, compute_uv, driver);
  return {u, s, vh};
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(geqrf_stub, &mtia::torch_backend::geqrf_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(orgqr_stub, &mtia::torch_backend::householder_product_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(ormqr_stub, &mtia::torch_backend::apply_householder_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(linalg_eigh_stub, &mtia::torch_backend::eigh_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(svd_stub, &mtia::torch_backend::svd_kernel)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("geqrf", at::native::geqrf);
  impl_on_one_device<at::native::geqrf_out>(library, "geqrf.a");
  impl_on_one_device<at::native::ormqr>(library, "ormqr");
  impl_on_one_device<at::native::ormqr_out>(library, "ormqr.out");
  impl_on_one_device<at::native::linalg_householder_product>(library, "linalg_householder_product");
  impl_on_one_device<at::native::linalg_householder_product_out>(library, "linalg_householder_product.out");
  library.impl("linalg_qr.out", linalg_qr_out);
  library.impl("_linalg_eigh.eigenvalues", linalg_eigh_out);
  library.impl("linalg_eig", mtia::torch_backend::linalg_eig);
  library.impl("linalg_eig.out", linalg_eig_out);
  library.impl("_linalg_eigvals", mtia::torch_backend::linalg_eigvals);
  library.impl("linalg_eigvals.out", linalg_eigvals_out);
  library.impl("_linalg_svd.U", linalg_svd_out);
}
