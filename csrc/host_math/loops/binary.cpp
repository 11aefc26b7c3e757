// Loops of two operands for any CPU.
#define MTIA_HOST_ISA plain
#include "host_math/loops/binary.inc"
