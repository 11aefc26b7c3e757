// Micro-kernels of matrix products for AVX-512.
#if defined(__x86_64__)
#define MTIA_HOST_ISA avx512
#include "host_math/loops/dot.inc"
#endif
