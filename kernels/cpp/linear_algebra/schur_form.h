// The Schur form of one matrix in local memory: Hessenberg form by Householder reflections, then shifted QR steps. Real
// matrices take Francis' double shifts, so that their eigenvalues are real or come in exact pairs.
#pragma once

#include "kernels/cpp/linear_algebra/reflector.h"

namespace mtia::kernels {

template <typename T>
class SchurForm {
  using R = Real<T>;
  using C = std::complex<R>;
  static constexpr int most_iterations = 60;
  static constexpr int64_t bulge_rows = is_complex_number<T> ? 2 : 3;
  // Steps that two eigenvalues of a matrix of random numbers take, within a tenth for 32 <= n <= 180: charged where the
  // matrix is not known. The eigenvalues of a real one are taken for pairs, as nearly all of them are.
  static constexpr int64_t usual_steps =
      sizeof(R) == sizeof(double) ? (is_complex_number<T> ? 7 : 4) : (is_complex_number<T> ? 5 : 3);

 public:
  static constexpr R epsilon = std::numeric_limits<R>::epsilon();

  SchurForm(ColumnWork& work, const Matrices& matrices, int64_t matrix)
      : work_(work), n_(matrices.rows), sums_(static_cast<size_t>(n_)), h_(work, matrices, matrix, 0, n_, 0, n_) {}

  // n x n numbers of local memory, which become the form's basis.
  void keep_basis(T* basis) {
    basis_ = basis;
    std::fill(basis_, basis_ + n_ * n_, T(0));
    for (int64_t i = 0; i < n_; ++i) basis_[i * n_ + i] = T(1);
  }

  // Returns 0, or the number of eigenvalues that do not converge.
  int32_t find() {
    const R largest = largest_part(n_ * n_, h_[0]);
    work_.vector(n_, n_, Opcode::max_f);
    has_infinity_ = std::isinf(largest);
    if (!std::isfinite(largest)) return has_infinity_ ? 0 : static_cast<int32_t>(n_);
    reduce();
    if (!std::isfinite(size_)) return static_cast<int32_t>(n_);
    scale();
    if (!work_.is_unknown()) return iterate();
    charge_usual_steps();
    return 0;
  }

  // There is no form then, and as in LAPACK no eigenvalue is a number.
  bool has_infinity() const { return has_infinity_; }

  // Of the form divided by unit(), so that no product of a step left the range.
  T& h(int64_t row, int64_t column) { return h_[column][row]; }
  T* basis(int64_t column) { return basis_ + column * n_; }
  R unit() const { return unit_; }
  R size() const { return size_; }  // of its largest number

  // Whether row i is the first of a pair of complex eigenvalues.
  bool begins_pair(int64_t i) {
    if (is_complex_number<T> || i + 1 >= n_) return false;
    return work_.is_unknown() ? i % 2 == 0 : h(i + 1, i) != T(0);
  }

  C value_at(int64_t i) {
    if (begins_pair(i)) return pair_value(i);
    if (i > 0 && begins_pair(i - 1)) return std::conj(pair_value(i - 1));
    return C(h(i, i));
  }

 private:
  // a = Q^H a Q with the reflector v of rows [first, first + n); the basis follows. Rows are changed from `column` on,
  // columns up to row `rows`.
  void transform(int64_t first, int64_t n, T tau, const T* v, int64_t column, int64_t rows) {
    for (int64_t j = column; j < n_; ++j) reflect(n, conjugate(tau), v, h_[j] + first);
    reflect_rows([&](int64_t i) { return h_[first + i]; }, rows, n, tau, v, sums_.data());
    if (basis_ != nullptr) reflect_rows([&](int64_t i) { return basis(first + i); }, n_, n, tau, v, sums_.data());
    charge_transform(n, column, rows);
  }

  void charge_transform(int64_t n, int64_t column, int64_t rows) {
    work_.inner(n, n_ - column);
    work_.vector(n, n_ - column);
    work_.vector(rows, 2 * n);
    if (basis_ != nullptr) work_.vector(n_, 2 * n);
  }

  void reduce() {
    std::vector<T> reflector(static_cast<size_t>(n_));
    for (int64_t k = 0; k + 2 < n_; ++k) {
      const int64_t n = n_ - k - 1;
      std::copy_n(h_[k] + k + 1, n, reflector.data());
      const T tau = make_reflector(n, reflector.data());
      h(k + 1, k) = reflector[0];
      std::fill(h_[k] + k + 2, h_[k] + n_, T(0));
      transform(k + 1, n, tau, reflector.data(), k + 1, n_);
      work_.scalar(40);
    }
    for (int64_t j = 0; j < n_; ++j) {
      for (int64_t i = 0; i < std::min(n_, j + 2); ++i) {
        const R size = std::abs(h(i, j));
        size_ = std::isfinite(size) ? std::max(size_, size) : std::numeric_limits<R>::infinity();
      }
    }
  }

  // So that no product of a step leaves the range.
  void scale() {
    if (size_ != 0) unit_ = power_of_two_near(size_);
    for (int64_t j = 0; j < n_; ++j) multiply(n_, T(1 / unit_), h_[j]);
    size_ /= unit_;
    work_.vector(n_, n_, Opcode::mul_f);
  }

