// Random numbers for any CPU.
#define MTIA_HOST_ISA plain
#include "host_math/loops/random.inc"
