// Fusion: runs of a chain's steps become one loop of host code whose intermediates stay in registers. A host shortcut:
// results and accounts are those of the steps.
#include <map>
#include <optional>
#include <tuple>

#include "emulator/pe/vector_core/chain.h"

namespace mtia::emulator {
namespace {

using host_math::FusedInstruction;
using host_math::FusedOp;

struct Translation {
  FusedOp op = FusedOp::copy;
  uint8_t predicate = 0;
};

std::optional<FusedOp> float_operation(Opcode opcode) {
  static const std::map<Opcode, FusedOp> table{{Opcode::add_f, FusedOp::add_f},
                                               {Opcode::sub_f, FusedOp::sub_f},
                                               {Opcode::mul_f, FusedOp::mul_f},
                                               {Opcode::div_f, FusedOp::div_f},
                                               {Opcode::max_f, FusedOp::max_f},
                                               {Opcode::min_f, FusedOp::min_f},
                                               {Opcode::maximum_f, FusedOp::maximum_f},
                                               {Opcode::minimum_f, FusedOp::minimum_f},
                                               {Opcode::fma_f, FusedOp::fma_f},
                                               {Opcode::neg_f, FusedOp::neg_f},
                                               {Opcode::abs_f, FusedOp::abs_f},
                                               {Opcode::sqrt, FusedOp::sqrt},
                                               {Opcode::rsqrt, FusedOp::rsqrt},
                                               {Opcode::reciprocal, FusedOp::reciprocal},
                                               {Opcode::exp, FusedOp::exp},
                                               {Opcode::exp2, FusedOp::exp2},
                                               {Opcode::sigmoid, FusedOp::sigmoid},
                                               {Opcode::compare_f, FusedOp::compare_f}};
  const auto found = table.find(opcode);
  return found == table.end() ? std::nullopt : std::optional(found->second);
}

std::optional<FusedOp> integer_operation(Opcode opcode) {
  static const std::map<Opcode, FusedOp> table{
      {Opcode::add_i, FusedOp::add_i}, {Opcode::sub_i, FusedOp::sub_i}, {Opcode::mul_i, FusedOp::mul_i},
      {Opcode::max_s, FusedOp::max_s}, {Opcode::min_s, FusedOp::min_s}, {Opcode::and_i, FusedOp::and_i},
      {Opcode::or_i, FusedOp::or_i},   {Opcode::xor_i, FusedOp::xor_i}, {Opcode::compare_i, FusedOp::compare_i}};
  const auto found = table.find(opcode);
  return found == table.end() ? std::nullopt : std::optional(found->second);
}

std::optional<FusedOp> conversion(const ChainStep& step) {
  if (step.opcode == Opcode::convert_f && step.attribute == 0) {
    if (step.dtype == DType::F32 && step.source == DType::BF16) return FusedOp::bf16_to_f32;
    if (step.dtype == DType::F32 && step.source == DType::F16) return FusedOp::f16_to_f32;
    if (step.dtype == DType::BF16 && step.source == DType::F32) return FusedOp::f32_to_bf16;
    if (step.dtype == DType::F16 && step.source == DType::F32) return FusedOp::f32_to_f16;
  }
  if (step.opcode == Opcode::convert_s_to_f && step.dtype == DType::F32 && step.source == DType::I32)
    return FusedOp::s32_to_f32;
  return std::nullopt;
}

bool is_logical(Opcode opcode) { return opcode == Opcode::and_i || opcode == Opcode::or_i || opcode == Opcode::xor_i; }

std::optional<Translation> translate(const ChainStep& step) {
  if (step.d.size > 4) return std::nullopt;
  if (step.loop.kind == ElementLoop::Kind::move) return Translation{};
  std::optional<FusedOp> op = conversion(step);
  if (op) return Translation{*op};
  if (step.opcode == Opcode::select) return Translation{FusedOp::select};
  if (step.source == DType::F32) op = float_operation(step.opcode);
  if (step.source == DType::I32 || (step.source == DType::I1 && is_logical(step.opcode)))
    op = integer_operation(step.opcode);
  if (!op) return std::nullopt;
  return Translation{*op, static_cast<uint8_t>(step.attribute)};
}

// Steps [first, last) as instructions over values.
class Segment {
 public:
  Segment(const Chain& chain, const ChainPlan& plan) : chain_(chain), plan_(plan) {}

  std::vector<FusedInstruction> instructions;
  std::vector<ChainOperand> pointers;

