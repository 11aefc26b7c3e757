// The C++ kernel "cholesky": one matrix a PE, column by column from the left.
#include "kernels/cpp/linear_algebra/cholesky.h"

#include "kernels/cpp/linear_algebra/parts.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;

// The root of a diagonal element that has to be positive, or nothing of it.
template <typename T>
bool take_root(T& diagonal, Real<T> value) {
  const bool is_positive = value > 0;
  diagonal = is_positive ? std::sqrt(value) : value;
  return is_positive;
}

// 1 / root; NaN of an infinite one, as in LAPACK, so that what follows is not taken for positive.
template <typename T>
T reciprocal(T root) {
  return std::isinf(real_part(root)) ? T(std::numeric_limits<Real<T>>::quiet_NaN()) : T(1) / root;
}

template <typename T>
int64_t factor_lower(Block<T>& a, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    T* column = a[j];
    for (int64_t k = 0; k < j; ++k) add_multiple(n - j, T(-conjugate(a[k][j])), a[k] + j, column + j);
    if (!take_root(column[j], real_part(column[j]))) return j + 1;
    multiply(n - j - 1, reciprocal(column[j]), column + j + 1);
  }
  return 0;
}

template <typename T>
int64_t factor_upper(Block<T>& a, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    T* column = a[j];
    for (int64_t i = 0; i < j; ++i) {
      const T value = column[i] - inner_product(i, a[i], column);
      column[i] = std::isinf(real_part(a[i][i])) ? reciprocal(a[i][i]) : value / a[i][i];
    }
    if (!take_root(column[j], real_part(column[j]) - sum_of_squares(j, column))) return j + 1;
  }
  return 0;
}

// What factoring costs, whether or not the matrix turns out to be positive.
void charge(ColumnWork& work, int64_t n, bool upper) {
  for (int64_t j = 0; j < n; ++j) {
    if (upper) {
      for (int64_t i = 0; i < j; ++i) work.inner(i);
      work.inner(j);
    } else {
      work.vector(n - j, j);
      work.vector(n - j - 1, 1, Opcode::mul_f);
    }
    work.scalar(static_cast<uint64_t>(16 + (upper ? 8 * j : 0)));
  }
}

template <typename T>
void factor_matrix(ProcessingElement& pe, const CholeskyArguments& arguments, int64_t matrix) {
  ColumnWork work(pe, arguments.number);
  const int64_t n = arguments.a.rows;
  ResultVector<int32_t> info(work, {.base = arguments.info, .length = 1, .batch_stride = 1}, matrix);
  if (arguments.first > 0) info.load();
  Block<T> a(work, arguments.a, matrix, 0, n, 0, n);
  if (work.computes()) {
    if (arguments.first == 0) info[0] = 0;
    if (info[0] == 0) {
      const int64_t failed = arguments.upper ? factor_upper(a, n) : factor_lower(a, n);
      info[0] = static_cast<int32_t>(failed == 0 ? 0 : failed + arguments.first);
    }
  }
  charge(work, n, arguments.upper);
  a.store();
  info.store();
}

void cholesky(ProcessingElement& pe, const CholeskyArguments& arguments) {
  for_each_matrix_of_numbers(
      pe, arguments, [&](auto number, int64_t matrix) { factor_matrix<decltype(number)>(pe, arguments, matrix); });
}

MTIA_CPP_KERNEL("cholesky", cholesky, CholeskyArguments);

}  // namespace
}  // namespace mtia::kernels
