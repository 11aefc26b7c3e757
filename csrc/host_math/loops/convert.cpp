// Conversions between dtypes for any CPU.
#define MTIA_HOST_ISA plain
#include "host_math/loops/convert.inc"
