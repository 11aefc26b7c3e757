// Loops of one operand for any CPU.
#define MTIA_HOST_ISA plain
#include "host_math/loops/unary.inc"
