// Execution of chains.
#include <algorithm>
#include <cstring>
#include <memory>

#include "emulator/pe/vector_core/chain.h"

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
          std::byte* pointers[host_math::max_fused_pointers];
          std::byte** pointer = pointers;
          for (const ChainOperand& operand : step.pointers) *pointer++ = next(operand);
          step.fused->run(pointers, width);
          continue;
        }
        const std::byte* sources[3] = {};
        for (uint32_t o = 0; o < step.count; ++o) sources[o] = next(step.operands[o]);
        run_step(step, next(step.d), sources, column, width);
      }
    }
    uint32_t d = plan.outer_rank;
    for (;;) {
      if (d == 0) return;
      --d;
      if (++index[d] < plan.outer[d]) break;
      index[d] = 0;
    }
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
  frame.fault = op->instruction;
}

}  // namespace

const Op* run_chain(const Op* op, Frame& frame) {
  const Chain& chain = *static_cast<const Chain*>(op->detail);
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
  run_plan(*plan, 0, plan->steps.size(), frame, views);
  for (const Chain::Member& member : chain.members) {
    if (member.view == UINT32_MAX) {
      frame.pe->board.issue(*member.tick);
    } else {
      const ChainView& view = chain.views[member.view];
      account(*view.detail, *view.tick, frame, views[member.view].access);
    }
  }
  return op + 1;
}

}  // namespace mtia::emulator
