// The C++ kernel "eigen": one matrix a PE, whose Schur form gives the eigenvalues, and solved as a triangle the
// vectors.
#include "kernels/cpp/linear_algebra/schur.h"

#include "kernels/cpp/linear_algebra/parts.h"
#include "kernels/cpp/linear_algebra/schur_form.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;
using emulator::Tile;

template <typename T>
class EigenSolver {
  using R = Real<T>;
  using C = std::complex<R>;

 public:
  EigenSolver(ProcessingElement& pe, const EigenArguments& arguments, int64_t matrix)
      : work_(pe, arguments.number),
        arguments_(arguments),
        matrix_(matrix),
        n_(arguments.a.rows),
        values_(work_, arguments.values, matrix),
        solution_(allocate_columns<C>(pe, n_, 1)),
        result_(allocate_columns<C>(pe, n_, 1)),
        form_(work_, arguments.a, matrix) {
    if (arguments.has_vectors) form_.keep_basis(allocate_columns<T>(pe, n_, n_).template as<T>());
  }

  void run() {
    const int32_t info = form_.find();
    const bool has_form = info == 0 && !form_.has_infinity();
    const R nan = std::numeric_limits<R>::quiet_NaN();
    for (int64_t i = 0; i < n_; ++i) values_[i] = has_form ? form_.value_at(i) : C(nan, nan);
    if (arguments_.has_vectors && has_form) make_vectors();
    for (int64_t i = 0; i < n_; ++i) values_[i] *= form_.unit();
    values_.store();
    store_info(work_, arguments_.info, matrix_, info);
  }

 private:
  void make_vectors() {
    for (int64_t i = 0; i < n_; ++i) {
      const bool is_first = form_.begins_pair(i);
      const int64_t last = is_first ? i + 1 : i;
      solve(last, values_[i]);
      write_vector(i, last, false);
      if (is_first) write_vector(++i, last, true);
    }
  }

  // The eigenvector of the triangle (of blocks) that ends in row `last`.
  void solve(int64_t last, C value) {
    C* y = solution_.as<C>();
    const R smallest = std::max(SchurForm<T>::epsilon * form_.size(), std::numeric_limits<R>::min());
    const auto pivot = [&](C difference) { return std::abs(difference) < smallest ? C(smallest) : difference; };
    int64_t row = last - 1;
    y[last] = C(1);
    if (last > 0 && form_.begins_pair(last - 1)) {
      y[last - 1] = C(-form_.h(last - 1, last)) / pivot(C(form_.h(last - 1, last - 1)) - value);
      // Of two equations choose the one with the larger coefficients.
      if (std::abs(form_.h(last, last - 1)) > std::abs(form_.h(last - 1, last)))
        y[last - 1] = (value - C(form_.h(last, last))) / C(form_.h(last, last - 1));
      --row;
    }
    for (int64_t i = 0; i <= row; ++i) y[i] = C(0);
    const int64_t solved = row;
    for (int64_t j = last; j > solved; --j) add_column(j, solved + 1, y);
    while (row >= 0) {
      if (row > 0 && form_.begins_pair(row - 1)) {
        const C first = C(form_.h(row - 1, row - 1)) - value, second = C(form_.h(row, row)) - value;
        const C upper(form_.h(row - 1, row)), lower(form_.h(row, row - 1));
        const C determinant = pivot(times(first, second) - times(upper, lower));
        const C above = y[row - 1], below = y[row];
        y[row - 1] = (times(second, above) - times(upper, below)) / determinant;
        y[row] = (times(first, below) - times(lower, above)) / determinant;
        add_column(row, row - 1, y);
        add_column(row - 1, row - 1, y);
        row -= 2;
      } else {
        y[row] /= pivot(C(form_.h(row, row)) - value);
        add_column(row, row, y);
        --row;
      }
      keep_in_range(last, y);
    }
    work_.vector(last + 1, last + 1);
  }

  // Takes column j times its unknown from the right-hand sides [0, count).
  void add_column(int64_t j, int64_t count, C* y) {
    for (int64_t i = 0; i < count; ++i) y[i] -= times(C(form_.h(i, j)), y[j]);
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
        const T* basis = form_.basis(j);
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
  SchurForm<T> form_;
};

void eigen(ProcessingElement& pe, const EigenArguments& arguments) {
  for_each_matrix_of_numbers(
      pe, arguments, [&](auto number, int64_t matrix) { EigenSolver<decltype(number)>(pe, arguments, matrix).run(); });
}

MTIA_CPP_KERNEL("eigen", eigen, EigenArguments);

}  // namespace
}  // namespace mtia::kernels