  // False where the loop would need too much.
  bool build(size_t first, size_t last) {
    for (size_t s = first; s < last; ++s) {
      const ChainStep& step = plan_.steps[s];
      const std::optional<Translation> translation = translate(step);
      FusedInstruction item;
      item.op = translation->op;
      item.predicate = translation->predicate;
      item.bytes = step.d.size;
      uint16_t* const values[] = {&item.a, &item.b, &item.c};
      for (uint32_t o = 0; o < step.count; ++o) {
        const std::optional<uint16_t> value = read(step.operands[o]);
        if (!value) return false;
        *values[o] = *value;
      }
      item.d = next_++;
      instructions.push_back(item);
      current_[key_of(step.d)] = {item.d, step.d.size};
      if (step.d.kind != ChainOperand::Kind::strip || is_read_behind(step.d, s, last)) write(step.d, item.d);
    }
    return pointers.size() <= host_math::max_fused_pointers;
  }

  // Adds the lanes of a reduction of what the steps computed or read; false where they did neither.
  bool reduce(const ChainReduction& reduction) {
    const auto found = current_.find(Key{ChainOperand::Kind::memory, 0, reduction.from.offset, false});
    if (found == current_.end() || found->second.size != sizeof(float)) return false;
    FusedInstruction item;
    item.op = reduction.op == host_math::ReduceOp::sum_f ? FusedOp::sum_lanes : FusedOp::max_lanes;
    item.a = found->second.value;
    item.pointer = static_cast<uint16_t>(pointers.size() + reductions_++);
    instructions.push_back(item);
    return item.pointer < host_math::max_fused_pointers;
  }

 private:
  using Key = std::tuple<ChainOperand::Kind, int, uint64_t, bool>;
  struct Content {
    uint16_t value;
    uint8_t size;
  };

  static Key key_of(const ChainOperand& operand) {
    if (operand.kind == ChainOperand::Kind::view) return {operand.kind, 0, operand.view, false};
    return {operand.kind, static_cast<int>(operand.place.base), operand.place.offset, operand.single};
  }

  std::optional<uint16_t> read(const ChainOperand& operand) {
    // Bytes of a device tensor of I1 may be other than 0 and 1.
    if (operand.kind == ChainOperand::Kind::view && chain_.views[operand.view].detail->dtype == DType::I1)
      return std::nullopt;
    if (operand.size > 4) return std::nullopt;
    const Key key = key_of(operand);
    if (const auto found = current_.find(key); found != current_.end()) {
      if (found->second.size != operand.size) return std::nullopt;
      return found->second.value;
    }
    FusedInstruction item;
    item.op = operand.single ? FusedOp::single : FusedOp::load;
    item.bytes = operand.size;
    item.streams = operand.kind == ChainOperand::Kind::view;
    item.fixed = operand.single && (plan_.outer_rank == 0 || operand.outer[plan_.outer_rank - 1] == 0);
    item.d = next_++;
    item.pointer = add(operand);
    instructions.push_back(item);
    current_[key] = {item.d, operand.size};
    return item.d;
  }

  void write(const ChainOperand& operand, uint16_t value) {
    FusedInstruction item;
    item.op = FusedOp::store;
    item.bytes = operand.size;
    item.a = value;
    item.pointer = add(operand);
    instructions.push_back(item);
  }

  uint16_t add(const ChainOperand& operand) {
    pointers.push_back(operand);
    return static_cast<uint16_t>(pointers.size() - 1);
  }

  // Whether what step `writer` leaves in a strip is read at or behind `last`.
  bool is_read_behind(const ChainOperand& strip, size_t writer, size_t last) const {
    for (size_t s = writer + 1; s < plan_.steps.size(); ++s) {
      const ChainStep& step = plan_.steps[s];
      for (uint32_t o = 0; o < step.count; ++o) {
        if (s >= last && key_of(step.operands[o]) == key_of(strip)) return true;
      }
      if (key_of(step.d) == key_of(strip)) return false;
    }
    return false;
  }

