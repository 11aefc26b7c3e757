// Arguments of the C++ kernels "lu_panel", "swap_rows" and "unpack_pivots".
#pragma once

#include "kernels/cpp/linear_algebra/matrices.h"

namespace mtia::kernels {

// a = L and U of P a = L U, with partial pivoting: pivots[i] is the row, counted from 1, that row i was swapped with.
// Each matrix fits local memory. info[b]: 0, or the place of the first pivot that is zero. `first`: the matrices are
// panels of larger ones, from row and column `first` on: pivots and info count from those, and an info that is set
// stays.
struct LuPanelArguments {
  static constexpr bool charges_unknown = true;  // unlike zeros it has a factor
  Matrices a;
  Vectors pivots;     // int32
  uint64_t info = 0;  // [batch], int32
  int64_t batch = 0;
  int64_t first = 0;
  Number number = Number::f32;
};

// Swaps rows i and pivots[i] - 1 of b for each i in order, or in the opposite order.
struct SwapRowsArguments {
  Matrices b;
  Vectors pivots;
  int64_t batch = 0;
  int64_t first = 0;  // pivots[i] is the place of row first + i
  Number number = Number::f32;
  bool backwards = false;
};

// permutation[i], from 0..n-1 in order, after the swaps of pivots.
struct UnpackPivotsArguments {
  Vectors permutation;  // int64
  Vectors pivots;       // int32
  int64_t batch = 0;
};

}  // namespace mtia::kernels
