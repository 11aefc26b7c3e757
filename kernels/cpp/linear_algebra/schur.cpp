// The C++ kernel "eigen": one matrix a PE, brought to Hessenberg form by Householder reflections and to Schur form by
// shifted QR steps, whose triangle is solved for the eigenvectors. Real matrices take Francis' double shifts, so that
// their eigenvalues are real or come in exact pairs.
#include "kernels/cpp/linear_algebra/schur.h"

#include "kernels/cpp/linear_algebra/reflector.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tile;

constexpr int most_iterations = 60;

// Steps that two eigenvalues of a matrix of random numbers take, within a tenth for 32 <= n <= 180: charged where the
// matrix is not known. The eigenvalues of a real one are taken for pairs, as nearly all of them are.
template <typename T>
constexpr int64_t usual_steps =
    sizeof(Real<T>) == sizeof(double) ? (is_complex_number<T> ? 7 : 4) : (is_complex_number<T> ? 5 : 3);

template <typename T>
class EigenSolver {
  using R = Real<T>;
  using C = std::complex<R>;
  static constexpr R epsilon = std::numeric_limits<R>::epsilon();
  static constexpr int64_t bulge_rows = is_complex_number<T> ? 2 : 3;

 public:
  EigenSolver(ProcessingElement& pe, const EigenArguments& arguments, int64_t matrix)
      : work_(pe, arguments.number),
        arguments_(arguments),
        matrix_(matrix),
        n_(arguments.a.rows),
        values_(work_, arguments.values, matrix, part_of(arguments.number), 2),
        solution_(allocate_columns<C>(pe, n_, 1)),
        result_(allocate_columns<C>(pe, n_, 1)),
        sums_(static_cast<size_t>(n_)),
        h_(work_, arguments.a, matrix, 0, n_, 0, n_) {
    if (!arguments.has_vectors) return;
    const Tile basis = allocate_columns<T>(pe, n_, n_);
    basis_ = basis.as<T>();
    std::fill(basis_, basis_ + n_ * n_, T(0));
    for (int64_t i = 0; i < n_; ++i) basis_[i * n_ + i] = T(1);
  }

  void run() {
    reduce();
    if (std::isfinite(size_)) scale();
    const int32_t info = find_values();
    if (basis_ != nullptr && info == 0) make_vectors();
    for (int64_t i = 0; i < n_; ++i) values_[i] *= unit_;
    values_.store();
    store_info(work_, arguments_.info, matrix_, info);
  }

 private:
  T& h(int64_t row, int64_t column) { return h_[column][row]; }
  T* v(int64_t column) { return basis_ + column * n_; }

  // columns [first, first + n) of `rows` rows: c -= factor (c v) v^H
  template <typename Column>
  void reflect_rows(const Column& column, int64_t rows, int64_t first, int64_t n, T factor, const T* v) {
    std::copy_n(column(first), rows, sums_.data());
    for (int64_t i = 1; i < n; ++i) add_multiple(rows, v[i], column(first + i), sums_.data());
    for (int64_t i = 0; i < n; ++i)
      add_multiple(rows, T(-times(factor, i == 0 ? T(1) : conjugate(v[i]))), sums_.data(), column(first + i));
  }