  const Chain& chain_;
  const ChainPlan& plan_;
  std::map<Key, Content> current_;
  uint16_t next_ = 0;
  size_t reductions_ = 0;
};

// Which of a lone step's pointers is the factor of rows that it multiplies in place.
size_t factor_of_rows(const ChainPlan& plan) {
  const ChainStep& step = plan.steps[0];
  if (plan.steps.size() != 1 || plan.outer_rank == 0 || step.opcode != Opcode::mul_f || step.dtype != DType::F32)
    return SIZE_MAX;
  for (const size_t o : {size_t{0}, size_t{1}}) {
    const ChainOperand& factor = step.operands[o];
    const ChainOperand& rows = step.operands[1 - o];
    const auto is_memory = [](const ChainOperand& operand) {
      return operand.kind == ChainOperand::Kind::memory && operand.place.base == 0;
    };
    if (is_memory(factor) && factor.single && is_memory(rows) && !rows.single && is_memory(step.d) &&
        rows.place.offset == step.d.place.offset && rows.outer == step.d.outer)
      return o;
  }
  return SIZE_MAX;
}

// All steps and reductions as one loop.
bool fuse_whole(Chain& chain, ChainPlan& plan) {
  if (plan.steps.size() > 1 || plan.outer_rank != 0 || !chain.reductions.empty()) {
    for (const ChainStep& step : plan.steps) {
      if (!translate(step)) return false;
    }
    Segment segment(chain, plan);
    if (!segment.build(0, plan.steps.size())) return false;
    for (const ChainReduction& reduction : chain.reductions) {
      if (!segment.reduce(reduction)) return false;
    }
    auto loop = host_math::make_fused_loop(segment.instructions);
    if (loop == nullptr) return false;
    ChainStep step;
    step.fused = loop.get();
    step.pointers = std::move(segment.pointers);
    step.reductions = chain.reductions.size();
    if (step.reductions == 0) step.factor = factor_of_rows(plan);
    chain.loops.push_back(std::move(loop));
    plan.steps.clear();
    plan.steps.push_back(std::move(step));
    plan.strip = std::max<uint64_t>(plan.inner, 1);
    return true;
  }
  return false;
}

}  // namespace

void fuse_steps(Chain& chain, ChainPlan& plan) {
  if (!host_math::has_fused_loops() || fuse_whole(chain, plan)) return;
  std::vector<ChainStep> steps;
  bool strips = false;
  for (size_t first = 0; first < plan.steps.size();) {
    size_t last = first;
    while (last < plan.steps.size() && translate(plan.steps[last])) ++last;
    // A single step is as fast in its own loop.
    std::unique_ptr<const host_math::FusedLoop> loop;
    for (; last > first + 1 && loop == nullptr; last = loop != nullptr ? last : first + (last - first) / 2) {
      Segment segment(chain, plan);
      if (!segment.build(first, last)) continue;
      loop = host_math::make_fused_loop(segment.instructions);
      if (loop == nullptr) continue;
      ChainStep step;
      step.fused = loop.get();
      step.pointers = std::move(segment.pointers);
      for (const ChainOperand& operand : step.pointers) strips = strips || operand.kind == ChainOperand::Kind::strip;
      steps.push_back(std::move(step));
    }
    if (loop == nullptr) {
      steps.push_back(plan.steps[first]);
      strips = true;
      ++first;
      continue;
    }
    chain.loops.push_back(std::move(loop));
    first = last;
  }
  plan.steps = std::move(steps);
  if (!strips) plan.strip = std::max<uint64_t>(plan.inner, 1);
}

void make_direct(Chain& chain) {
  const ChainPlan& plan = chain.merged;
  if (!chain.views.empty() || plan.outer_rank > 1 || plan.steps.size() != 1) return;
  const ChainStep& step = plan.steps[0];
  if (step.fused == nullptr || step.pointers.size() > DirectLoop::max_pointers || plan.strip < plan.inner ||
      step.reductions != chain.reductions.size())
    return;
  DirectLoop& direct = chain.direct;
  for (const ChainOperand& operand : step.pointers) {
    if (operand.kind != ChainOperand::Kind::memory) return;
    direct.places[direct.count] = operand.place;
    direct.strides[direct.count++] = plan.outer_rank == 0 ? 0 : operand.outer[0];
  }
  direct.rows = plan.outer_rank == 0 ? 1 : plan.outer[0];
  direct.n = plan.inner;
  direct.factor = step.factor;
  direct.reductions = static_cast<uint32_t>(step.reductions);
  for (const Chain::Member& member : chain.members) direct.ticks.push_back(member.tick);
  for (const ChainReduction& reduction : chain.reductions) direct.ticks.push_back(reduction.tick);
  direct.loop = step.fused;
}

}  // namespace mtia::emulator
