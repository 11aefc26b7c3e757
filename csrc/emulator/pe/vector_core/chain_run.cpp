// Execution of chains.
#include <algorithm>
#include <cstring>
#include <memory>

#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/vector_core/chain.h"
#include "emulator/timing_mode/timed_program.h"

namespace mtia::emulator {
namespace {

struct RunView {
  DmaAccess access;
  std::byte* data = nullptr;
  std::array<int64_t, max_outer> outer{};
};

void run_step(const ChainStep& step, std::byte* d, const std::byte* const* sources, uint64_t column, uint64_t count) {
  const auto& operands = step.operands;
  switch (step.loop.kind) {
    case ElementLoop::Kind::iota:
      host_math::iota(step.dtype, d, step.start + static_cast<int64_t>(column), count);
      return;
    case ElementLoop::Kind::move:
      if (operands[0].single) {
        host_math::fill(d, sources[0], step.d.size, count);
      } else if (d != sources[0]) {
        std::memcpy(d, sources[0], count * step.d.size);
      }
      return;
    case ElementLoop::Kind::unary:
      if (operands[0].single) {
        uint64_t one = 0;
        step.loop.function.unary(&one, sources[0], 1);
        host_math::fill(d, &one, step.d.size, count);
      } else {
        step.loop.function.unary(d, sources[0], count);
      }
      return;
    case ElementLoop::Kind::binary: {
      if (operands[0].single && operands[1].single) {
        uint64_t one = 0;
        step.loop.function.binary(&one, sources[0], sources[1], 1, host_math::BinaryMode::vector_vector);
        host_math::fill(d, &one, step.d.size, count);
        return;
      }
      const auto mode = operands[0].single   ? host_math::BinaryMode::scalar_vector
                        : operands[1].single ? host_math::BinaryMode::vector_scalar
                                             : host_math::BinaryMode::vector_vector;
      step.loop.function.binary(d, sources[0], sources[1], count, mode);
      return;
    }
    case ElementLoop::Kind::ternary: {
      const unsigned scalars =
          (operands[0].single ? 1U : 0U) | (operands[1].single ? 2U : 0U) | (operands[2].single ? 4U : 0U);
      if (scalars == 7) {
        uint64_t one = 0;
        step.loop.function.ternary(&one, sources[0], sources[1], sources[2], 1, host_math::no_scalar);
        host_math::fill(d, &one, step.d.size, count);
        return;
      }
      step.loop.function.ternary(d, sources[0], sources[1], sources[2], count, scalars);
      return;
    }
  }
}

std::byte* row_address(const ChainOperand& operand, const ChainPlan& plan, const std::array<uint32_t, max_outer>& index,
                       Frame& frame, const RunView* views) {
  switch (operand.kind) {
    case ChainOperand::Kind::memory: {
      std::byte* base = frame.at(operand.place);
      for (uint32_t d = 0; d < plan.outer_rank; ++d) base += index[d] * operand.outer[d];
      return base;
    }
    case ChainOperand::Kind::view: {
      const RunView& view = views[operand.view];
      std::byte* base = view.data;
      for (uint32_t d = 0; d < plan.outer_rank; ++d) base += static_cast<int64_t>(index[d]) * view.outer[d];
      return base;
    }
    case ChainOperand::Kind::strip:
      return frame.strips + operand.place.offset;
    case ChainOperand::Kind::none:
      break;
  }
  return nullptr;
}

int64_t stride_of(const ChainOperand& operand, const RunView* views, uint32_t dimension) {
  if (operand.kind == ChainOperand::Kind::view) return views[operand.view].outer[dimension];
  return operand.kind == ChainOperand::Kind::memory ? operand.outer[dimension] : 0;
}

// Counts an index over the first `rank` outer dimensions up; false where it was the last.
bool next_index(const ChainPlan& plan, uint32_t rank, std::array<uint32_t, max_outer>& index) {
  for (uint32_t d = rank; d-- > 0;) {
    if (++index[d] < plan.outer[d]) return true;
    index[d] = 0;
  }
  return false;
}

// How many rows from `row` on have a factor of 1, or another one.
size_t like_rows(const std::byte* factor, int64_t stride, size_t row, size_t rows, bool is_one) {
  const size_t first = row;
  for (; row < rows; ++row) {
    float value = 0;
    std::memcpy(&value, factor + static_cast<int64_t>(row) * stride, sizeof(value));
    if ((value == 1.0F) != is_one) break;
  }
  return row - first;
}

void finish_scalar(const ChainReduction& reduction, uint32_t bits, Frame& frame) {
  frame.scalars()[reduction.scalar] = normalised(DType::F32, bits);
}

// A fused loop and what goes with it.
struct LoopOfRows {
  const host_math::FusedLoop& loop;
  size_t count;  // pointers
  size_t reductions;
  size_t factor;
};

// All of `rows` rows from `bases` on in one call, or in blocks where reductions join their lanes. `row_number`: of the
// chain's rows, counted up.
void run_rows_from(std::byte* const* bases, size_t rows, const LoopOfRows& of, const Chain& chain, Frame& frame,
                   host_math::FusedCall& call, size_t& row_number) {
  const size_t block = of.reductions == 0 ? rows : rows_a_join;
  for (size_t first = 0; first < rows;) {
    call.rows = std::min(block, rows - first);
    if (of.factor != SIZE_MAX) {
      const std::byte* factor = bases[of.factor];
      first += like_rows(factor, call.strides[of.factor], first, rows, true);
      call.rows = like_rows(factor, call.strides[of.factor], first, rows, false);
      if (call.rows == 0) break;
    }
    for (size_t p = 0; p < of.count; ++p) call.pointers[p] = bases[p] + static_cast<int64_t>(first) * call.strides[p];
    std::byte* const lanes = frame.strips;
    for (size_t r = 0; r < of.reductions; ++r) call.pointers[of.count + r] = lanes + r * rows_a_join * lanes_bytes;
    const size_t joined = call.rows;
    of.loop.run(call);
    for (size_t r = 0; r < of.reductions; ++r) {
      const ChainReduction& reduction = chain.reductions[r];
      const std::byte* from = lanes + r * rows_a_join * lanes_bytes;
      uint32_t scalar = 0;
      void* to = reduction.scalar != UINT32_MAX
                     ? static_cast<void*>(&scalar)
                     : static_cast<void*>(frame.at(reduction.to) + row_number * sizeof(float));
      // A row of its lanes alone is reduced to what the row is.
      reduction.loop(to, from, joined, host_math::fused_lanes, host_math::fused_lanes);
      if (reduction.scalar != UINT32_MAX) finish_scalar(reduction, scalar, frame);
    }
    row_number += joined;
    first += joined;
  }
}

// A plan that is one fused loop, by the rows of the last outer dimension.
void run_rows(const Chain& chain, const ChainPlan& plan, Frame& frame, const RunView* views) {
  const ChainStep& step = plan.steps[0];
  const LoopOfRows of{*step.fused, step.pointers.size(), step.reductions, step.factor};
  const uint32_t rank = plan.outer_rank == 0 ? 0 : plan.outer_rank - 1;
  const size_t rows = plan.outer_rank == 0 ? 1 : plan.outer[rank];
  std::array<uint32_t, max_outer> index{};
  host_math::FusedCall call;
  std::byte* bases[host_math::max_fused_pointers];
  for (size_t p = 0; p < of.count; ++p)
    call.strides[p] = plan.outer_rank == 0 ? 0 : stride_of(step.pointers[p], views, rank);
  for (size_t r = 0; r < of.reductions; ++r) call.strides[of.count + r] = lanes_bytes;
  call.n = plan.inner;
  size_t row_number = 0;
  do {
    for (size_t p = 0; p < of.count; ++p) bases[p] = row_address(step.pointers[p], plan, index, frame, views);
    run_rows_from(bases, rows, of, chain, frame, call, row_number);
  } while (next_index(plan, rank, index));
}

const Op* run_directly(const Op* op, const Chain& chain, Frame& frame) {
  const DirectLoop& direct = chain.direct;
  host_math::FusedCall call;
  std::byte* bases[DirectLoop::max_pointers];
  for (size_t p = 0; p < direct.count; ++p) {
    bases[p] = frame.at(direct.places[p]);
    call.strides[p] = direct.strides[p];
  }
  for (size_t r = 0; r < direct.reductions; ++r) call.strides[direct.count + r] = lanes_bytes;
  call.n = direct.n;
  size_t row_number = 0;
  run_rows_from(bases, direct.rows, {*direct.loop, direct.count, direct.reductions, direct.factor}, chain, frame, call,
                row_number);
  for (const Tick* tick : direct.ticks) frame.pe->board.issue(*tick);
  return op + 1;
}

void run_reduction(const ChainReduction& reduction, Frame& frame) {
  uint32_t scalar = 0;
  void* to = reduction.scalar != UINT32_MAX ? static_cast<void*>(&scalar) : static_cast<void*>(frame.at(reduction.to));
  reduction.loop(to, frame.at(reduction.from), reduction.rows, reduction.length, reduction.length);
  if (reduction.scalar != UINT32_MAX) finish_scalar(reduction, scalar, frame);
}

bool stays(const ChainOperand& operand) { return operand.single || operand.kind == ChainOperand::Kind::strip; }

// Runs steps [first, last) over the plan's whole space.
void run_plan(const ChainPlan& plan, size_t first, size_t last, Frame& frame, const RunView* views) {
  std::array<uint32_t, max_outer> index{};
  std::byte* rows[max_chain_operands];
  for (;;) {
    std::byte** row = rows;
    for (size_t s = first; s < last; ++s) {
      const ChainStep& step = plan.steps[s];
      for (const ChainOperand& operand : step.pointers) *row++ = row_address(operand, plan, index, frame, views);
      for (uint32_t o = 0; o < step.count; ++o) *row++ = row_address(step.operands[o], plan, index, frame, views);
      if (step.fused == nullptr) *row++ = row_address(step.d, plan, index, frame, views);
    }
    for (uint64_t column = 0; column < plan.inner; column += plan.strip) {
      const uint64_t width = std::min(plan.strip, plan.inner - column);
      std::byte* const* from = rows;
      const auto next = [&](const ChainOperand& operand) {
        return *from++ + (stays(operand) ? 0 : column * operand.size);
      };
      for (size_t s = first; s < last; ++s) {
        const ChainStep& step = plan.steps[s];
        if (step.fused != nullptr) {
          host_math::FusedCall call;
          call.n = width;
          std::byte** pointer = call.pointers;
          for (const ChainOperand& operand : step.pointers) *pointer++ = next(operand);
          step.fused->run(call);
          continue;
        }
        const std::byte* sources[3] = {};
        for (uint32_t o = 0; o < step.count; ++o) sources[o] = next(step.operands[o]);
        run_step(step, next(step.d), sources, column, width);
      }
    }
    if (!next_index(plan, plan.outer_rank, index)) return;
  }
}

// Whether a view's device memory can be walked in the plan's dimensions with a contiguous inner one; finds its outer
// strides.
bool fits_plan(const ChainPlan& plan, const DmaDetail& detail, RunView& view) {
  const DmaAccess& access = view.access;
  for (uint32_t p = 0; p <= plan.outer_rank; ++p) {
    const auto [first, last] = plan.dimensions[p];
    // Within a merged dimension, each step outward continues where the inner one ends.
    int64_t expected = 0;
    bool started = false;
    int64_t innermost = detail.size;
    for (uint32_t d = last + 1U; d-- > first;) {
      if (detail.dims[d] == 1) continue;
      if (!started) {
        innermost = access.stride[d];
        started = true;
      } else if (access.stride[d] != expected) {
        return false;
      }
      expected = access.stride[d] * static_cast<int64_t>(detail.dims[d]);
    }
    if (p == plan.outer_rank) {
      if (innermost != detail.size) return false;
    } else {
      view.outer[p] = innermost;
    }
  }
  return true;
}

bool same_memory(const RunView& a, const DmaDetail& a_detail, const RunView& b, const DmaDetail& b_detail) {
  if (a.data != b.data || a_detail.size != b_detail.size || a_detail.rank != b_detail.rank) return false;
  for (uint32_t d = 0; d < a_detail.rank; ++d) {
    if (a_detail.dims[d] != b_detail.dims[d]) return false;
    if (a_detail.dims[d] > 1 && a.access.stride[d] != b.access.stride[d]) return false;
  }
  return true;
}

// A store may run strip by strip beside another view when they touch different bytes, or the same element at the same
// step.
bool in_order(const Chain& chain, const RunView* views) {
  for (size_t s = 0; s < chain.views.size(); ++s) {
    if (!chain.views[s].detail->is_store) continue;
    // A store that overlaps itself (stride 0) must keep its order too, which rows in order do.
    for (size_t v = 0; v < chain.views.size(); ++v) {
      if (v == s) continue;
      const DmaAccess& a = views[s].access;
      const DmaAccess& b = views[v].access;
      if (a.high <= b.low || b.high <= a.low) continue;
      if (!same_memory(views[s], *chain.views[s].detail, views[v], *chain.views[v].detail)) return false;
      const bool before = v < s;
      if (!chain.views[v].detail->is_store && before && chain.views[v].last_use > chain.views[s].first_use)
        return false;
      if (!chain.views[v].detail->is_store && !before && chain.views[v].first_use < chain.views[s].first_use)
        return false;
      if (chain.views[v].detail->is_store && before && chain.views[v].first_use > chain.views[s].first_use)
        return false;
    }
  }
  return true;
}

void run_in_order(const Chain& chain, Frame& frame, const Op* op) {
  for (const Chain::Member& member : chain.members) {
    frame.fault = member.instruction;
    if (member.view == UINT32_MAX) {
      run_plan(chain.in_place, member.step, member.step + 1, frame, nullptr);
      frame.pe->board.issue(*member.tick);
      continue;
    }
    const ChainView& view = chain.views[member.view];
    DmaAccess access;
    resolve(*view.detail, frame, access);
    view.detail->is_store ? store_tile(*view.detail, frame, access) : load_tile(*view.detail, frame, access);
    account(*view.detail, *view.tick, frame, access);
  }
  for (const ChainReduction& reduction : chain.reductions) {
    frame.fault = reduction.instruction;
    run_reduction(reduction, frame);
    frame.pe->board.issue(*reduction.tick);
  }
  frame.fault = op->instruction;
}

// Values that the account depends on are computed in their slots; a load of them is as timed_dma's.
void time_member(const Chain& chain, const Chain::Member& member, Frame& frame) {
  if (member.view != UINT32_MAX) {
    const ChainView& view = chain.views[member.view];
    return time_transfer(*view.detail, *view.tick, frame);
  }
  if (frame.program->needs[member.instruction] != 0)
    run_plan(chain.in_place, member.step, member.step + 1, frame, nullptr);
  frame.pe->board.issue(*member.tick);
}

}  // namespace

const Op* timed_chain(const Op* op, Frame& frame) {
  const Chain& chain = *static_cast<const Chain*>(op->detail);
  for (const Chain::Member& member : chain.members) {
    frame.fault = member.instruction;
    time_member(chain, member, frame);
  }
  for (const ChainReduction& reduction : chain.reductions) {
    frame.fault = reduction.instruction;
    if (frame.program->needs[reduction.instruction] != 0) run_reduction(reduction, frame);
    frame.pe->board.issue(*reduction.tick);
  }
  frame.fault = UINT32_MAX;
  return op + 1;
}

bool LoadedProgram::is_chain(const Op& op) const { return op.run == run_chain; }

const Op* run_chain(const Op* op, Frame& frame) {
  const Chain& chain = *static_cast<const Chain*>(op->detail);
  if (chain.direct.loop != nullptr) return run_directly(op, chain, frame);
  // Made for the views in use alone: clearing room for all takes longer than a short chain.
  alignas(RunView) std::byte room[max_views * sizeof(RunView)];
  auto* views = reinterpret_cast<RunView*>(room);
  std::uninitialized_value_construct_n(views, chain.views.size());
  const ChainPlan* plan = &chain.merged;
  bool whole = true;
  for (size_t v = 0; v < chain.views.size() && whole; ++v) {
    const ChainView& view = chain.views[v];
    RunView& run = views[v];
    frame.fault = view.instruction;
    resolve(*view.detail, frame, run.access);
    run.data = run.access.host;
    whole = run.access.full && !run.access.wraps && run.access.elements != 0 && run.data != nullptr &&
            run.access.address % view.detail->size == 0;
    if (!whole) break;
    if (plan == &chain.merged && !fits_plan(chain.merged, *view.detail, run)) plan = &chain.rows;
    if (plan == &chain.rows && !fits_plan(chain.rows, *view.detail, run)) whole = false;
  }
  if (whole && plan == &chain.rows) {
    for (size_t v = 0; v < chain.views.size() && whole; ++v)
      whole = fits_plan(chain.rows, *chain.views[v].detail, views[v]);
  }
  if (!whole || !in_order(chain, views)) {
    run_in_order(chain, frame, op);
    frame.fault = UINT32_MAX;
    return op + 1;
  }
  frame.fault = UINT32_MAX;
  const bool one_loop = plan->steps.size() == 1 && plan->steps[0].fused != nullptr && plan->strip >= plan->inner;
  if (one_loop) {
    run_rows(chain, *plan, frame, views);
  } else {
    run_plan(*plan, 0, plan->steps.size(), frame, views);
  }
  if (!one_loop || plan->steps[0].reductions == 0) {
    for (const ChainReduction& reduction : chain.reductions) run_reduction(reduction, frame);
  }
  for (const Chain::Member& member : chain.members) {
    if (member.view == UINT32_MAX) {
      frame.pe->board.issue(*member.tick);
    } else {
      const ChainView& view = chain.views[member.view];
      account(*view.detail, *view.tick, frame, views[member.view].access);
    }
  }
  for (const ChainReduction& reduction : chain.reductions) frame.pe->board.issue(*reduction.tick);
  return op + 1;
}

}  // namespace mtia::emulator
