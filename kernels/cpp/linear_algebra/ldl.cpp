// The C++ kernels "ldl_factor" and "ldl_solve": symmetric and Hermitian matrices that need not be positive.
#include "kernels/cpp/linear_algebra/ldl.h"

#include <utility>

#include "kernels/cpp/linear_algebra/parts.h"
#include "kernels/cpp/linear_algebra/pivots.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;

// Where the matrix is not known every third step is charged as one of two columns, as it is for random numbers.
constexpr int64_t usual_steps_a_pair = 3;

template <typename T>
class Factorisation {
  using R = Real<T>;

 public:
  Factorisation(ColumnWork& work, Block<T>& a, int64_t n, bool hermitian)
      : work_(work), a_(a), n_(n), hermitian_(hermitian) {}

  // Returns info.
  int32_t run(ResultVector<int32_t>& pivots) {
    if (work_.is_unknown()) {
      charge_usual_steps();
      return 0;
    }
    int32_t info = 0;
    for (int64_t k = 0; k < n_;) {
      const auto [pivot, width] = choose_pivot(k);
      charge_search(k);
      if (pivot < 0) {
        if (info == 0) info = static_cast<int32_t>(k + 1);
        pivots[k] = static_cast<int32_t>(k + 1);
        make_real(k);
        ++k;
        continue;
      }
      swap(k, pivot, width);
      width == 1 ? eliminate_one(k) : eliminate_two(k);
      charge_elimination(k, width);
      const auto place = static_cast<int32_t>(pivot + 1);
      pivots[k] = width == 1 ? place : -place;
      if (width == 2) pivots[k + 1] = -place;
      k += width;
    }
    return info;
  }

 private:
  R diagonal_size(int64_t i) const { return hermitian_ ? std::abs(real_part(a_[i][i])) : size_of_pivot(a_[i][i]); }
  T other(T value) const { return maybe_conjugate(value, hermitian_); }
  void make_real(int64_t i) {
    if (hermitian_) a_[i][i] = T(real_part(a_[i][i]));
  }

  // The row to bring to k, or to k + 1 where two steps are made at once; -1: the column is zero.
  std::pair<int64_t, int64_t> choose_pivot(int64_t k) const {
    const R alpha = (1 + std::sqrt(R(17))) / 8;
    const R size = diagonal_size(k);
    const int64_t row = k + 1 < n_ ? k + 1 + place_of_largest(n_ - k - 1, a_[k] + k + 1) : k;
    const R largest = row > k ? size_of_pivot(a_[k][row]) : 0;
    if (std::max(size, largest) == 0 || std::isnan(size)) return {-1, 1};
    if (size >= alpha * largest) return {k, 1};
    R row_largest = 0;
    for (int64_t j = k; j < row; ++j) row_largest = std::max(row_largest, size_of_pivot(a_[j][row]));
    for (int64_t i = row + 1; i < n_; ++i) row_largest = std::max(row_largest, size_of_pivot(a_[row][i]));
    if (size >= alpha * largest * (largest / row_largest)) return {k, 1};
    if (diagonal_size(row) >= alpha * row_largest) return {row, 1};
    return {row, 2};
  }

  // Swaps rows and columns `pivot` and k + width - 1 of what is left.
  void swap(int64_t k, int64_t pivot, int64_t width) {
    const int64_t at = k + width - 1;
    if (pivot != at) {
      for (int64_t i = pivot + 1; i < n_; ++i) std::swap(a_[at][i], a_[pivot][i]);
      for (int64_t j = at + 1; j < pivot; ++j) {
        const T value = other(a_[at][j]);
        a_[at][j] = other(a_[j][pivot]);
        a_[j][pivot] = value;
      }
      a_[at][pivot] = other(a_[at][pivot]);
      std::swap(a_[at][at], a_[pivot][pivot]);
      if (width == 2) std::swap(a_[k][k + 1], a_[k][pivot]);
    }
    make_real(k);
    make_real(at);
    make_real(pivot);
  }

  void eliminate_one(int64_t k) {
    const T inverse = T(1) / a_[k][k];
    for (int64_t j = k + 1; j < n_; ++j) {
      add_multiple(n_ - j, T(-times(inverse, other(a_[k][j]))), a_[k] + j, a_[j] + j);
      make_real(j);
    }
    multiply(n_ - k - 1, inverse, a_[k] + k + 1);
  }

  void eliminate_two(int64_t k) {
    if (k + 2 >= n_) return;
    const T off = a_[k][k + 1];
    // LAPACK scales by the off-diagonal element, by its size in the Hermitian case.
    const T scale = hermitian_ ? T(std::abs(off)) : off;
    const T first = (hermitian_ ? T(real_part(a_[k][k])) : a_[k][k]) / scale;
    const T second = (hermitian_ ? T(real_part(a_[k + 1][k + 1])) : a_[k + 1][k + 1]) / scale;
    const T factor = T(1) / (times(second, first) - T(1)) / scale;
    const T unit = off / scale;  // 1 in the symmetric case
    for (int64_t j = k + 2; j < n_; ++j) {
      const T w = times(factor, times(second, a_[k][j]) - times(unit, a_[k + 1][j]));
      const T next = times(factor, times(first, a_[k + 1][j]) - times(other(unit), a_[k][j]));
      add_multiple(n_ - j, T(-other(w)), a_[k] + j, a_[j] + j);
      add_multiple(n_ - j, T(-other(next)), a_[k + 1] + j, a_[j] + j);
      a_[k][j] = w;
      a_[k + 1][j] = next;
      make_real(j);
    }
  }

