// Micro-kernels of matrix products for any CPU.
#define MTIA_HOST_ISA plain
#include "host_math/loops/dot.inc"