  int32_t iterate() {
    int64_t high = n_ - 1;
    for (int iteration = 0; high >= 0; ++iteration) {
      int64_t low = high;
      while (low > 0 && !is_small(low)) --low;
      if (low > 0) h(low, low - 1) = T(0);
      const bool is_pair = !is_complex_number<T> && low + 1 == high;
      if (is_pair) split_pair(low);
      if (is_pair || low == high) {
        high = low - 1;
        iteration = -1;
        continue;
      }
      if (iteration == most_iterations) return static_cast<int32_t>(high + 1);
      work_.scalar(60);
      if constexpr (is_complex_number<T>) {
        step(low, high, iteration);
      } else {
        double_step(low, high, iteration);
      }
    }
    return 0;
  }

  bool is_small(int64_t i) {
    R neighbours = std::abs(h(i - 1, i - 1)) + std::abs(h(i, i));
    if (neighbours == 0) neighbours = size_;
    return std::abs(h(i, i - 1)) <= epsilon * neighbours;
  }

  // The eigenvalue with positive imaginary part of rows i and i + 1.
  C pair_value(int64_t i) {
    const R half = (real_part(h(i, i)) - real_part(h(i + 1, i + 1))) / 2;
    const R product = real_part(h(i, i + 1)) * real_part(h(i + 1, i));
    return {real_part(h(i + 1, i + 1)) + half, std::sqrt(std::max(R(0), -(half * half + product)))};
  }

  // A block of two rows at its end: one with real eigenvalues becomes triangular.
  void split_pair(int64_t i) {
    if constexpr (!is_complex_number<T>) {
      const R half = (h(i, i) - h(i + 1, i + 1)) / 2;
      const R discriminant = half * half + h(i, i + 1) * h(i + 1, i);
      if (discriminant < 0) return;
      // (half + root, lower) spans the eigenvectors of one eigenvalue.
      const R root = half + std::copysign(std::sqrt(discriminant), half);
      R reflector[2] = {root, h(i + 1, i)};
      const T tau = make_reflector(2, reflector);
      transform(i, 2, tau, reflector, i, i + 2);
      h(i + 1, i) = 0;
    }
  }

  // Francis' step: two shifts at once, the eigenvalues of the last two rows.
  void double_step(int64_t low, int64_t high, int iteration) {
    R sum = real_part(h(high - 1, high - 1)) + real_part(h(high, high));
    R product = real_part(h(high - 1, high - 1)) * real_part(h(high, high)) -
                real_part(h(high - 1, high)) * real_part(h(high, high - 1));
    if (iteration % 10 == 9) {  // shifts that break a cycle
      const R size = std::abs(h(high, high - 1)) + std::abs(h(high - 1, high - 2));
      sum = R(1.5) * size;
      product = size * size;
    }
    const T a = h(low, low), b = h(low, low + 1), c = h(low + 1, low), d = h(low + 1, low + 1);
    T bulge[bulge_rows] = {a * a + b * c - sum * a + T(product), c * (a + d - sum), c * h(low + 2, low + 1)};
    for (int64_t k = low; k < high; ++k) {
      const int64_t n = std::min(bulge_rows, high - k + 1);
      const T tau = make_reflector(n, bulge);
      if (k > low) {
        h(k, k - 1) = bulge[0];
        for (int64_t i = 1; i < n; ++i) h(k + i, k - 1) = T(0);
      }
      transform(k, n, tau, bulge, k, std::min(k + bulge_rows + 1, high + 1));
      for (int64_t i = 0; i < std::min(bulge_rows, high - k); ++i) bulge[i] = h(k + 1 + i, k);
    }
  }

  // A step with Wilkinson's shift.
  void step(int64_t low, int64_t high, int iteration) {
    const T half = (h(high - 1, high - 1) - h(high, high)) / T(2);
    const T product = times(h(high - 1, high), h(high, high - 1));
    const T root = std::sqrt(times(half, half) + product);
    const T sum = std::abs(half + root) > std::abs(half - root) ? half + root : half - root;
    T shift = h(high, high) - (sum == T(0) ? T(0) : product / sum);
    if (iteration % 10 == 9) shift = T(std::abs(h(high, high - 1)));
    T bulge[bulge_rows] = {h(low, low) - shift, h(low + 1, low)};
    for (int64_t k = low; k < high; ++k) {
      const T tau = make_reflector(2, bulge);
      if (k > low) {
        h(k, k - 1) = bulge[0];
        h(k + 1, k - 1) = T(0);
      }
      transform(k, bulge_rows, tau, bulge, k, std::min(k + bulge_rows + 1, high + 1));
      if (k + 1 < high) {
        bulge[0] = h(k + 1, k);
        bulge[1] = h(k + 2, k);
      }
    }
  }

  // From the last eigenvalues to the first, two at a time, no block falling apart above them.
  void charge_usual_steps() {
    for (int64_t high = n_ - 1; high > 0; high -= 2) {
      for (int64_t step = 0; step < usual_steps; ++step) {
        work_.scalar(60);
        for (int64_t k = 0; k < high; ++k)
          charge_transform(std::min(bulge_rows, high - k + 1), k, std::min(k + bulge_rows + 1, high + 1));
      }
    }
  }

  ColumnWork& work_;
  int64_t n_;
  std::vector<T> sums_;
  Block<T> h_;
  T* basis_ = nullptr;
  R size_ = 0;  // of the largest number
  bool has_infinity_ = false;
  R unit_ = 1;  // that h was divided by
};

}  // namespace mtia::kernels
