// The C++ kernel "jacobi_svd": Hestenes' one-sided Jacobi method, one matrix a PE. Rotations make pairs of columns
// orthogonal, sweep after sweep; then their norms are the singular values. Small singular values are as accurate,
// relative to themselves, as the columns' directions allow.
#include "kernels/cpp/linear_algebra/jacobi.h"

#include <optional>
#include <utility>

#include "kernels/cpp/linear_algebra/parts.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;

constexpr int most_sweeps = 60;

// How often each pair of n columns of random numbers is looked at, and how often rotated: charged where the matrix is
// not known. Fitted to 4 <= n <= 180, square and tall, real and complex: within a tenth from n = 8 on.
struct UsualTurns {
  double looks;
  double rotations;
};
UsualTurns usual_turns(int64_t n, bool is_double) {
  const double levels = std::log2(static_cast<double>(n));
  return {2.3 + 0.93 * levels + (is_double ? 1 : 0), 2.2 + 0.6 * levels + (is_double ? 1.4 : 0)};
}

template <typename T>
class OneSidedJacobi {
  using R = Real<T>;

 public:
  OneSidedJacobi(ProcessingElement& pe, const JacobiSvdArguments& arguments, int64_t matrix)
      : work_(pe, arguments.number),
        arguments_(arguments),
        matrix_(matrix),
        rows_(arguments.u.rows),
        n_(arguments.s.length),
        s_(work_, arguments.s, matrix),
        u_(work_, arguments.u, matrix, u_budget(), n_) {
    if (arguments.has_vectors) v_.emplace(work_, arguments.v, matrix, pe.local_bytes_free(), /*filled=*/0);
  }

  void run() {
    const int32_t info = decompose();
    if (arguments_.has_vectors) {
      u_.store();
      v_->store();
    }
    s_.store();
    store_info(work_, arguments_.info, matrix_, info);
  }

 private:
  // u and v share local memory by their sizes where both do not fit.
  uint64_t u_budget() {
    const uint64_t room = work_.pe().local_bytes_free() - 64;
    if (!arguments_.has_vectors) return room;
    const uint64_t u = Columns<T>::bytes(arguments_.u), v = Columns<T>::bytes(arguments_.v);
    return u + v <= room ? u : room / (u + v) * u + room % (u + v) * u / (u + v);
  }

  int32_t decompose() {
    if (v_) {
      for (int64_t j = 0; j < n_; ++j) {
        T* column = v_->write(j);
        std::fill(column, column + n_, T(0));
        column[j] = T(1);
      }
    }
    const R largest = scale();
    if (std::isnan(largest)) return -4;
    if (std::isinf(largest)) {
      give_no_values();
      return 0;
    }
    if (work_.is_unknown()) {
      charge_usual_sweeps();
      finish(largest);
      return 0;
    }
    squares_.resize(static_cast<size_t>(n_));
    rotated_at_.assign(static_cast<size_t>(n_), 0);
    int sweeps = 0;
    while (sweep()) {
      if (++sweeps == most_sweeps) return 1;
    }
    finish(largest);
    return 0;
  }

  // Brings the largest number near to 1 by a power of two, so that no square leaves the range. Returns the factor that
  // undoes it; 0: all numbers are 0; infinity: one is; NaN: one is.
  R scale() {
    R largest = 0;
    for (int64_t j = 0; j < n_; ++j) largest = larger(largest, largest_part(rows_, u_.read(j)));
    work_.vector(rows_, n_, Opcode::max_f);
    if (!std::isfinite(largest)) return largest;
    if (largest == 0 && !work_.is_unknown()) return 0;
    const R factor = power_of_two_near(largest);
    for (int64_t j = 0; j < n_; ++j) multiply(rows_, T(1 / factor), u_.write(j));
    work_.vector(rows_, n_, Opcode::mul_f);
    return factor;
  }

  // As LAPACK of a matrix with an infinity: no value is a number, but the factors are made of numbers.
  void give_no_values() {
    std::fill(&s_[0], &s_[0] + n_, std::numeric_limits<R>::quiet_NaN());
    for (int64_t k = 0; v_ && k < arguments_.u.columns; ++k) {
      T* column = u_.write(k);
      std::fill(column, column + rows_, T(0));
      column[k] = T(1);
    }
  }

  int64_t pairs() const { return n_ * (n_ - 1) / 2; }

  // Whether any pair had to be rotated.
  bool sweep() {
    for (int64_t j = 0; j < n_; ++j) squares_[static_cast<size_t>(j)] = sum_of_squares(rows_, u_.read(j));
    charge_squares();
    bool rotated = false;
    for (int64_t i = 0; i + 1 < n_; ++i) {
      for (int64_t j = i + 1; j < n_; ++j) rotated = orthogonalise(i, j) || rotated;
    }
    return rotated;
  }

  bool orthogonalise(int64_t i, int64_t j) {
    // A pair of which neither column was rotated since its turn in the sweep before is orthogonal still.
    ++turn_;
    int64_t& first_rotated = rotated_at_[static_cast<size_t>(i)];
    int64_t& second_rotated = rotated_at_[static_cast<size_t>(j)];
    if (std::max(first_rotated, second_rotated) < turn_ - pairs()) {
      work_.scalar(4);
      return false;
    }
    const T product = inner_product(rows_, u_.read(i), u_.read(j));
    charge_look();
    const R size = std::abs(product);
    R& first = squares_[static_cast<size_t>(i)];
    R& second = squares_[static_cast<size_t>(j)];
    const R tolerance = 8 * std::numeric_limits<R>::epsilon();
    if (size <= tolerance * std::sqrt(first) * std::sqrt(second) || size < std::numeric_limits<R>::min()) return false;
    const R zeta = (second - first) / (2 * size);
    const R tangent = std::copysign(R(1), zeta) / (std::abs(zeta) + std::hypot(R(1), zeta));
    const R cosine = 1 / std::hypot(R(1), tangent);
    const R sine = cosine * tangent;
    const T phase = conjugate(product) / size;
    T* x = u_.write(i);
    rotate_columns(rows_, x, u_.write(j), cosine, sine, phase);
    if (v_) {
      T* left = v_->write(i);
      rotate_columns(n_, left, v_->write(j), cosine, sine, phase);
    }
    charge_rotation();
    first = std::max(first - tangent * size, R(0));
    second += tangent * size;
    first_rotated = second_rotated = turn_;
    return true;
  }

