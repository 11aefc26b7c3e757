// Arithmetic on columns in local memory, for real and complex numbers alike. Sums have sixteen lanes, so that they are
// the same on every host.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

template <typename T>
struct RealOf {
  using type = T;
};
template <typename R>
struct RealOf<std::complex<R>> {
  using type = R;
};
template <typename T>
using Real = typename RealOf<T>::type;
template <typename T>
inline constexpr bool is_complex_number = !std::is_same_v<T, Real<T>>;

// How the chip holds numbers and whole numbers: so many adjacent elements of a dtype.
template <typename V>
inline constexpr int64_t elements_of = is_complex_number<V> ? 2 : 1;
template <typename V>
inline constexpr DType element_dtype = std::is_integral_v<V> ? (sizeof(V) == 4 ? DType::I32 : DType::I64)
                                                             : (sizeof(Real<V>) == 4 ? DType::F32 : DType::F64);

template <typename R>
R conjugate(R a) {
  return a;
}
template <typename R>
std::complex<R> conjugate(std::complex<R> a) {
  return std::conj(a);
}
template <typename R>
R real_part(R a) {
  return a;
}
template <typename R>
R real_part(std::complex<R> a) {
  return a.real();
}
template <typename R>
R imaginary_part(R) {
  return 0;
}
template <typename R>
R imaginary_part(std::complex<R> a) {
  return a.imag();
}

// Without the standard's rules about infinities, which cost a branch a product.
template <typename R>
R times(R a, R b) {
  return a * b;
}
template <typename R>
std::complex<R> times(std::complex<R> a, std::complex<R> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

template <typename R>
R squared(R a) {
  return a * a;
}
template <typename R>
R squared(std::complex<R> a) {
  return a.real() * a.real() + a.imag() * a.imag();
}

// BLAS's size of a number where it looks for pivots.
template <typename R>
R size_of_pivot(R a) {
  return std::abs(a);
}
template <typename R>
R size_of_pivot(std::complex<R> a) {
  return std::abs(a.real()) + std::abs(a.imag());
}

// The larger of two sizes; NaN where one is.
template <typename R>
R larger(R a, R b) {
  return std::isnan(a) || a > b ? a : b;
}
template <typename R>
R largest_part(R a) {
  return std::abs(a);
}
template <typename R>
R largest_part(std::complex<R> a) {
  return larger(std::abs(a.real()), std::abs(a.imag()));
}
template <typename T>
Real<T> largest_part(int64_t n, const T* x) {
  Real<T> largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = larger(largest, largest_part(x[i]));
  return largest;
}

template <typename T>
T maybe_conjugate(T a, bool conjugates) {
  return conjugates ? conjugate(a) : a;
}

// y += alpha x
template <typename T>
void add_multiple(int64_t n, T alpha, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += times(alpha, x[i]);
}

template <typename T>
void multiply(int64_t n, T alpha, T* x) {
  for (int64_t i = 0; i < n; ++i) x[i] = times(alpha, x[i]);
}

template <typename T>
T sum_of_lanes(const std::array<T, 16>& lanes) {
  std::array<T, 16> sums = lanes;
  for (size_t width = 8; width > 0; width /= 2) {
    for (size_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return sums[0];
}

// The sum of conj(x) y, or of x y.
template <bool conjugates = true, typename T>
T inner_product(int64_t n, const T* x, const T* y) {
  std::array<T, 16> lanes{};
  const int64_t whole = n / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16) {
    for (int64_t lane = 0; lane < 16; ++lane)
      lanes[static_cast<size_t>(lane)] += times(conjugates ? conjugate(x[i + lane]) : x[i + lane], y[i + lane]);
  }
  for (int64_t i = whole; i < n; ++i)
    lanes[static_cast<size_t>(i - whole)] += times(conjugates ? conjugate(x[i]) : x[i], y[i]);
  return sum_of_lanes(lanes);
}

template <typename T>
Real<T> sum_of_squares(int64_t n, const T* x) {
  std::array<Real<T>, 16> lanes{};
  for (int64_t i = 0; i < n; ++i) lanes[static_cast<size_t>(i & 15)] += squared(x[i]);
  return sum_of_lanes(lanes);
}

// The Euclidean norm, scaled where squares would leave the range.
template <typename T>
Real<T> norm(int64_t n, const T* x) {
  using R = Real<T>;
  const R sum = sum_of_squares(n, x);
  if (sum > std::numeric_limits<R>::min() / std::numeric_limits<R>::epsilon() && std::isfinite(sum))
    return std::sqrt(sum);
  R largest = 0;
  for (int64_t i = 0; i < n; ++i)
    largest = std::max({largest, std::abs(real_part(x[i])), std::abs(imaginary_part(x[i]))});
  if (largest == 0 || !std::isfinite(largest)) return std::sqrt(sum);
  R scaled = 0;
  for (int64_t i = 0; i < n; ++i) {
    const R re = real_part(x[i]) / largest, im = imaginary_part(x[i]) / largest;
    scaled += re * re + im * im;
  }
  return largest * std::sqrt(scaled);
}

// The power of two that brings numbers up to `largest` near to 1 when they are divided by it.
template <typename R>
R power_of_two_near(R largest) {
  constexpr int most = std::numeric_limits<R>::max_exponent - 2;
  return std::ldexp(R(1), std::clamp(std::ilogb(largest), -most, most));
}

// The place of the largest number by size_of_pivot, the first of several.
template <typename T>
int64_t place_of_largest(int64_t n, const T* x) {
  int64_t place = 0;
  Real<T> largest = n > 0 ? size_of_pivot(x[0]) : 0;
  for (int64_t i = 1; i < n; ++i) {
    const Real<T> size = size_of_pivot(x[i]);
    if (size > largest) {
      largest = size;
      place = i;
    }
  }
  return place;
}

// (x, y) = (c x + s y, c y - s x)
template <typename T>
void rotate(int64_t n, T* x, T* y, Real<T> c, Real<T> s) {
  for (int64_t i = 0; i < n; ++i) {
    const T first = x[i], second = y[i];
    x[i] = c * first + s * second;
    y[i] = c * second - s * first;
  }
}

// Calls body(T{}) with the number's type.
template <typename Body>
void with_number(Number number, const Body& body) {
  switch (number) {
    case Number::f32:
      return body(float{});
    case Number::f64:
      return body(double{});
    case Number::complex_f32:
      return body(std::complex<float>{});
    case Number::complex_f64:
      return body(std::complex<double>{});
  }
}

}  // namespace mtia::kernels
