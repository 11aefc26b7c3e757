// Triangular systems, Cholesky, LU and LDL factorisations. What fits local memory is one launch, one matrix a PE;
// larger matrices go by blocks, whose remainder is updated by products of the dot product engine.
#include "torch_backend/operators/linear_algebra.h"

#include <ATen/native/BatchLinearAlgebra.h>
#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/native/TransposeType.h>
#include <ATen/ops/_linalg_check_errors.h>
#include <ATen/ops/_linalg_det_native.h>
#include <ATen/ops/_linalg_slogdet_native.h>
#include <ATen/ops/_linalg_solve_ex_compositeexplicitautogradnonfunctional_dispatch.h>
#include <ATen/ops/_linalg_solve_ex_native.h>
#include <ATen/ops/cholesky_inverse_native.h>
#include <ATen/ops/cholesky_native.h>
#include <ATen/ops/linalg_cholesky_ex_native.h>
#include <ATen/ops/linalg_inv_ex_native.h>
#include <ATen/ops/linalg_ldl_factor_ex_native.h>
#include <ATen/ops/linalg_ldl_solve_native.h>
#include <ATen/ops/linalg_lu_factor_ex_native.h>
#include <ATen/ops/linalg_lu_native.h>
#include <ATen/ops/linalg_lu_solve_native.h>
#include <ATen/ops/linalg_solve_triangular_native.h>
#include <ATen/ops/lu_unpack_native.h>
#include <ATen/ops/triangular_solve_native.h>
#include <torch/library.h>

#include <algorithm>

#include "chip/chip_spec.h"
#include "kernels/cpp/linear_algebra/cholesky.h"
#include "kernels/cpp/linear_algebra/ldl.h"
#include "kernels/cpp/linear_algebra/lu.h"
#include "kernels/cpp/linear_algebra/triangular.h"
#include "runtime/runtime.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/products.h"

namespace mtia::torch_backend {

kernels::Number number_of(const char* operation, c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kFloat:
      return kernels::Number::f32;
    case c10::kDouble:
      return kernels::Number::f64;
    case c10::kComplexFloat:
      return kernels::Number::complex_f32;
    case c10::kComplexDouble:
      return kernels::Number::complex_f64;
    default:
      check_implemented(false, operation, dtype);
      return {};
  }
}

at::Tensor as_columns(const at::Tensor& matrices) {
  at::Tensor raw = matrices.is_conj() ? matrices.conj() : matrices;
  if (raw.is_neg()) raw = raw._neg_view();
  if (raw.stride(-2) != 1 && raw.size(-2) > 1) raw = raw.mT();
  TORCH_INTERNAL_ASSERT(raw.stride(-2) == 1 || raw.size(-2) <= 1);
  const int64_t rows = raw.size(-2), columns = raw.size(-1);
  int64_t batch = 1, batch_stride = 0;
  for (int64_t d = raw.dim() - 3; d >= 0; --d) {
    if (raw.size(d) == 1) continue;
    if (batch == 1) batch_stride = raw.stride(d);
    TORCH_INTERNAL_ASSERT(batch == 1 || raw.stride(d) == batch * batch_stride);
    batch *= raw.size(d);
  }
  const int64_t column_stride = columns > 1 ? raw.stride(-1) : std::max<int64_t>(rows, 1);
  return raw.as_strided({batch, rows, columns}, {batch_stride, 1, column_stride}, raw.storage_offset());
}

kernels::Matrices matrices_of(const at::Tensor& columns, Use use) {
  return {.base = use == Use::read ? address_to_read(columns) : address_of(columns),
          .rows = columns.size(1),
          .columns = columns.size(2),
          .column_stride = columns.stride(2),
          .batch_stride = columns.stride(0)};
}

kernels::Vectors vectors_of(const at::Tensor& vectors, Use use) {
  return {.base = use == Use::read ? address_to_read(vectors) : address_of(vectors),
          .length = vectors.size(-1),
          .batch_stride = vectors.dim() > 1 ? vectors.stride(-2) : vectors.size(-1)};
}

bool pays_to_share(int64_t batch, int64_t steps) {
  constexpr int64_t fewest_steps = 128, processing_elements = 64;
  return steps > fewest_steps && 4 * batch <= processing_elements;
}

namespace {

// How many bytes of local memory a kernel's matrices may take.
int64_t room_for_matrices() {
  constexpr int64_t rest = 1024;  // vectors' and tiles' alignment
  return static_cast<int64_t>(runtime::chip().local_memory_bytes) - rest;
}

}  // namespace

