// Micro-kernels of matrix products for AVX512-VNNI (i8).
#if defined(__x86_64__)
#define MTIA_HOST_ISA avx512_vnni
#include "host_math/loops/dot.inc"
#endif
