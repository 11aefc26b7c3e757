// Arguments of the C++ kernels "ldl_factor" and "ldl_solve".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// a = L and D of a = L D L^T (L^H where `hermitian`) below the diagonal, D of blocks of one and two rows, chosen by
// Bunch and Kaufman; pivots as LAPACK's sytrf gives them. Each matrix fits local memory.
struct LdlFactorArguments {
  static constexpr bool reads_contents = true;
  static constexpr bool charges_unknown = true;
  Matrices a;
  Vectors pivots;     // int32
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  Number number = Number::f32;
  bool hermitian = false;
};

// b = x of a x = b, a factored as above; it fits local memory beside a column of b.
struct LdlSolveArguments {
  Matrices a;
  Vectors pivots;
  Matrices b;
  int64_t batch = 0;
  Number number = Number::f32;
  bool hermitian = false;
};

}  // namespace mtia::kernels
