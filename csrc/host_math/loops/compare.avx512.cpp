// Comparisons, selection and loops of three operands for AVX-512.
#if defined(__x86_64__)
#define MTIA_HOST_ISA avx512
#include "host_math/loops/compare.inc"
#endif
