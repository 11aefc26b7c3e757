// Handlers of the command processor: control flow and waiting.
#pragma once

#include "emulator/pe/command_processor/op.h"

namespace mtia::emulator {

const Op* wait_scalar(const Op* op, Frame& frame);   // a: scalar
const Op* program_id(const Op* op, Frame& frame);    // d = id[a]
const Op* num_programs(const Op* op, Frame& frame);  // d = grid[a]
const Op* for_begin(const Op* op,
                    Frame& frame);  // d: index, a: low, b: high, c: step, immediate: loop number, target: after the end
const Op* for_end(const Op* op, Frame& frame);  // target: first of the body
const Op* jump(const Op* op, Frame& frame);
const Op* jump_unless(const Op* op, Frame& frame);  // a: condition
const Op* end_program(const Op* op, Frame& frame);
const Op* barrier(const Op* op, Frame& frame);

}  // namespace mtia::emulator
