// The C++ kernel "symmetric_eigen": one matrix a PE, made tridiagonal by Householder reflections, whose eigenvalues the
// implicit QL algorithm finds. The tridiagonal's scalars are kept in float64.
#include "kernels/cpp/linear_algebra/tridiagonal.h"

#include "kernels/cpp/linear_algebra/parts.h"
#include "kernels/cpp/linear_algebra/reflector.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;
using emulator::Tile;

constexpr int most_iterations = 60;
// QL steps that two eigenvalues of a matrix of random numbers take, within a tenth for 16 <= n <= 180, real and
// complex: charged where the matrix is not known.
constexpr int64_t usual_steps = 5;

template <typename T>
class SymmetricEigen {
  using R = Real<T>;

 public:
  SymmetricEigen(ProcessingElement& pe, const SymmetricEigenArguments& arguments, int64_t matrix)
      : work_(pe, arguments.number),
        arguments_(arguments),
        matrix_(matrix),
        n_(arguments.a.rows),
        values_(work_, arguments.values, matrix),
        scratch_(allocate_columns<T>(pe, n_, 3)),
        scalars_(pe.allocate(DType::F64, 2, n_)),
        diagonal_(scalars_.as<double>()),
        off_diagonal_(diagonal_ + n_),
        a_(work_, arguments.a, matrix, pe.local_bytes_free() - 64, n_) {}

  void run() {
    const R largest = largest_of_triangle();
    int32_t info = std::isnan(largest) ? static_cast<int32_t>(n_) : 0;
    if (std::isfinite(largest) || n_ == 1) {
      make_tridiagonal();
      if (arguments_.has_vectors) make_vectors();
      info = find_values();
      if (info == 0) sort();
    } else {
      give_no_values();
    }
    for (int64_t i = 0; i < n_; ++i) values_[i] = static_cast<R>(diagonal_[i]);
    if (arguments_.has_vectors) a_.store();
    values_.store();
    store_info(work_, arguments_.info, matrix_, info);
  }

 private:
  R largest_of_triangle() {
    R largest = 0;
    for (int64_t j = 0; j < n_; ++j) largest = larger(largest, largest_part(n_ - j, a_.read(j) + j));
    work_.vector(n_ / 2 + 1, n_, Opcode::max_f);
    return largest;
  }

  // As LAPACK of a matrix with an infinity: no value is a number, but the vectors are made of numbers.
  void give_no_values() {
    std::fill(diagonal_, diagonal_ + n_, std::numeric_limits<double>::quiet_NaN());
    for (int64_t j = 0; j < n_ && arguments_.has_vectors; ++j) {
      T* column = a_.write(j);
      std::fill(column, column + n_, T(0));
      column[j] = T(1);
    }
  }

  // Leaves the reflectors in the columns of a, their factors in tau.
  void make_tridiagonal() {
    T* tau = scratch_.as<T>();
    T* v = tau + n_;
    T* w = v + n_;
    for (int64_t k = 0; k + 1 < n_; ++k) {
      const int64_t n = n_ - k - 1;
      T* column = a_.write(k);
      diagonal_[k] = real_part(column[k]);
      tau[k] = make_reflector(n, column + k + 1);
      off_diagonal_[k] = real_part(column[k + 1]);
      work_.inner(n);
      work_.vector(n, 1, Opcode::mul_f);
      work_.scalar(40);
      if (tau[k] == T(0) && !work_.is_unknown()) continue;
      std::copy_n(column + k + 1, n, v);
      v[0] = T(1);
      multiply_by_rest(k + 1, n, v, w);
      multiply(n, tau[k], w);
      add_multiple(n, times(T(R(-0.5)), times(tau[k], inner_product(n, w, v))), v, w);
      for (int64_t j = 0; j < n; ++j) {
        T* rest = a_.write(k + 1 + j) + k + 1;
        add_multiple(n - j, T(-conjugate(w[j])), v + j, rest + j);
        add_multiple(n - j, T(-conjugate(v[j])), w + j, rest + j);
      }
      work_.inner(n / 2 + 1, n);
      work_.vector(n / 2 + 1, 3 * n);
    }
    if (n_ > 0) diagonal_[n_ - 1] = real_part(a_.read(n_ - 1)[n_ - 1]);
    if (n_ > 0) off_diagonal_[n_ - 1] = 0;
  }

  // w = a v in rows and columns [first, first + n), of whose triangle the lower part is there.
  void multiply_by_rest(int64_t first, int64_t n, const T* v, T* w) {
    std::fill(w, w + n, T(0));
    for (int64_t j = 0; j < n; ++j) {
      const T* column = a_.read(first + j) + first + j;
      w[j] += T(real_part(column[0])) * v[j] + inner_product(n - j - 1, column + 1, v + j + 1);
      add_multiple(n - j - 1, v[j], column + 1, w + j + 1);
    }
  }

