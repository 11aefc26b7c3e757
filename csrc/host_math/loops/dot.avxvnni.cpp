// Micro-kernels of matrix products for AVX-VNNI (i8).
#if defined(__x86_64__)
#define MTIA_HOST_ISA avx2_vnni
#include "host_math/loops/dot.inc"
#endif
