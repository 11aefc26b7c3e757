// The C++ kernels of LU factorisation: "lu_panel", one matrix a PE with a rank-one update a step; "swap_rows", a few
// columns a PE; "unpack_pivots".
#include "kernels/cpp/linear_algebra/lu.h"

#include <numeric>
#include <utility>

#include "kernels/cpp/linear_algebra/parts.h"
#include "kernels/cpp/linear_algebra/pivots.h"

namespace mtia::kernels {
namespace {

using emulator::ProcessingElement;

template <typename T>
void eliminate(Block<T>& a, int64_t rows, int64_t columns, int64_t first, ResultVector<int32_t>& pivots,
               int32_t& info) {
  for (int64_t k = 0; k < std::min(rows, columns); ++k) {
    const int64_t pivot = k + place_of_largest(rows - k, a[k] + k);
    pivots[k] = static_cast<int32_t>(first + pivot + 1);
    if (a[k][pivot] == T(0)) {
      if (info == 0) info = static_cast<int32_t>(first + k + 1);
      continue;
    }
    if (pivot != k) {
      for (int64_t j = 0; j < columns; ++j) std::swap(a[j][k], a[j][pivot]);
    }
    multiply(rows - k - 1, T(1) / a[k][k], a[k] + k + 1);
    for (int64_t j = k + 1; j < columns; ++j) add_multiple(rows - k - 1, T(-a[j][k]), a[k] + k + 1, a[j] + k + 1);
  }
}

// The same whatever the pivots are: a search, a swap and an update a step.
void charge(ColumnWork& work, int64_t rows, int64_t columns) {
  for (int64_t k = 0; k < std::min(rows, columns); ++k) {
    work.inner(rows - k);
    work.scalar(static_cast<uint64_t>(16 + 4 * columns));
    work.vector(rows - k - 1, 1, Opcode::mul_f);
    work.vector(rows - k - 1, columns - k - 1);
  }
}

template <typename T>
void factor_matrix(ProcessingElement& pe, const LuPanelArguments& arguments, int64_t matrix) {
  ColumnWork work(pe, arguments.number);
  const int64_t rows = arguments.a.rows, columns = arguments.a.columns;
  ResultVector<int32_t> info(work, {.base = arguments.info, .length = 1, .batch_stride = 1}, matrix);
  if (arguments.first > 0) info.load();
  ResultVector<int32_t> pivots(work, arguments.pivots, matrix);
  Block<T> a(work, arguments.a, matrix, 0, rows, 0, columns);
  if (work.computes()) {
    if (arguments.first == 0) info[0] = 0;
    eliminate(a, rows, columns, arguments.first, pivots, info[0]);
  }
  charge(work, rows, columns);
  a.store();
  pivots.store();
  info.store();
}

void lu_panel(ProcessingElement& pe, const LuPanelArguments& arguments) {
  for_each_matrix_of_numbers(
      pe, arguments, [&](auto number, int64_t matrix) { factor_matrix<decltype(number)>(pe, arguments, matrix); });
}

MTIA_CPP_KERNEL("lu_panel", lu_panel, LuPanelArguments);

template <typename T>
void swap_part(ProcessingElement& pe, const SwapRowsArguments& arguments, int64_t matrix, int64_t first,
               int64_t count) {
  ColumnWork work(pe, arguments.number);
  const int64_t swaps = arguments.pivots.length;
  ResultVector<int32_t> pivots(work, arguments.pivots, matrix);
  pivots.load();
  for (int64_t i = 0; knows_pivots(work) && i < swaps; ++i)
    check_pivot("linalg.lu_solve", pivots[i] - arguments.first, arguments.b.rows);
  Block<T> b(work, arguments.b, matrix, 0, arguments.b.rows, first, count);
  if (work.computes()) {
    for (int64_t column = 0; column < count; ++column) {
      T* values = b[column];
      for (int64_t step = 0; step < swaps; ++step) {
        const int64_t i = arguments.backwards ? swaps - 1 - step : step;
        const int64_t other = pivots[i] - 1 - arguments.first;
        if (other >= 0 && other < arguments.b.rows) std::swap(values[i], values[other]);
      }
    }
  }
  work.scalar(static_cast<uint64_t>(4 * count * swaps));
  b.store();
}

void swap_rows(ProcessingElement& pe, const SwapRowsArguments& arguments) {
  with_number(arguments.number, [&](auto number) {
    using T = decltype(number);
    const auto pivots = static_cast<uint64_t>(arguments.pivots.length) * 4 + 4 * 64;
    const int64_t fitting = columns_within<T>(pe.local_bytes_free() - pivots, arguments.b.rows);
    for_each_part(pe, arguments.batch, arguments.b.columns, fitting, [&](int64_t matrix, int64_t first, int64_t count) {
      swap_part<T>(pe, arguments, matrix, first, count);
    });
  });
}

MTIA_CPP_KERNEL("swap_rows", swap_rows, SwapRowsArguments);

void unpack_pivots(ProcessingElement& pe, const UnpackPivotsArguments& arguments) {
  for_each_matrix(pe, arguments.batch, [&](int64_t matrix) {
    ColumnWork work(pe, Number::f32);
    ResultVector<int32_t> pivots(work, arguments.pivots, matrix);
    ResultVector<int64_t> permutation(work, arguments.permutation, matrix);
    pivots.load();
    const int64_t n = arguments.permutation.length;
    for (int64_t i = 0; knows_pivots(work) && i < arguments.pivots.length; ++i) check_pivot("lu_unpack", pivots[i], n);
    if (work.computes()) {
      std::iota(&permutation[0], &permutation[0] + n, int64_t{0});
      for (int64_t i = 0; i < arguments.pivots.length; ++i) {
        const int64_t other = pivots[i] - 1;
        if (other >= 0 && other < n) std::swap(permutation[i], permutation[other]);
      }
    }
    work.scalar(static_cast<uint64_t>(n + 4 * arguments.pivots.length));
    permutation.store();
  });
}

MTIA_CPP_KERNEL("unpack_pivots", unpack_pivots, UnpackPivotsArguments);

}  // namespace
}  // namespace mtia::kernels
