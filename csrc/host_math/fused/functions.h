// Functions of float32 as AVX-512 code: the operations of loops/math_f32.inc in its order, so the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "host_math/fused/assembler.h"
#include "host_math/fused_loop.h"

namespace mtia::host_math {

// Gives the register in which a constant of these bits stands in all elements.
using ConstantRegister = std::function<unsigned(uint32_t bits)>;

bool is_function(FusedOp op);

// The constants that emit_function() will ask for.
std::vector<uint32_t> constants_of_function(FusedOp op);

// d = op(a); d is not a, and both scratch registers and the work mask are lost.
void emit_function(FusedOp op, Assembler& code, const ConstantRegister& constant, unsigned d, unsigned a);

}  // namespace mtia::host_math
