// Micro-kernels of matrix products for AVX2.
#if defined(__x86_64__)
#define MTIA_HOST_ISA avx2
#include "host_math/loops/dot.inc"
#endif
