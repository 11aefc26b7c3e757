// Arguments of the C++ kernel "solve_triangular".
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

}  // namespace mtia::kernels
