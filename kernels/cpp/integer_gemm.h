// Arguments of the C++ kernel "integer_gemm": batched products of integer matrices in any layout, modulo 2^width.
//
//   c[i][j] = alpha * sum over p of a[i][p] * b[p][j] + beta * addend[i][j]        for every element of the batch
//
// Signed and unsigned integers of a width have the same bits in all of this. No chip need have integer dot products:
// operands are cut into digits of 8 bits, which bfloat16 holds exactly, and float32 sums of up to 1024 products of two
// digits are exact.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/cpp/gemm.h"

namespace mtia::kernels {

struct IntegerGemmArguments {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;  // 0: the product is 0
  int64_t batch = 1;
  GemmMatrix a;       // m x k; of the batch's strides the first counts
  GemmMatrix b;       // k x n
  GemmMatrix c;       // m x n, written
  GemmMatrix addend;  // m x n; base 0: absent. May be c itself
  int64_t alpha = 1;
  int64_t beta = 1;          // read only with an addend
  DType dtype = DType::I64;  // of all matrices: I8 I16 I32 I64
};

}  // namespace mtia::kernels
