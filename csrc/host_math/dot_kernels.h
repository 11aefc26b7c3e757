// The micro-kernels of one element type on one instruction set: panels of a and b, and their product.
#pragma once

#include <cstddef>

#include "base/dtype.h"

namespace mtia::host_math {

// Elements of a panel are `element_bytes` wide and hold `k_step` consecutive values of k each.
// A panel of a is [ceil(k / k_step)][mr] elements, one of b is [ceil(k / k_step)][nr]; missing rows and columns are
// zero, missing values of k too (in the end they add nothing). Within an element of tiles the order is the kernel's
// own.
struct DotKernels {
  size_t mr;
  size_t nr;
  size_t k_step;
  size_t element_bytes;
  // Values of k a pass covers: a panel of b then stays in the first-level cache while all rows of a go by.
  size_t k_block;
  DType operand;  // what operands are converted to before they are packed
  // rows <= mr, columns <= nr; strides are bytes.
  void (*pack_a)(void* panel, const void* a, ptrdiff_t row_stride, ptrdiff_t k_stride, size_t rows, size_t k);
  void (*pack_b)(void* panel, const void* b, ptrdiff_t k_stride, ptrdiff_t column_stride, size_t columns, size_t k);
  // c[rows][columns] (+)= panels; row stride of c in elements, columns adjacent; steps = ceil(k / k_step).
  void (*multiply)(void* c, ptrdiff_t c_row_stride, const void* a_panel, const void* b_panel, size_t rows,
                   size_t columns, size_t steps, bool accumulate);
  // As multiply, reading a itself, with k adjacent and whole elements of k; nullptr: a must be packed. Row stride of a
  // in bytes.
  void (*multiply_rows)(void* c, ptrdiff_t c_row_stride, const void* a, ptrdiff_t a_row_stride, const void* b_panel,
                        size_t rows, size_t columns, size_t steps, bool accumulate) = nullptr;
  // As multiply and multiply_rows, for more rows than stay in the first-level cache, which is left to the panel of b:
  // asks the second-level cache for `lines` cache lines from `ahead` on beside the products. nullptr: nothing is
  // gained.
  void (*multiply_passing)(void* c, ptrdiff_t c_row_stride, const void* a_panel, const void* b_panel, size_t rows,
                           size_t columns, size_t steps, bool accumulate, const void* ahead, size_t lines) = nullptr;
  void (*multiply_passing_rows)(void* c, ptrdiff_t c_row_stride, const void* a, ptrdiff_t a_row_stride,
                                const void* b_panel, size_t rows, size_t columns, size_t steps, bool accumulate,
                                const void* ahead, size_t lines) = nullptr;
  // Called by a thread before its calls of multiply that follow each other; nullptr: needs nothing.
  void (*prepare)() = nullptr;
};

// What the rows of host_isas.def name; each is defined by one file of loops/.
#define MTIA_DECLARE_DOT_KERNELS(isa) \
  namespace isa {                     \
  extern const DotKernels dot_f32;    \
  extern const DotKernels dot_f64;    \
  extern const DotKernels dot_bf16;   \
  extern const DotKernels dot_i8;     \
  }
MTIA_DECLARE_DOT_KERNELS(plain)
MTIA_DECLARE_DOT_KERNELS(avx2)
MTIA_DECLARE_DOT_KERNELS(avx2_vnni)
MTIA_DECLARE_DOT_KERNELS(avx512)
MTIA_DECLARE_DOT_KERNELS(avx512_vnni)
MTIA_DECLARE_DOT_KERNELS(avx512_bf16)
MTIA_DECLARE_DOT_KERNELS(amx)
MTIA_DECLARE_DOT_KERNELS(amx_model)
#undef MTIA_DECLARE_DOT_KERNELS

}  // namespace mtia::host_math
