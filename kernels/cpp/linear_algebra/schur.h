// Arguments of the C++ kernel "eigen".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// Eigenvalues of square matrices, and where they are asked for eigenvectors of norm 1, whose largest element is real.
// Both are complex. a is scratch. Two matrices of the size of a fit local memory. info[b]: 0, or the number of
// eigenvalues that do not converge.
struct EigenArguments {
  static constexpr bool reads_contents = true;
  static constexpr bool charges_unknown = true;
  Matrices a;
  Vectors values;
  Matrices vectors;
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  Number number = Number::f32;
  bool has_vectors = true;
};

}  // namespace mtia::kernels