void check_fits(const char* operation, int64_t numbers, c10::ScalarType dtype, const char* what, const char* remedy) {
  const auto size = static_cast<int64_t>(c10::elementSize(dtype));
  TORCH_CHECK_NOT_IMPLEMENTED(numbers <= room_for_matrices() / size, operation, ": ", what, " needs ", numbers * size,
                              " bytes of local memory, a PE of ", runtime::chip().name, " has ", room_for_matrices(),
                              " for it; ", remedy, ", or compute it on the CPU with tensor.cpu()");
}

namespace {

constexpr const char* factorise = "linear algebra";

// Sizes of blocks of large matrices: whole rows of the dot product engine, and a panel's work small beside the rest's.
constexpr int64_t widest_block = 128;
constexpr int64_t block_unit = 16;
constexpr int64_t lu_panel_width = 32;

int64_t numbers_in_block(const at::Tensor& tensor) {
  return room_for_blocks / static_cast<int64_t>(tensor.element_size());
}

// Of square blocks, which fit local memory beside a column.
int64_t block_width(const at::Tensor& tensor) {
  int64_t width = widest_block;
  while (width > block_unit && width * (width + 1) > numbers_in_block(tensor)) width -= block_unit;
  return width;
}

at::Tensor rows_of(const at::Tensor& matrices, int64_t first, int64_t count) {
  return matrices.narrow(1, first, count);
}

at::Tensor part_of(const at::Tensor& matrices, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  return matrices.narrow(1, row, rows).narrow(2, column, columns);
}

// c -= a b
void subtract_product(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b) {
  if (c.numel() == 0 || a.numel() == 0) return;
  matrix_product(factorise, c, a, b, c, 1, -1);
}

at::Tensor transposed(const at::Tensor& matrices, kernels::Transpose transpose) {
  if (transpose == kernels::Transpose::none) return matrices;
  return transpose == kernels::Transpose::plain ? matrices.mT() : matrices.mH();
}

void launch_solve_triangular(const at::Tensor& a, const at::Tensor& b, bool left, bool upper,
                             kernels::Transpose transpose, bool has_unit_diagonal) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("solve_triangular");
  kernels::SolveTriangularArguments arguments;
  arguments.b = matrices_of(b);
  arguments.a = matrices_of(a, Use::read);
  arguments.batch = b.size(0);
  arguments.number = number_of("triangular_solve", a.scalar_type());
  arguments.transpose = transpose;
  arguments.left = left;
  arguments.upper = upper;
  arguments.has_unit_diagonal = has_unit_diagonal;
  launch_cpp_kernel(kernel, b.device().index(), arguments, {a, b});
}

}  // namespace

void solve_triangular(const at::Tensor& a, const at::Tensor& b, bool left, bool upper, kernels::Transpose transpose,
                      bool has_unit_diagonal) {
  const int64_t n = a.size(-1);
  if (b.numel() == 0) return;
  if (n * (n + 1) <= numbers_in_block(a))
    return launch_solve_triangular(a, b, left, upper, transpose, has_unit_diagonal);
  // Halves: solve for one, take its product with the block between them from the other, solve for that.
  const int64_t half = (n / 2 + block_unit - 1) / block_unit * block_unit;
  const bool is_lower = upper != (transpose == kernels::Transpose::none);
  const at::Tensor between =
      transposed(upper ? part_of(a, 0, half, half, n - half) : part_of(a, half, n - half, 0, half), transpose);
  const auto lines = [&](int64_t first, int64_t count) { return b.narrow(left ? 1 : 2, first, count); };
  const at::Tensor first = lines(0, half), second = lines(half, n - half);
  const auto solve = [&](int64_t begin, int64_t count) {
    solve_triangular(part_of(a, begin, count, begin, count), lines(begin, count), left, upper, transpose,
                     has_unit_diagonal);
  };
  const bool starts_above = is_lower == left;
  starts_above ? solve(0, half) : solve(half, n - half);
  const at::Tensor& known = starts_above ? first : second;
  const at::Tensor& unknown = starts_above ? second : first;
  left ? subtract_product(unknown, between, known) : subtract_product(unknown, known, between);
  starts_above ? solve(half, n - half) : solve(0, half);
}

