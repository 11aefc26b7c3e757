// Arguments of the C++ kernel "cholesky".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// a = L of a = L L^H below its diagonal, or U of a = U^H U above it; the other triangle stays as it is. Each matrix
// fits local memory. info[b]: 0, or the order of the first leading minor that is not positive, where the matrix is left
// as it is by then. `first`: the matrices are blocks on the diagonal of larger ones, from there on; one whose info is
// set is left alone.
struct CholeskyArguments {
  static constexpr bool charges_unknown = true;  // unlike zeros it has a factor
  Matrices a;
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  int64_t first = 0;
  Number number = Number::f32;
  bool upper = false;
};

}  // namespace mtia::kernels
