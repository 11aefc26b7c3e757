// Who runs next: a program that has not started, else whoever has waited longest.
#include "emulator/grid/program_turns.h"

#include "emulator/grid/random_order.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {

ProgramTurns::ProgramTurns(Client& client, StackPool& stacks, uint64_t programs, uint32_t pes, uint64_t shuffle)
    : client_(client), stacks_(stacks), programs_(programs), pes_(pes), shuffle_(shuffle), busy_(pes) {
  current_ = &turns_.emplace_back();
  current_->turns = this;
}

ProgramTurns::~ProgramTurns() {
  for (const Turn& turn : turns_) {
    if (turn.stack == nullptr) continue;
    turn.stack->forget_frames();  // of programs that were left where they waited
    stacks_.give(turn.stack);
  }
}

void ProgramTurns::run() {
  Turn& own = turns_.front();
  while (!failed_) {
    if (may_start()) {
      start(own);
      failed_ = !execute(own) || failed_;
    } else if (!waiting_.empty()) {
      Turn& other = longest_waiting();
      waiting_.push_back(&own);
      change(other);
    } else {
      return;
    }
  }
}

void ProgramTurns::spin() {
  Turn& own = *current_;
  last_pe_ = pe_of(own);
  Turn* other = nullptr;
  if (may_start()) {
    other = &idle();
    start(*other);
    other->fiber.prepare(*other->stack, begin, other);
  } else if (!waiting_.empty()) {
    other = &longest_waiting();
  } else {
    return;
  }
  waiting_.push_back(&own);
  change(*other);
  if (failed_) throw Abandoned();
  if (last_pe_ != pe_of(own)) client_.resumed(pe_of(own), last_pe_);
}

void ProgramTurns::begin(void* argument) {
  Turn& turn = *static_cast<Turn*>(argument);
  ProgramTurns& turns = *turn.turns;
  turns.failed_ = !turns.execute(turn) || turns.failed_;
  turns.idle_.push_back(&turn);
  // Where a program failed, the others stay where they are.
  turns.change(turns.failed_ ? turns.turns_.front() : turns.longest_waiting(), true);
}

// ---- programs that have not started
bool ProgramTurns::may_start() {
  if (shuffle_ != 0) return drawn_ || draw();
  while (next_ < programs_ && !client_.wants(next_)) ++next_;
  return next_ < programs_ && !busy_[next_ % pes_];
}

// Of any PE that is free; each runs its own in order.
bool ProgramTurns::draw() {
  for (uint32_t pe = static_cast<uint32_t>(upcoming_.size()); pe < pes_; ++pe) upcoming_.push_back(pe);
  std::vector<uint32_t> free;
  for (uint32_t pe = 0; pe < pes_; ++pe) {
    if (!busy_[pe] && upcoming_[pe] < programs_) free.push_back(pe);
  }
  if (free.empty()) return false;
  uint64_t& drawn = upcoming_[free[random_below(shuffle_, free.size())]];
  next_ = drawn;
  drawn += pes_;
  drawn_ = true;
  return true;
}

void ProgramTurns::start(Turn& turn) {
  turn.program = next_++;
  drawn_ = false;
  busy_[pe_of(turn)] = true;
}

bool ProgramTurns::execute(Turn& turn) {
  const bool done = client_.run(turn.program, turn.place);
  busy_[pe_of(turn)] = false;
  last_pe_ = pe_of(turn);
  return done;
}

// ---- turns
ProgramTurns::Turn& ProgramTurns::idle() {
  if (idle_.empty()) {
    Turn& made = turns_.emplace_back();
    made.turns = this;
    made.place = turns_.size() - 1;
    made.stack = stacks_.take();
    return made;
  }
  Turn& turn = *idle_.back();
  idle_.pop_back();
  return turn;
}

ProgramTurns::Turn& ProgramTurns::longest_waiting() {
  Turn& turn = *waiting_.front();
  waiting_.pop_front();
  return turn;
}

void ProgramTurns::change(Turn& to, bool finished) {
  Turn& from = *current_;
  current_ = &to;
  Fiber::change(from.fiber, to.fiber, finished);
}

}  // namespace mtia::emulator