at::Tensor zeros_on_diagonals(const at::Tensor& matrices) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("find_zero_diagonal");
  const at::Tensor info = empty_device({matrices.size(0)}, c10::kInt, matrices.device());
  kernels::FindZeroDiagonalArguments arguments;
  arguments.a = matrices_of(matrices);
  arguments.info = address_of(info);
  arguments.batch = matrices.size(0);
  arguments.number = number_of(factorise, matrices.scalar_type());
  launch_cpp_kernel(kernel, matrices.device().index(), arguments, {matrices, info});
  return info;
}

namespace {

kernels::Transpose transpose_of(at::native::TransposeType transpose) {
  switch (transpose) {
    case at::native::TransposeType::NoTranspose:
      return kernels::Transpose::none;
    case at::native::TransposeType::Transpose:
      return kernels::Transpose::plain;
    default:
      return kernels::Transpose::conjugate;
  }
}

// A batch of matrices that may have fewer dimensions than, or broadcast to, those of `like`.
at::Tensor expanded_columns(const at::Tensor& matrices, const at::Tensor& like) {
  c10::SmallVector<int64_t, 5> sizes(like.sizes().begin(), like.sizes().end() - 2);
  sizes.append(matrices.sizes().end() - 2, matrices.sizes().end());
  if (matrices.sizes().equals(sizes)) return as_columns(matrices);
  return as_columns(at::native::cloneBatchedColumnMajor(matrices.expand(sizes)));
}

at::Tensor expanded_vectors(const at::Tensor& vectors, const at::Tensor& like) {
  c10::SmallVector<int64_t, 5> sizes(like.sizes().begin(), like.sizes().end() - 2);
  sizes.push_back(vectors.size(-1));
  return vectors.expand(sizes).contiguous().view({-1, vectors.size(-1)});
}

void triangular_solve_kernel(const at::Tensor& a, const at::Tensor& b, bool left, bool upper,
                             at::native::TransposeType transpose, bool unitriangular) {
  number_of("triangular_solve_cpu", a.scalar_type());
  if (b.numel() == 0) return;
  solve_triangular(as_columns(a), as_columns(b), left, upper, transpose_of(transpose), unitriangular);
}

// ---- Cholesky

void launch_cholesky(const at::Tensor& a, const at::Tensor& info, int64_t first, bool upper) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("cholesky");
  kernels::CholeskyArguments arguments;
  arguments.a = matrices_of(a);
  arguments.info = address_of(info);
  arguments.batch = a.size(0);
  arguments.first = first;
  arguments.number = number_of("cholesky_cpu", a.scalar_type());
  arguments.upper = upper;
  launch_cpp_kernel(kernel, a.device().index(), arguments, {a, info});
}

void cholesky_kernel(const at::Tensor& input, const at::Tensor& info, bool upper) {
  number_of("cholesky_cpu", input.scalar_type());
  if (input.numel() == 0) {
    info.fill_(0);
    return;
  }
  const at::Tensor a = as_columns(input);
  const int64_t n = a.size(1);
  const bool is_one = n * n <= numbers_in_block(a) && !pays_to_share(a.size(0), n / 2);
  const int64_t width = is_one ? n : block_width(a);
  for (int64_t k = 0; k < n; k += width) {
    const int64_t count = std::min(width, n - k), begin = k + count, rest = n - begin;
    const at::Tensor block = part_of(a, k, count, k, count);
    launch_cholesky(block, info, k, upper);
    if (rest == 0) break;
    const at::Tensor remainder = part_of(a, begin, rest, begin, rest);
    const at::Tensor panel = upper ? part_of(a, k, count, begin, rest) : part_of(a, begin, rest, k, count);
    solve_triangular(block, panel, /*left=*/upper, upper, kernels::Transpose::conjugate, false);
    upper ? subtract_product(remainder, panel.mH(), panel) : subtract_product(remainder, panel, panel.mH());
  }
}

// x, in place, of a x = b, where a's Cholesky factor is given.
void solve_with_cholesky(const at::Tensor& factor, const at::Tensor& x, bool upper) {
  using kernels::Transpose;
  solve_triangular(factor, x, /*left=*/true, upper, upper ? Transpose::conjugate : Transpose::none, false);
  solve_triangular(factor, x, /*left=*/true, upper, upper ? Transpose::none : Transpose::conjugate, false);
}

at::Tensor cholesky_solve_helper(const at::Tensor& self, const at::Tensor& factor, bool upper) {
  number_of("cholesky_solve_cpu", self.scalar_type());
  const at::Tensor result = at::native::cloneBatchedColumnMajor(self);
  if (result.numel() == 0) return result;
  solve_with_cholesky(as_columns(at::native::cloneBatchedColumnMajor(factor)), as_columns(result), upper);
  return result;
}

