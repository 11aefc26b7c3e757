// Control flow of tile programs.
#include "emulator/pe/command_processor/control.h"

#include "base/error.h"

namespace mtia::emulator {
namespace {

// Iterations of a `while` after which its program is taken to wait for another one.
constexpr uint64_t patience = 1024;

void count_iteration(Frame& frame) {
  if (frame.loops_left-- == 0) {
    throw Deadlock(concat("the program made ", frame.loop_limit, " loop iterations, as many as a launch allows"), "",
                   "check what ends the loop; MTIA_SIM_LOOP_LIMIT allows a program more iterations");
  }
}

}  // namespace

const Op* wait_scalar(const Op* op, Frame& frame) {
  frame.pe->board.wait_scalar(op->a);
  return op + 1;
}

const Op* program_id(const Op* op, Frame& frame) {
  frame.scalars()[op->d] = frame.id[op->a];
  frame.pe->board.issue_scalar();
  return op + 1;
}

const Op* num_programs(const Op* op, Frame& frame) {
  frame.scalars()[op->d] = frame.grid[op->a];
  frame.pe->board.issue_scalar();
  return op + 1;
}

const Op* for_begin(const Op* op, Frame& frame) {
  const int64_t low = frame.integer(op->a);
  const int64_t high = frame.integer(op->b);
  const int64_t step = frame.integer(op->c);
  frame.pe->board.issue_scalar();
  if (step <= 0) throw Undefined(concat("for loop with step ", step), "", "a loop's step must be positive");
  if (low >= high) return op->target;
  frame.loops[op->immediate] = {low, high, step};
  frame.scalars()[op->d] = static_cast<uint64_t>(low);
  return op + 1;
}

const Op* for_end(const Op* op, Frame& frame) {
  frame.pe->board.issue_scalar();
  LoopState& loop = frame.loops[op->immediate];
  if (__builtin_add_overflow(loop.index, loop.step, &loop.index) || loop.index >= loop.high) return op + 1;
  count_iteration(frame);
  frame.scalars()[op->d] = normalised(static_cast<DType>(op->c), static_cast<uint64_t>(loop.index));
  return op->target;
}

const Op* jump(const Op* op, Frame& frame) {
  count_iteration(frame);
  if (frame.starvation.spin != nullptr && ++frame.jumps % patience == 0)
    frame.starvation.spin(frame.starvation.context);
  frame.pe->board.issue_scalar();
  return op->target;
}

const Op* jump_unless(const Op* op, Frame& frame) {
  frame.pe->board.issue_scalar();
  return (frame.scalars()[op->a] & 1U) != 0 ? op + 1 : op->target;
}

const Op* end_program(const Op*, Frame&) { return nullptr; }

const Op* barrier(const Op* op, Frame& frame) {
  frame.pe->board.barrier();
  frame.pe->board.issue_scalar();
  return op + 1;
}

}  // namespace mtia::emulator
