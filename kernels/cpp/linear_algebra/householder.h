// Arguments of the C++ kernels "geqrf", "householder_product" and "apply_householder": reflectors H = I - tau v v^H as
// LAPACK keeps them, v behind the diagonal of a column, its first element a one that is not stored.
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// a = R and the reflectors of Q = H(0) H(1) ... of a = Q R.
struct GeqrfArguments {
  Matrices a;
  Vectors tau;
  int64_t batch = 0;
  Number number = Number::f32;
};

// a = the first columns of Q, of whose reflectors a holds tau.length.
struct HouseholderProductArguments {
  Matrices a;
  Vectors tau;
  int64_t batch = 0;
  Number number = Number::f32;
};

// c = op(Q) c, or c op(Q), op the conjugate transpose where `adjoint`.
struct ApplyHouseholderArguments {
  Matrices reflectors;
  Vectors tau;
  Matrices c;
  int64_t batch = 0;
  Number number = Number::f32;
  bool left = true;
  bool adjoint = false;
};

}  // namespace mtia::kernels
