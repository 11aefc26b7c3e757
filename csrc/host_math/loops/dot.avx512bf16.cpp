// Micro-kernels of matrix products for AVX512-BF16.
#if defined(__x86_64__)
#define MTIA_HOST_ISA avx512_bf16
#include "host_math/loops/dot.inc"
#endif