  // The product of all reflectors, in place: the reflector of column k makes column k + 1.
  void make_vectors() {
    const T* tau = scratch_.as<T>();
    for (int64_t k = n_ - 2; k >= 0; --k) {
      const int64_t n = n_ - k - 1;
      for (int64_t j = k + 2; j < n_; ++j) {
        T* column = a_.write(j) + k + 1;
        reflect(n, tau[k], a_.read(k) + k + 1, column);
      }
      work_.inner(n, n - 1);
      work_.vector(n, n);
      T* made = a_.write(k + 1);
      const T* v = a_.read(k) + k + 1;
      std::fill(made, made + k + 1, T(0));
      made[k + 1] = T(1) - tau[k];
      for (int64_t i = 1; i < n; ++i) made[k + 1 + i] = times(T(-tau[k]), v[i]);
    }
    if (n_ == 0) return;
    T* first = a_.write(0);
    std::fill(first, first + n_, T(0));
    first[0] = T(1);
  }

  int32_t find_values() {
    if (work_.is_unknown()) {
      charge_usual_steps();
      return 0;
    }
    const auto is_finite = [](double value) { return std::isfinite(value); };
    if (n_ > 1 && !std::all_of(diagonal_, off_diagonal_ + n_, is_finite)) return static_cast<int32_t>(n_);
    for (int64_t low = 0; low < n_; ++low) {
      for (int iteration = 0;; ++iteration) {
        int64_t high = low;
        while (high + 1 < n_ && !is_small(high)) ++high;
        if (high == low) break;
        if (iteration == most_iterations || !std::isfinite(diagonal_[low])) return static_cast<int32_t>(n_ - low);
        step(low, high);
      }
    }
    return 0;
  }

  bool is_small(int64_t i) const {
    const double neighbours = std::abs(diagonal_[i]) + std::abs(diagonal_[i + 1]);
    return std::abs(off_diagonal_[i]) <= std::numeric_limits<double>::epsilon() * neighbours ||
           std::abs(off_diagonal_[i]) < std::numeric_limits<double>::min();
  }

  // An implicit QL step with Wilkinson's shift in rows [low, high]: a bulge is chased from below upwards.
  void step(int64_t low, int64_t high) {
    double* d = diagonal_;
    double* e = off_diagonal_;
    const double slope = (d[low + 1] - d[low]) / (2 * e[low]);
    const double root = std::hypot(slope, 1.0);
    double along = d[high] - d[low] + e[low] / (slope + std::copysign(root, slope));
    double sine = 1, cosine = 1, shift = 0;
    for (int64_t i = high - 1; i >= low; --i) {
      const double across = sine * e[i], kept = cosine * e[i];
      const double length = std::hypot(across, along);
      e[i + 1] = length;
      if (length == 0) {  // the matrix falls apart here
        d[i + 1] -= shift;
        e[high] = 0;
        return;
      }
      sine = across / length;
      cosine = along / length;
      const double moved = d[i + 1] - shift;
      const double mixed = (d[i] - moved) * sine + 2 * cosine * kept;
      shift = sine * mixed;
      d[i + 1] = moved + shift;
      along = cosine * mixed - kept;
      rotate_vectors(i, cosine, sine);
    }
    d[low] -= shift;
    e[low] = along;
    e[high] = 0;
  }

  void rotate_vectors(int64_t i, double cosine, double sine) {
    work_.scalar(30);
    if (!arguments_.has_vectors) return;
    T* x = a_.write(i + 1);
    T* y = a_.write(i);
    if (!work_.is_unknown()) rotate(n_, x, y, static_cast<R>(cosine), static_cast<R>(sine));
    work_.vector(n_, 4);
  }

  // From the first eigenvalues to the last, no block falling apart below them.
  void charge_usual_steps() {
    for (int64_t low = 0; low < n_; ++low) {
      const int64_t steps = (low + 1) * usual_steps / 2 - low * usual_steps / 2;
      for (int64_t step = 0; step < steps; ++step) {
        for (int64_t i = n_ - 2; i >= low; --i) rotate_vectors(i, 1, 0);
      }
    }
  }

  void sort() {
    for (int64_t i = 0; i + 1 < n_; ++i) {
      const auto place = std::min_element(diagonal_ + i, diagonal_ + n_) - diagonal_;
      if (place == i) continue;
      std::swap(diagonal_[i], diagonal_[place]);
      if (!arguments_.has_vectors) continue;
      T* column = a_.write(i);
      std::swap_ranges(column, column + n_, a_.write(place));
    }
    work_.scalar(static_cast<uint64_t>(n_ * n_));
  }

  ColumnWork work_;
  const SymmetricEigenArguments& arguments_;
  int64_t matrix_;
  int64_t n_;
  ResultVector<R> values_;
  Tile scratch_;  // tau, v and w
  Tile scalars_;
  double* diagonal_;
  double* off_diagonal_;
  Columns<T> a_;
};

void symmetric_eigen(ProcessingElement& pe, const SymmetricEigenArguments& arguments) {
  for_each_matrix_of_numbers(pe, arguments, [&](auto number, int64_t matrix) {
    SymmetricEigen<decltype(number)>(pe, arguments, matrix).run();
  });
}

MTIA_CPP_KERNEL("symmetric_eigen", symmetric_eigen, SymmetricEigenArguments);

}  // namespace
}  // namespace mtia::kernels
