// The micro-kernels of one element type on one instruction set: panels of a and b, and their product.
#pragma once

#include <cstddef>

namespace mtia::host_math {

// Elements of a panel are `element_bytes` wide and hold `k_step` consecutive values of k each.
// A panel of a is [ceil(k / k_step)][mr] elements, one of b is [ceil(k / k_step)][nr]; missing rows and columns are
// zero.
struct DotKernels {
  size_t mr;
  size_t nr;
  size_t k_step;
  size_t element_bytes;
  // rows <= mr, columns <= nr; strides are bytes.
  void (*pack_a)(void* panel, const void* a, ptrdiff_t row_stride, ptrdiff_t k_stride, size_t rows, size_t k);
  void (*pack_b)(void* panel, const void* b, ptrdiff_t k_stride, ptrdiff_t column_stride, size_t columns, size_t k);
  // c[rows][columns] (+)= panels; row stride of c in elements, columns adjacent; steps = ceil(k / k_step).
  void (*multiply)(void* c, ptrdiff_t c_row_stride, const void* a_panel, const void* b_panel, size_t rows,
                   size_t columns, size_t steps, bool accumulate);
};

#define MTIA_DECLARE_DOT_KERNELS(isa) \
  namespace isa {                     \
  extern const DotKernels dot_f32;    \
  extern const DotKernels dot_f64;    \
  extern const DotKernels dot_i32;    \
  }
MTIA_DECLARE_DOT_KERNELS(plain)
MTIA_DECLARE_DOT_KERNELS(avx2)
MTIA_DECLARE_DOT_KERNELS(avx512)
#undef MTIA_DECLARE_DOT_KERNELS
namespace avx512_bf16 {
extern const DotKernels dot_bf16;
}

}  // namespace mtia::host_math
