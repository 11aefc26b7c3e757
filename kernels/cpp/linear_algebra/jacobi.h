// Arguments of the C++ kernel "jacobi_svd".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// The singular value decomposition a = u s v^H of matrices with at least as many rows as columns. The first columns of
// `u` hold a; they become the left singular vectors, and what columns u has beyond those complete them to an
// orthonormal set. Without `has_vectors` u is scratch and v not there. s descends. info[b]: 0, -4 where a holds NaN or
// infinity (LAPACK's number for it), 1 where the sweeps do not converge.
struct JacobiSvdArguments {
  static constexpr bool reads_contents = true;
  static constexpr bool charges_unknown = true;
  Matrices u;
  Matrices v;         // [s.length, s.length]
  Vectors s;          // real
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  Number number = Number::f32;
  bool has_vectors = true;
};

}  // namespace mtia::kernels
