// The C++ kernel "solve_triangular": each PE substitutes in some columns of the right-hand sides, or in some rows where
// the triangle stands on the right; columns (rows) do not depend on each other.
#include "kernels/cpp/linear_algebra/triangular.h"

#include "kernels/cpp/linear_algebra/parts.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;

template <typename T>
class Substitution {
 public:
  Substitution(ProcessingElement& pe, const SolveTriangularArguments& arguments)
      : pe_(pe),
        arguments_(arguments),
        n_(arguments.a.rows),
        conjugates_(arguments.transpose == Transpose::conjugate),
        // Whether the first unknown is found first: of op(a) x = b where op(a) is lower.
        is_lower_(arguments.upper != (arguments.transpose == Transpose::none)) {}

  void solve_all() {
    const int64_t lines = arguments_.left ? arguments_.b.columns : arguments_.b.rows;
    const auto triangle = static_cast<uint64_t>(n_ * n_) * sizeof(T) + 3 * 64;
    const uint64_t room = pe_.local_bytes_free() > triangle ? pe_.local_bytes_free() - triangle : 0;
    for_each_part(pe_, arguments_.batch, lines, columns_within<T>(room, n_),
                  [&](int64_t matrix, int64_t first, int64_t count) { solve_part(matrix, first, count); });
  }

 private:
  void solve_part(int64_t matrix, int64_t first, int64_t count) {
    ColumnWork work(pe_, arguments_.number);
    const Block<T> a(work, arguments_.a, matrix, 0, n_, 0, n_);
    const bool left = arguments_.left;
    Block<T> b(work, arguments_.b, matrix, left ? 0 : first, left ? n_ : count, left ? first : 0, left ? count : n_);
    if (work.computes()) {
      for (int64_t column = 0; left && column < count; ++column)
        arguments_.transpose == Transpose::none ? substitute(a, b[column]) : substitute_transposed(a, b[column]);
      if (!left) substitute_right(a, b, count);
    }
    charge(work, count);
    b.store();
  }

  void divide(T& value, const T& diagonal) const {
    if (!arguments_.has_unit_diagonal) value /= maybe_conjugate(diagonal, conjugates_);
  }

  // a x = x, column by column of a.
  void substitute(const Block<T>& a, T* x) const {
    for (int64_t step = 0; step < n_; ++step) {
      const int64_t k = is_lower_ ? step : n_ - 1 - step;
      divide(x[k], a[k][k]);
      if (is_lower_) {
        add_multiple(n_ - k - 1, T(-x[k]), a[k] + k + 1, x + k + 1);
      } else {
        add_multiple(k, T(-x[k]), a[k], x);
      }
    }
  }

  // op(a) x = x of a transposed a: its columns are op(a)'s rows.
  void substitute_transposed(const Block<T>& a, T* x) const {
    for (int64_t step = 0; step < n_; ++step) {
      const int64_t k = is_lower_ ? step : n_ - 1 - step;
      const int64_t begin = is_lower_ ? 0 : k + 1, count = is_lower_ ? k : n_ - k - 1;
      x[k] -= conjugates_ ? inner_product(count, a[k] + begin, x + begin)
                          : inner_product<false>(count, a[k] + begin, x + begin);
      divide(x[k], a[k][k]);
    }
  }

  // x op(a) = x for `count` rows, of which x[k] holds column k.
  void substitute_right(const Block<T>& a, Block<T>& x, int64_t count) const {
    const bool is_plain = arguments_.transpose == Transpose::none;
    for (int64_t step = 0; step < n_; ++step) {
      const int64_t k = is_lower_ ? n_ - 1 - step : step;
      for (int64_t known = 0; known < step; ++known) {
        const int64_t j = is_lower_ ? n_ - 1 - known : known;
        add_multiple(count, T(-(is_plain ? a[k][j] : maybe_conjugate(a[j][k], conjugates_))), x[j], x[k]);
      }
      for (int64_t row = 0; row < count; ++row) divide(x[k][row], a[k][k]);
    }
  }

  void charge(ColumnWork& work, int64_t count) const {
    for (int64_t k = 0; k < n_; ++k) {
      if (!arguments_.left) {
        work.vector(count, k);
        work.vector(count, 1, Opcode::div_f);
      } else if (arguments_.transpose == Transpose::none) {
        work.vector(k, count);
      } else {
        work.inner(k, count);
      }
      work.scalar(static_cast<uint64_t>(8 * (arguments_.left ? count : 1)));
    }
  }

  ProcessingElement& pe_;
  const SolveTriangularArguments& arguments_;
  int64_t n_;
  bool conjugates_;
  bool is_lower_;
};

void solve_triangular(ProcessingElement& pe, const SolveTriangularArguments& arguments) {
  with_number(arguments.number, [&](auto number) { Substitution<decltype(number)>(pe, arguments).solve_all(); });
}

MTIA_CPP_KERNEL("solve_triangular", solve_triangular, SolveTriangularArguments);

template <typename T>
void find_zero(ProcessingElement& pe, const FindZeroDiagonalArguments& arguments, int64_t matrix) {
  ColumnWork work(pe, arguments.number);
  const int64_t n = std::min(arguments.a.rows, arguments.a.columns);
  // The diagonal as a column of its own: its elements are a column and a row apart.
  const emulator::Tile tile = pe.allocate(element_dtype<T>, n, elements_of<T>);
  emulator::DmaDescriptor diagonal = columns_at<T>(arguments.a, matrix, 0, 0);
  diagonal.row_stride += elements_of<T>;
  pe.dma_load(tile, diagonal);
  work.joins(tile);
  int32_t info = 0;
  for (int64_t i = n - 1; work.computes() && i >= 0; --i)
    info = tile.as<T>()[i] == T(0) ? static_cast<int32_t>(i + 1) : info;
  work.vector(n, 1, Opcode::min_f);
  store_info(work, arguments.info, matrix, info);
}

void find_zero_diagonal(ProcessingElement& pe, const FindZeroDiagonalArguments& arguments) {
  for_each_matrix_of_numbers(pe, arguments,
                             [&](auto number, int64_t matrix) { find_zero<decltype(number)>(pe, arguments, matrix); });
}

MTIA_CPP_KERNEL("find_zero_diagonal", find_zero_diagonal, FindZeroDiagonalArguments);

}  // namespace
}  // namespace mtia::kernels
