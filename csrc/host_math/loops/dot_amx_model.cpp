// Micro-kernels of matrix products that compute what AMX computes, for any CPU.
#define MTIA_HOST_ISA amx_model
#include "host_math/loops/dot_tiles.inc"