// As LAPACK's potri: `infos`, on the CPU, names the first zero on the diagonal.
at::Tensor& cholesky_inverse_kernel(at::Tensor& result, at::Tensor& infos, bool upper) {
  number_of("cholesky_inverse_out_cpu", result.scalar_type());
  if (result.numel() == 0) return result;
  const at::Tensor factor = as_columns(at::native::cloneBatchedColumnMajor(result));
  infos.copy_(zeros_on_diagonals(factor));
  result.zero_();
  result.diagonal(0, -2, -1).fill_(1);
  solve_with_cholesky(factor, as_columns(result), upper);
  return result;
}

// ---- LU

void launch_lu_panel(const at::Tensor& a, const at::Tensor& pivots, const at::Tensor& info, int64_t first) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("lu_panel");
  kernels::LuPanelArguments arguments;
  arguments.a = matrices_of(a);
  arguments.pivots = vectors_of(pivots);
  arguments.info = address_of(info);
  arguments.batch = a.size(0);
  arguments.first = first;
  arguments.number = number_of("lu_factor_cpu", a.scalar_type());
  launch_cpp_kernel(kernel, a.device().index(), arguments, {a, pivots, info});
}

void swap_rows(const at::Tensor& b, const at::Tensor& pivots, int64_t first, bool backwards) {
  if (b.numel() == 0) return;
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("swap_rows");
  kernels::SwapRowsArguments arguments;
  arguments.b = matrices_of(b);
  arguments.pivots = vectors_of(pivots, Use::read);
  arguments.batch = b.size(0);
  arguments.first = first;
  arguments.number = number_of("lu_solve", b.scalar_type());
  arguments.backwards = backwards;
  launch_cpp_kernel(kernel, b.device().index(), arguments, {b, pivots});
}

void lu_factor_kernel(const at::Tensor& input, const at::Tensor& pivots, const at::Tensor& info, bool compute_pivots) {
  TORCH_CHECK(compute_pivots, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
  number_of("lu_cpu", input.scalar_type());
  if (input.numel() == 0) {
    info.fill_(0);
    return;
  }
  const at::Tensor a = as_columns(input);
  const int64_t rows = a.size(1), columns = a.size(2), steps = std::min(rows, columns);
  const at::Tensor places = pivots.view({-1, steps});
  check_fits("linalg.lu_factor", rows, a.scalar_type(), "a column", "split the matrix");
  const bool is_one = rows * columns <= numbers_in_block(a) && !pays_to_share(a.size(0), steps);
  const int64_t width = is_one ? columns : std::clamp<int64_t>(numbers_in_block(a) / rows, 1, lu_panel_width);
  for (int64_t k = 0; k < steps; k += width) {
    const int64_t count = std::min(width, (is_one ? columns : steps) - k), end = k + count;
    const at::Tensor panel_pivots = places.narrow(1, k, std::min(count, steps - k));
    launch_lu_panel(part_of(a, k, rows - k, k, count), panel_pivots, info, k);
    if (is_one) break;
    swap_rows(part_of(a, k, rows - k, 0, k), panel_pivots, k, false);
    const at::Tensor rest = part_of(a, k, rows - k, end, columns - end);
    swap_rows(rest, panel_pivots, k, false);
    const at::Tensor upper = rows_of(rest, 0, count);
    solve_triangular(part_of(a, k, count, k, count), upper, /*left=*/true, /*upper=*/false, kernels::Transpose::none,
                     /*has_unit_diagonal=*/true);
    subtract_product(rows_of(rest, count, rows - end), part_of(a, end, rows - end, k, count), upper);
  }
}

void lu_solve_kernel(const at::Tensor& lu, const at::Tensor& pivots, const at::Tensor& b,
                     at::native::TransposeType transpose) {
  number_of("linalg.lu_solve_cpu", b.scalar_type());
  if (b.numel() == 0) return;
  const at::Tensor a = expanded_columns(lu, b), x = as_columns(b), places = expanded_vectors(pivots, b);
  const kernels::Transpose op = transpose_of(transpose);
  const bool plain = op == kernels::Transpose::none;
  check_fits("linalg.lu_solve", x.size(1) + places.size(1), b.scalar_type(), "a right-hand side", "split the matrix");
  if (plain) swap_rows(x, places, 0, false);
  solve_triangular(a, x, /*left=*/true, /*upper=*/!plain, op, /*has_unit_diagonal=*/plain);
  solve_triangular(a, x, /*left=*/true, /*upper=*/plain, op, /*has_unit_diagonal=*/!plain);
  if (!plain) swap_rows(x, places, 0, true);
}

void unpack_pivots_kernel(at::TensorIterator& iterator, const int64_t, const int64_t) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("unpack_pivots");
  const at::Tensor& permutation = iterator.tensor(0);
  const at::Tensor& pivots = iterator.tensor(1);
  if (pivots.numel() == 0) return;
  kernels::UnpackPivotsArguments arguments;
  arguments.permutation = vectors_of(permutation);
  arguments.pivots = vectors_of(pivots, Use::read);
  arguments.batch = pivots.numel() / pivots.size(-1);
  launch_cpp_kernel(kernel, pivots.device().index(), arguments, {permutation, pivots});
}

