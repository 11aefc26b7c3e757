// Arguments that the kernels of dense linear algebra share: batches of matrices as LAPACK has them, column by column.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

// What a matrix is made of. A complex number is two adjacent elements of the chip.
enum class Number : uint8_t { f32, f64, complex_f32, complex_f64 };

constexpr bool is_complex(Number number) { return number == Number::complex_f32 || number == Number::complex_f64; }
constexpr DType part_of(Number number) {
  return number == Number::f32 || number == Number::complex_f32 ? DType::F32 : DType::F64;
}
constexpr int64_t bytes_of(Number number) {
  return static_cast<int64_t>(size_of(part_of(number))) * (is_complex(number) ? 2 : 1);
}

// A batch of matrices whose columns are dense. Strides count numbers.
struct Matrices {
  uint64_t base = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t column_stride = 0;
  int64_t batch_stride = 0;
};

// A batch of vectors, dense.
struct Vectors {
  uint64_t base = 0;
  int64_t length = 0;
  int64_t batch_stride = 0;
};

enum class Transpose : uint8_t { none, plain, conjugate };

}  // namespace mtia::kernels
