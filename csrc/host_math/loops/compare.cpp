// Comparisons, selection and loops of three operands for any CPU.
#define MTIA_HOST_ISA plain
#include "host_math/loops/compare.inc"