// ---- LDL

void ldl_factor_kernel(const at::Tensor& ld, const at::Tensor& pivots, const at::Tensor& info, bool upper,
                       bool hermitian) {
  TORCH_INTERNAL_ASSERT(!upper);
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("ldl_factor");
  kernels::LdlFactorArguments arguments;
  arguments.number = number_of("ldl_factor_kernel_cpu", ld.scalar_type());
  if (ld.numel() == 0) return;
  const at::Tensor a = as_columns(ld);
  check_fits("linalg.ldl_factor", a.size(1) * (a.size(1) + 1), a.scalar_type(), "a matrix", "split it");
  arguments.a = matrices_of(a);
  arguments.pivots = vectors_of(pivots);
  arguments.info = address_of(info);
  arguments.batch = a.size(0);
  arguments.hermitian = hermitian && ld.is_complex();
  launch_cpp_kernel(kernel, ld.device().index(), arguments, {a, pivots, info});
}

void ldl_solve_kernel(const at::Tensor& ld, const at::Tensor& pivots, const at::Tensor& result, bool upper,
                      bool hermitian) {
  TORCH_INTERNAL_ASSERT(!upper);
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("ldl_solve");
  kernels::LdlSolveArguments arguments;
  arguments.number = number_of("ldl_solve_kernel_cpu", result.scalar_type());
  if (result.numel() == 0) return;
  const at::Tensor a = expanded_columns(ld, result), b = as_columns(result), places = expanded_vectors(pivots, result);
  check_fits("linalg.ldl_solve", a.size(1) * (a.size(1) + 2), a.scalar_type(), "a matrix", "split it");
  arguments.b = matrices_of(b);
  arguments.a = matrices_of(a, Use::read);
  arguments.pivots = vectors_of(places, Use::read);
  arguments.batch = b.size(0);
  arguments.hermitian = hermitian && result.is_complex();
  launch_cpp_kernel(kernel, result.device().index(), arguments, {a, places, b});
}

// ---- operators

using Two = std::tuple<at::Tensor&, at::Tensor&>;
using Three = std::tuple<at::Tensor&, at::Tensor&, at::Tensor&>;
using Four = std::tuple<at::Tensor&, at::Tensor&, at::Tensor&, at::Tensor&>;
using at::Tensor;

Two linalg_cholesky_ex_out(const Tensor& self, bool upper, bool check_errors, Tensor& l, Tensor& info) {
  run_structured<at::native::structured_linalg_cholesky_ex_out>(std::tie(l, info), self, upper, check_errors);
  return {l, info};
}

Two triangular_solve_out(const Tensor& self, const Tensor& a, bool upper, bool transpose, bool unitriangular, Tensor& x,
                         Tensor& clone) {
  run_structured<at::native::structured_triangular_solve_out>(std::tie(x, clone), self, a, upper, transpose,
                                                              unitriangular);
  return {x, clone};
}

Three linalg_lu_factor_ex_out(const Tensor& a, bool pivot, bool check_errors, Tensor& lu, Tensor& pivots,
                              Tensor& info) {
  run_structured<at::native::structured_linalg_lu_factor_ex_out>(std::tie(lu, pivots, info), a, pivot, check_errors);
  return {lu, pivots, info};
}

Three linalg_lu_out(const Tensor& a, bool pivot, Tensor& p, Tensor& l, Tensor& u) {
  run_structured<at::native::structured_linalg_lu_out>(std::tie(p, l, u), a, pivot);
  return {p, l, u};
}

Three lu_unpack_out(const Tensor& lu, const Tensor& pivots, bool unpack_data, bool unpack_pivots, Tensor& p, Tensor& l,
                    Tensor& u) {
  run_structured<at::native::structured_lu_unpack_out>(std::tie(p, l, u), lu, pivots, unpack_data, unpack_pivots);
  return {p, l, u};
}

