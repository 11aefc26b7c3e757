// Arguments of the C++ kernel "symmetric_eigen".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// Eigenvalues, ascending, of Hermitian matrices of which the lower triangle is read; a becomes the eigenvectors where
// they are asked for, else scratch. info[b]: 0, or the number of eigenvalues that do not converge.
struct SymmetricEigenArguments {
  static constexpr bool reads_contents = true;
  static constexpr bool charges_unknown = true;
  Matrices a;
  Vectors values;     // real
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  Number number = Number::f32;
  bool has_vectors = true;
};

}  // namespace mtia::kernels