  void charge_search(int64_t k) {
    work_.inner(n_ - k, 2);
    work_.scalar(static_cast<uint64_t>(32 + n_ - k));
  }
  void charge_elimination(int64_t k, int64_t width) { work_.vector(n_ - k, width * (n_ - k) / 2 + 1); }

  void charge_usual_steps() {
    int64_t step = 0;
    for (int64_t k = 0; k < n_;) {
      const int64_t width = ++step % usual_steps_a_pair == 0 ? std::min<int64_t>(2, n_ - k) : 1;
      charge_search(k);
      charge_elimination(k, width);
      k += width;
    }
  }

  ColumnWork& work_;
  Block<T>& a_;
  int64_t n_;
  bool hermitian_;
};

void ldl_factor(ProcessingElement& pe, const LdlFactorArguments& arguments) {
  for_each_matrix_of_numbers(pe, arguments, [&](auto number, int64_t matrix) {
    using T = decltype(number);
    const int64_t n = arguments.a.rows;
    ColumnWork work(pe, arguments.number);
    ResultVector<int32_t> pivots(work, arguments.pivots, matrix);
    Block<T> a(work, arguments.a, matrix, 0, n, 0, n);
    const int32_t info = Factorisation<T>(work, a, n, arguments.hermitian).run(pivots);
    a.store();
    pivots.store();
    store_info(work, arguments.info, matrix, info);
  });
}

MTIA_CPP_KERNEL("ldl_factor", ldl_factor, LdlFactorArguments);

template <typename T>
class Solution {
 public:
  Solution(const Block<T>& a, ResultVector<int32_t>& pivots, int64_t n, bool hermitian)
      : a_(a), pivots_(pivots), n_(n), hermitian_(hermitian) {}

  void solve(T* b) {
    for (int64_t k = 0; k < n_;) k += pivots_[k] > 0 ? forward_one(k, b) : forward_two(k, b);
    for (int64_t k = n_ - 1; k >= 0;) k -= pivots_[k] > 0 ? backward_one(k, b) : backward_two(k, b);
  }

 private:
  T other(T value) const { return maybe_conjugate(value, hermitian_); }
  int64_t pivot(int64_t k) { return std::clamp<int64_t>(std::abs(pivots_[k]) - 1, 0, n_ - 1); }
  T along(int64_t k, int64_t from, const T* b) const {
    return hermitian_ ? inner_product(n_ - from, a_[k] + from, b + from)
                      : inner_product<false>(n_ - from, a_[k] + from, b + from);
  }

  int64_t forward_one(int64_t k, T* b) {
    std::swap(b[k], b[pivot(k)]);
    add_multiple(n_ - k - 1, T(-b[k]), a_[k] + k + 1, b + k + 1);
    b[k] /= hermitian_ ? T(real_part(a_[k][k])) : a_[k][k];
    return 1;
  }

  int64_t forward_two(int64_t k, T* b) {
    if (k + 1 >= n_) return 1;
    std::swap(b[k + 1], b[pivot(k + 1)]);
    add_multiple(n_ - k - 2, T(-b[k]), a_[k] + k + 2, b + k + 2);
    add_multiple(n_ - k - 2, T(-b[k + 1]), a_[k + 1] + k + 2, b + k + 2);
    const T off = a_[k][k + 1];
    const T first = a_[k][k] / other(off), second = a_[k + 1][k + 1] / off;
    const T determinant = times(first, second) - T(1);
    const T upper = b[k] / other(off), lower = b[k + 1] / off;
    b[k] = (times(second, upper) - lower) / determinant;
    b[k + 1] = (times(first, lower) - upper) / determinant;
    return 2;
  }

  int64_t backward_one(int64_t k, T* b) {
    b[k] -= along(k, k + 1, b);
    std::swap(b[k], b[pivot(k)]);
    return 1;
  }

  int64_t backward_two(int64_t k, T* b) {
    if (k == 0) return 1;
    b[k] -= along(k, k + 1, b);
    b[k - 1] -= along(k - 1, k + 1, b);
    std::swap(b[k], b[pivot(k)]);
    return 2;
  }

  const Block<T>& a_;
  ResultVector<int32_t>& pivots_;
  int64_t n_;
  bool hermitian_;
};

template <typename T>
void solve_column(ProcessingElement& pe, const LdlSolveArguments& arguments, int64_t matrix, int64_t column) {
  const int64_t n = arguments.a.rows;
  ColumnWork work(pe, arguments.number);
  ResultVector<int32_t> pivots(work, arguments.pivots, matrix);
  pivots.load();
  for (int64_t k = 0; knows_pivots(work) && k < n; ++k)
    check_pivot("linalg.ldl_solve", std::abs(int64_t{pivots[k]}), n);
  const Block<T> a(work, arguments.a, matrix, 0, n, 0, n);
  Block<T> b(work, arguments.b, matrix, 0, n, column, 1);
  if (work.computes()) Solution<T>(a, pivots, n, arguments.hermitian).solve(b[0]);
  for (int64_t k = 0; k < n; ++k) {
    work.vector(n - k);
    work.inner(n - k);
  }
  b.store();
}

void ldl_solve(ProcessingElement& pe, const LdlSolveArguments& arguments) {
  with_number(arguments.number, [&](auto number) {
    for_each_part(pe, arguments.batch, arguments.b.columns, /*fitting=*/1,
                  [&](int64_t matrix, int64_t column, int64_t) {
                    solve_column<decltype(number)>(pe, arguments, matrix, column);
                  });
  });
}

MTIA_CPP_KERNEL("ldl_solve", ldl_solve, LdlSolveArguments);

}  // namespace
}  // namespace mtia::kernels
