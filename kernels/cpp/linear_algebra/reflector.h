// One Householder reflector H = I - tau v v^H, v[0] = 1, as LAPACK's larfg makes it.
#pragma once

#include "kernels/cpp/linear_algebra/columns.h"

namespace mtia::kernels {

// Makes H of x, n numbers, such that H^H x = (beta, 0, ...): x becomes beta and the rest of v. Returns tau; 0: H = I.
template <typename T>
T make_reflector(int64_t n, T* x) {
  using R = Real<T>;
  if (n <= 0) return T(0);
  R rest = norm(n - 1, x + 1);
  R re = real_part(x[0]), im = imaginary_part(x[0]);
  if (rest == 0 && im == 0) return T(0);
  const auto length = [&] { return std::hypot(std::hypot(re, im), rest); };
  R beta = -std::copysign(length(), re);
  // Where beta is denormal its inverse is not a number: the column is scaled up, and beta down again.
  const R smallest = std::numeric_limits<R>::min() / (std::numeric_limits<R>::epsilon() / 2);
  int scalings = 0;
  while (std::abs(beta) < smallest && scalings < 20) {
    ++scalings;
    multiply(n, T(1 / smallest), x);
    rest = norm(n - 1, x + 1);
    re = real_part(x[0]), im = imaginary_part(x[0]);
    beta = -std::copysign(length(), re);
  }
  T tau;
  if constexpr (is_complex_number<T>) {
    tau = T((beta - re) / beta, -im / beta);
  } else {
    tau = (beta - re) / beta;
  }
  multiply(n - 1, T(1) / (x[0] - T(beta)), x + 1);
  for (; scalings > 0; --scalings) beta *= smallest;
  x[0] = T(beta);
  return tau;
}

// x -= factor (v^H x) v
template <typename T>
void reflect(int64_t n, T factor, const T* v, T* x) {
  const T along = times(factor, x[0] + inner_product(n - 1, v + 1, x + 1));
  x[0] -= along;
  add_multiple(n - 1, T(-along), v + 1, x + 1);
}

// c -= factor (c v) v^H for c of `rows` rows and n columns, which column(i) points to; `sums` has room for one.
template <typename T, typename Column>
void reflect_rows(const Column& column, int64_t rows, int64_t n, T factor, const T* v, T* sums) {
  std::copy_n(column(0), rows, sums);
  for (int64_t i = 1; i < n; ++i) add_multiple(rows, v[i], column(i), sums);
  for (int64_t i = 0; i < n; ++i)
    add_multiple(rows, T(-times(factor, i == 0 ? T(1) : conjugate(v[i]))), sums, column(i));
}

}  // namespace mtia::kernels