  // a = Q^H a Q with the reflector v of rows [first, first + n); the basis follows. Rows are changed from `column` on,
  // columns up to row `rows`.
  void transform(int64_t first, int64_t n, T tau, const T* v, int64_t column, int64_t rows) {
    for (int64_t j = column; j < n_; ++j) reflect(n, conjugate(tau), v, h_[j] + first);
    reflect_rows([&](int64_t j) { return h_[j]; }, rows, first, n, tau, v);
    if (basis_ != nullptr) reflect_rows([&](int64_t j) { return this->v(j); }, n_, first, n, tau, v);
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

  int32_t find_values() {
    if (!std::isfinite(size_)) return static_cast<int32_t>(n_);
    if (work_.is_unknown()) {
      charge_usual_steps();
      return 0;
    }
    int64_t high = n_ - 1;
    for (int iteration = 0; high >= 0; ++iteration) {
      int64_t low = high;
      while (low > 0 && !is_small(low)) --low;
      if (low > 0) h(low, low - 1) = T(0);
      const bool is_pair = !is_complex_number<T> && low + 1 == high;
      if (low == high || (is_pair && split_pair(low))) {
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
    for (int64_t i = 0; i < n_; ++i) values_[i] = value_at(i);
    return 0;
  }

  bool is_small(int64_t i) {
    R neighbours = std::abs(h(i - 1, i - 1)) + std::abs(h(i, i));
    if (neighbours == 0) neighbours = size_;
    return std::abs(h(i, i - 1)) <= epsilon * neighbours;
  }

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

  // The eigenvalue with positive imaginary part of rows i and i + 1.
  C pair_value(int64_t i) {
    const R half = (real_part(h(i, i)) - real_part(h(i + 1, i + 1))) / 2;
    const R product = real_part(h(i, i + 1)) * real_part(h(i + 1, i));
    return {real_part(h(i + 1, i + 1)) + half, std::sqrt(std::max(R(0), -(half * half + product)))};
  }

  // A block of two rows at its end: one with real eigenvalues becomes triangular. True: nothing is left to do.
  bool split_pair(int64_t i) {
    if constexpr (!is_complex_number<T>) {
      const R half = (h(i, i) - h(i + 1, i + 1)) / 2;
      const R discriminant = half * half + h(i, i + 1) * h(i + 1, i);
      if (discriminant < 0) return true;
      // (half + root, lower) spans the eigenvectors of one eigenvalue.
      const R root = half + std::copysign(std::sqrt(discriminant), half);
      R reflector[2] = {root, h(i + 1, i)};
      const T tau = make_reflector(2, reflector);
      transform(i, 2, tau, reflector, i, i + 2);
      h(i + 1, i) = 0;
    }
    return true;
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
      for (int64_t step = 0; step < usual_steps<T>; ++step) {
        work_.scalar(60);
        for (int64_t k = 0; k < high; ++k)
          charge_transform(std::min(bulge_rows, high - k + 1), k, std::min(k + bulge_rows + 1, high + 1));
      }
    }
  }

  void make_vectors() {
    for (int64_t i = 0; i < n_; ++i) {
      const bool is_first = begins_pair(i);
      const int64_t last = is_first ? i + 1 : i;
      solve(last, values_[i]);
      write_vector(i, last, false);
      if (is_first) write_vector(++i, last, true);
    }
  }

  // The eigenvector of the triangle (of blocks) that ends in row `last`.
  void solve(int64_t last, C value) {
    C* y = solution_.as<C>();
    const R smallest = std::max(epsilon * size_, std::numeric_limits<R>::min());
    const auto pivot = [&](C difference) { return std::abs(difference) < smallest ? C(smallest) : difference; };
    int64_t row = last - 1;
    y[last] = C(1);
    if (last > 0 && begins_pair(last - 1)) {
      y[last - 1] = C(-h(last - 1, last)) / pivot(C(h(last - 1, last - 1)) - value);
      // Of two equations choose the one with the larger coefficients.
      if (std::abs(h(last, last - 1)) > std::abs(h(last - 1, last)))
        y[last - 1] = (value - C(h(last, last))) / C(h(last, last - 1));
      --row;
    }
    for (int64_t i = 0; i <= row; ++i) y[i] = C(0);
    const int64_t solved = row;
    for (int64_t j = last; j > solved; --j) add_column(j, solved + 1, y);
    while (row >= 0) {
      if (row > 0 && begins_pair(row - 1)) {
        const C first = C(h(row - 1, row - 1)) - value, second = C(h(row, row)) - value;
        const C upper(h(row - 1, row)), lower(h(row, row - 1));
        const C determinant = pivot(times(first, second) - times(upper, lower));
        const C above = y[row - 1], below = y[row];
        y[row - 1] = (times(second, above) - times(upper, below)) / determinant;
        y[row] = (times(first, below) - times(lower, above)) / determinant;
        add_column(row, row - 1, y);
        add_column(row - 1, row - 1, y);
        row -= 2;
      } else {
        y[row] /= pivot(C(h(row, row)) - value);
        add_column(row, row, y);
        --row;
      }
      keep_in_range(last, y);
    }
    work_.vector(last + 1, last + 1);
  }

  // Takes column j times its unknown from the right-hand sides [0, count).
  void add_column(int64_t j, int64_t count, C* y) {
    for (int64_t i = 0; i < count; ++i) y[i] -= times(C(h(i, j)), y[j]);
  }

  static void keep_in_range(int64_t last, C* y) {
    R largest = 0;
    for (int64_t i = 0; i <= last; ++i) largest = std::max(largest, size_of_pivot(y[i]));
    if (largest > std::sqrt(std::numeric_limits<R>::max()) / 4) multiply(last + 1, C(1 / largest), y);
  }

  // Takes the triangle's eigenvector back to the matrix's, of norm 1; where it is complex its largest element is real.
  void write_vector(int64_t column, int64_t last, bool conjugated) {
    const C* y = solution_.as<C>();
    C* x = result_.as<C>();
    if (!conjugated) {
      std::fill(x, x + n_, C(0));
      for (int64_t j = 0; j <= last; ++j) {
        const T* basis = v(j);
        for (int64_t i = 0; i < n_; ++i) x[i] += times(C(basis[i]), y[j]);
      }
      multiply(n_, C(1 / norm(n_, x)), x);
      const C largest = *std::max_element(x, x + n_, [](C a, C b) { return std::norm(a) < std::norm(b); });
      if (largest.imag() != 0) multiply(n_, std::conj(largest) / std::abs(largest), x);
    } else {
      std::transform(x, x + n_, x, [](C value) { return std::conj(value); });
    }
    work_.vector(n_, 2 * (last + 1));
    work_.leaves(result_);
    work_.pe().dma_store(columns_at<C>(arguments_.vectors, matrix_, 0, column), result_);
  }

  ColumnWork work_;
  const EigenArguments& arguments_;
  int64_t matrix_;
  int64_t n_;
  ResultVector<C> values_;
  Tile solution_;
  Tile result_;
  std::vector<T> sums_;
  Block<T> h_;
  T* basis_ = nullptr;
  R size_ = 0;  // of the largest number
  R unit_ = 1;  // that h was divided by
};

void eigen(ProcessingElement& pe, const EigenArguments& arguments) {
  with_number(arguments.number, [&](auto number) {
    for (int64_t matrix = pe.index(); matrix < arguments.batch; matrix += pe.count()) {
      const LocalScope scope(pe);
      EigenSolver<decltype(number)>(pe, arguments, matrix).run();
    }
  });
}

MTIA_CPP_KERNEL("eigen", eigen, EigenArguments);

}  // namespace
}  // namespace mtia::kernels