  // (x, y) = (c x - s y', s x + c y'), y' = y times the phase that makes its product with x real.
  static void rotate_columns(int64_t n, T* x, T* y, R c, R s, T phase) {
    for (int64_t i = 0; i < n; ++i) {
      const T first = x[i], second = times(phase, y[i]);
      x[i] = c * first - s * second;
      y[i] = s * first + c * second;
    }
  }

  void finish(R factor) {
    for (int64_t j = 0; j < n_; ++j) s_[j] = norm(rows_, u_.read(j));
    for (int64_t j = 0; j + 1 < n_; ++j) {  // descending
      int64_t place = j;
      for (int64_t i = j + 1; i < n_; ++i) place = s_[i] > s_[place] ? i : place;
      if (place == j) continue;
      std::swap(s_[j], s_[place]);
      swap_columns(u_, rows_, j, place);
      if (v_) swap_columns(*v_, n_, j, place);
    }
    work_.scalar(static_cast<uint64_t>(n_ * n_));
    if (v_) {
      int64_t rank = work_.is_unknown() ? n_ : 0;
      for (; rank < n_ && s_[rank] > std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon(); ++rank)
        multiply(rows_, T(1 / s_[rank]), u_.write(rank));
      work_.vector(rows_, rank, Opcode::mul_f);
      complete(rank);
    }
    for (int64_t j = 0; j < n_; ++j) s_[j] *= factor;
  }

  static void swap_columns(Columns<T>& columns, int64_t rows, int64_t i, int64_t j) {
    T* first = columns.write(i);
    std::swap_ranges(first, first + rows, columns.write(j));
  }

  // Makes columns [first, u.columns) of u orthonormal to those before: each is the unit vector that lies farthest from
  // the span of these, orthogonalised twice.
  void complete(int64_t first) {
    if (first == arguments_.u.columns) return;
    std::vector<R> covered(static_cast<size_t>(rows_));  // of each unit vector, how much lies in the span
    const auto cover = [&](const T* column) {
      for (int64_t i = 0; i < rows_; ++i) covered[static_cast<size_t>(i)] += squared(column[i]);
    };
    for (int64_t j = 0; j < first; ++j) cover(u_.read(j));
    for (int64_t k = first; k < arguments_.u.columns; ++k) {
      const auto place = std::min_element(covered.begin(), covered.end()) - covered.begin();
      T* column = u_.write(k);
      std::fill(column, column + rows_, T(0));
      column[place] = T(1);
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t j = 0; j < k; ++j) {
          const T* other = u_.read(j);
          column = u_.write(k);
          add_multiple(rows_, T(-inner_product(rows_, other, column)), other, column);
        }
        multiply(rows_, T(1 / norm(rows_, column)), column);
      }
      work_.inner(rows_, 2 * k);
      work_.vector(rows_, 2 * k);
      cover(column);
    }
  }

  void charge_squares() { work_.inner(rows_, n_); }
  void charge_look() {
    work_.inner(rows_);
    work_.scalar(40);
  }
  void charge_rotation() {
    work_.vector(rows_, 4);
    if (v_) work_.vector(n_, 4);
  }

  // Goes through the columns as the sweeps do, which rotate fewer pairs from one to the next.
  void charge_usual_sweeps() {
    const UsualTurns usual = usual_turns(n_, sizeof(R) == sizeof(double));
    const auto looks = static_cast<int64_t>(usual.looks * static_cast<double>(pairs()));
    const auto rotations = static_cast<int64_t>(usual.rotations * static_cast<double>(pairs()));
    for (int64_t turn = 0; turn < looks;) {
      charge_squares();
      for (int64_t i = 0; i + 1 < n_; ++i) {
        for (int64_t j = i + 1; j < n_ && turn < looks; ++j, ++turn) {
          u_.read(i), u_.read(j);
          charge_look();
          if (turn >= rotations) continue;
          u_.write(i), u_.write(j);
          if (v_) v_->write(i), v_->write(j);
          charge_rotation();
        }
      }
    }
  }

  ColumnWork work_;
  const JacobiSvdArguments& arguments_;
  int64_t matrix_;
  int64_t rows_;
  int64_t n_;
  ResultVector<R> s_;
  Columns<T> u_;
  std::optional<Columns<T>> v_;
  std::vector<R> squares_;
  std::vector<int64_t> rotated_at_;  // of each column, the turn of its last rotation
  int64_t turn_ = 0;                 // of a pair
};

void jacobi_svd(ProcessingElement& pe, const JacobiSvdArguments& arguments) {
  for_each_matrix_of_numbers(pe, arguments, [&](auto number, int64_t matrix) {
    OneSidedJacobi<decltype(number)>(pe, arguments, matrix).run();
  });
}

MTIA_CPP_KERNEL("jacobi_svd", jacobi_svd, JacobiSvdArguments);

}  // namespace
}  // namespace mtia::kernels