Tensor& linalg_lu_solve_out(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left, bool adjoint,
                            Tensor& out) {
  run_structured<at::native::structured_linalg_lu_solve_out>(std::tie(out), lu, pivots, b, left, adjoint);
  return out;
}

Four linalg_solve_ex_out(const Tensor& a, const Tensor& b, bool left, bool check_errors, Tensor& result, Tensor& lu,
                         Tensor& pivots, Tensor& info) {
  run_structured<at::native::structured__linalg_solve_ex_out>(std::tie(result, lu, pivots, info), a, b, left,
                                                              check_errors);
  return {result, lu, pivots, info};
}

Two linalg_inv_ex_out(const Tensor& a, bool check_errors, Tensor& inverse, Tensor& info) {
  run_structured<at::native::structured_linalg_inv_ex_out>(std::tie(inverse, info), a, check_errors);
  return {inverse, info};
}

Three linalg_det_out(const Tensor& a, Tensor& result, Tensor& lu, Tensor& pivots) {
  run_structured<at::native::structured__linalg_det_out>(std::tie(result, lu, pivots), a);
  return {result, lu, pivots};
}

Four linalg_slogdet_out(const Tensor& a, Tensor& sign, Tensor& logarithm, Tensor& lu, Tensor& pivots) {
  run_structured<at::native::structured__linalg_slogdet_out>(std::tie(sign, logarithm, lu, pivots), a);
  return {sign, logarithm, lu, pivots};
}

Three linalg_ldl_factor_ex_out(const Tensor& self, bool hermitian, bool check_errors, Tensor& ld, Tensor& pivots,
                               Tensor& info) {
  run_structured<at::native::structured_linalg_ldl_factor_ex_out>(std::tie(ld, pivots, info), self, hermitian,
                                                                  check_errors);
  return {ld, pivots, info};
}

Tensor& linalg_ldl_solve_out(const Tensor& ld, const Tensor& pivots, const Tensor& b, bool hermitian, Tensor& out) {
  run_structured<at::native::structured_linalg_ldl_solve_out>(std::tie(out), ld, pivots, b, hermitian);
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(triangular_solve_stub, &mtia::torch_backend::triangular_solve_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(cholesky_stub, &mtia::torch_backend::cholesky_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(cholesky_inverse_stub, &mtia::torch_backend::cholesky_inverse_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(lu_factor_stub, &mtia::torch_backend::lu_factor_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(lu_solve_stub, &mtia::torch_backend::lu_solve_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(unpack_pivots_stub, &mtia::torch_backend::unpack_pivots_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(ldl_factor_stub, &mtia::torch_backend::ldl_factor_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(ldl_solve_stub, &mtia::torch_backend::ldl_solve_kernel)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("linalg_cholesky_ex.L", linalg_cholesky_ex_out);
  library.impl("cholesky", at::native::cholesky);
  impl_on_one_device<at::native::cholesky_out>(library, "cholesky.out");
  impl_on_one_device<cholesky_solve_helper>(library, "_cholesky_solve_helper");
  impl_on_one_device<at::native::cholesky_inverse>(library, "cholesky_inverse");
  impl_on_one_device<at::native::cholesky_inverse_out>(library, "cholesky_inverse.out");
  impl_on_one_device<at::native::linalg_solve_triangular>(library, "linalg_solve_triangular");
  impl_on_one_device<at::native::linalg_solve_triangular_out>(library, "linalg_solve_triangular.out");
  library.impl("triangular_solve.X", triangular_solve_out);
  library.impl("linalg_lu_factor_ex.out", linalg_lu_factor_ex_out);
  library.impl("linalg_lu.out", linalg_lu_out);
  library.impl("lu_unpack.out", lu_unpack_out);
  library.impl("linalg_lu_solve.out", linalg_lu_solve_out);
  impl_on_one_device<at::compositeexplicitautogradnonfunctional::_linalg_solve_ex>(library, "_linalg_solve_ex");
  library.impl("_linalg_solve_ex.result", linalg_solve_ex_out);
  library.impl("linalg_inv_ex.inverse", linalg_inv_ex_out);
  library.impl("_linalg_det.result", linalg_det_out);
  library.impl("_linalg_slogdet.sign", linalg_slogdet_out);
  library.impl("linalg_ldl_factor_ex.out", linalg_ldl_factor_ex_out);
  library.impl("linalg_ldl_solve.out", linalg_ldl_solve_out);
}
