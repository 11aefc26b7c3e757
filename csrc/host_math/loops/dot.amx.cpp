// Micro-kernels of matrix products for AMX: bf16 and i8.
#if defined(__x86_64__)
#define MTIA_HOST_ISA amx
#include "host_math/loops/dot_tiles.inc"
#endif
