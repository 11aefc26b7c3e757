// The dot product engine's arithmetic on the host: strided matrices in, dense or strided sums out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace mtia::emulator {

struct MatrixOperand {
  const std::byte* data = nullptr;
  int64_t row_stride = 0;  // elements
  int64_t column_stride = 1;
};

// c[m,n] (+)= a[m,k] b[k,n]; a and b of dtype `operands`, c dense in its columns, of dtype `sums` (f32, f64 or i32).
void matrix_product(DType operands, DType sums, std::byte* c, int64_t c_row_stride, const MatrixOperand& a, const MatrixOperand& b, int64_t m,
                    int64_t n, int64_t k, bool accumulate, int64_t precision);

}  // namespace mtia::emulator
