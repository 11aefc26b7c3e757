// Arguments of the C++ kernels "solve_triangular" and "find_zero_diagonal".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// b = x of op(a) x = b, or of x op(a) = b where `left` is false. Of `a`, which fits local memory beside a column of b,
// only the triangle that `upper` names is read, and its diagonal only where it is not to be taken as ones.
struct SolveTriangularArguments {
  Matrices a;
  Matrices b;
  int64_t batch = 0;
  Number number = Number::f32;
  Transpose transpose = Transpose::none;
  bool left = true;
  bool upper = false;
  bool has_unit_diagonal = false;
};

// info[b]: the place of the first zero on a matrix's diagonal, counted from 1; 0: there is none.
struct FindZeroDiagonalArguments {
  static constexpr bool charges_unknown = true;  // unlike zeros it is taken to have none
  Matrices a;
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  Number number = Number::f32;
};

}  // namespace mtia::kernels
