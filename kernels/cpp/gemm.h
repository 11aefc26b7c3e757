// Arguments of the C++ kernel "gemm": batched matrix products of any layout with scaled addend.
//
//   c[i][j] = alpha * sum over p of a[i][p] * b[p][j] + beta * addend[i][j]        for every element of the batch
//
// The sum accumulates in float32 (F64: float64), is scaled and added to in float32 and rounded once to c's dtype.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

// Element (i, j) of batch element (p, q) lies at base + size * (i * row_stride + j * column_stride + p *
// batch_stride[0] + q * batch_stride[1]). Strides are elements; 0 repeats, so that a bias of length n is an addend with
// row_stride 0.
struct GemmMatrix {
  uint64_t base = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 1;
  int64_t batch_stride[2] = {0, 0};
};

struct GemmArguments {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;  // 0: the product is 0
  int64_t batch[2] = {1, 1};
  GemmMatrix a;       // m x k
  GemmMatrix b;       // k x n
  GemmMatrix c;       // m x n, written; row_stride or column_stride is 1
  GemmMatrix addend;  // m x n; base 0: absent. May be c itself
  double alpha = 1;
  double beta = 1;                  // read only with an addend
  DType dtype = DType::F32;         // of a and b: F32 F16 BF16 F64 F8E4M3 F8E5M2
  DType c_dtype = DType::F32;       // any float type
  DType addend_dtype = DType::F32;  // any float type
  // Where the second batch index counts parts of one product's k: what they have together, the last one perhaps less
  // than k. Else 0.
  int64_t k_of_parts = 0;
};

}  // namespace mtia::kernels
