// Finds chains in straight-line code and plans them.
#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/vector_core/chain.h"

namespace mtia::emulator {
namespace {

constexpr uint64_t strip_budget_bytes = 16384;  // of intermediates: half of a 32 KiB first-level cache

bool is_compute(const Decoder& decoder, const Instruction& instruction) {
  const Form form = info_of(instruction.opcode).form;
  return (is_elementwise(form) || form == Form::iota) && decoder.is_tile(instruction.results[0]);
}

// The tile that gives a member its shape, or absent where the instruction cannot be one.
uint32_t shape_value(const Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  if (is_compute(decoder, instruction)) return instruction.results[0];
  if (instruction.opcode == Opcode::dma_load) {
    const bool fits =
        decoder.is_tile(instruction.results[0]) && !decoder.is_tile(instruction.operands[2]) && !decoder.is_lazy(index);
    return fits ? instruction.results[0] : absent;
  }
  if (instruction.opcode == Opcode::dma_store) {
    const bool fits = decoder.is_tile(instruction.operands[1]) && !decoder.is_tile(instruction.operands[2]);
    return fits ? instruction.operands[1] : absent;
  }
  return absent;
}

bool is_scalar_work(const Decoder& decoder, const Instruction& instruction) {
  const Form form = info_of(instruction.opcode).form;
  if (form == Form::program_id) return true;
  return is_elementwise(form) && !decoder.is_tile(instruction.results[0]);
}

bool same_shape(const Value& a, const Value& b) { return a.rank == b.rank && a.dims == b.dims; }

class Finder {
 public:
  explicit Finder(const Decoder& decoder) : decoder_(decoder) {}

  std::vector<uint32_t> members;
  std::vector<uint32_t> hoisted;

  // Collects from `index` on; false where no chain starts there.
  bool collect(uint32_t index) {
    const uint32_t first = shape_value(decoder_, index);
    if (first == absent) return false;
    shape_ = decoder_.value(first);
    const auto& instructions = decoder_.program.instructions;
    // Only the largest shape ahead gathers others' work in front of itself.
    bool largest = true;
    for (size_t j = index; j < instructions.size(); ++j) {
      const uint32_t value = shape_value(decoder_, static_cast<uint32_t>(j));
      if (value == absent && !is_scalar_work(decoder_, instructions[j])) break;
      if (value != absent && decoder_.value(value).elements() > shape_.elements()) largest = false;
    }
    for (size_t j = index; j < instructions.size(); ++j) {
      const auto at = static_cast<uint32_t>(j);
      const uint32_t value = shape_value(decoder_, at);
      if (value != absent && same_shape(decoder_.value(value), shape_)) {
        if (!join(at)) break;
        continue;
      }
      const bool movable = is_scalar_work(decoder_, instructions[j]) ||
                           (largest && value != absent && instructions[j].opcode != Opcode::dma_store &&
                            !(instructions[j].opcode == Opcode::dma_load && stores_ != 0)) ||
                           (largest && instructions[j].opcode == Opcode::dma_load && stores_ == 0);
      if (!movable || !independent(instructions[j])) break;
      hoisted.push_back(at);
    }
    // A load nobody in the chain reads is better off alone.
    while (!members.empty() && instructions[members.back()].opcode == Opcode::dma_load) members.pop_back();
    if (members.empty()) return false;
    while (!hoisted.empty() && hoisted.back() > members.back()) hoisted.pop_back();
    return members.size() > 1 || is_compute(decoder_, instructions[members[0]]);
  }

  // Collects from the front of a list of instructions that follow each other, the first of which computes; returns how
  // many.
  size_t collect_listed(std::span<const uint32_t> listed) {
    shape_ = decoder_.value(shape_value(decoder_, listed[0]));
    for (const uint32_t index : listed) {
      const Instruction& instruction = decoder_.program.instructions[index];
      if (!is_compute(decoder_, instruction)) break;
      if (!same_shape(decoder_.value(instruction.results[0]), shape_) || !join(index)) break;
    }
    if (members.empty()) members.push_back(listed[0]);
    return members.size();
  }

  // The instructions right behind the members that reduce rows of what these computed.
  std::vector<uint32_t> reductions() const {
    std::vector<uint32_t> found;
    if (!host_math::has_fused_loops()) return found;
    const auto& instructions = decoder_.program.instructions;
    for (size_t i = members.back() + 1U; i < instructions.size() && found.size() < max_chain_reductions; ++i) {
      if (!reduces_rows(instructions[i])) break;
      found.push_back(static_cast<uint32_t>(i));
    }
    return found;
  }

 private:
  bool reduces_rows(const Instruction& instruction) const {
    if (instruction.opcode != Opcode::reduce) return false;
    const auto kind = static_cast<host_math::ReduceOp>(instruction.attributes[0]);
    if (kind != host_math::ReduceOp::sum_f && kind != host_math::ReduceOp::max_f) return false;
    const Value& from = decoder_.value(instruction.operands[0]);
    if (from.dtype != DType::F32 || !same_shape(from, shape_)) return false;
    if (instruction.attributes[1] + 1 != from.rank || from.dims[from.rank - 1U] == 1) return false;
    const auto written = written_.find(from.slot);
    if (written == written_.end() || written->second != sizeof(float)) return false;
    // Results are written while later rows are still read.
    const uint32_t d = instruction.results[0];
    if (!decoder_.is_tile(d)) return true;
    const uint32_t slot = decoder_.value(d).slot;
    return !overlaps_written(slot) && std::none_of(reads_.begin(), reads_.end(), [&](const Range& range) {
      return decoder_.slots_overlap(range.slot, slot);
    });
  }

  struct Range {
    uint32_t slot;
    uint8_t size;
    bool whole;  // read element by element along the chain's shape
  };

  bool join(uint32_t index) {
    if (members.size() >= max_chain_steps / 2) return false;
    const Instruction& instruction = decoder_.program.instructions[index];
    const bool compute = is_compute(decoder_, instruction);
    if (!compute && ++views_ > max_views) return false;
    std::vector<Range> reads;
    for (size_t o = 0; o < instruction.operands.size(); ++o) {
      const uint32_t id = instruction.operands[o];
      if (!decoder_.is_tile(id)) continue;
      const Value& value = decoder_.value(id);
      const bool whole = same_shape(value, shape_);
      const auto written = written_.find(value.slot);
      if (written != written_.end()) {
        if (!whole || written->second != size_of(value.dtype)) return false;
        continue;
      }
      reads.push_back({value.slot, static_cast<uint8_t>(size_of(value.dtype)), whole});
    }
    if (!instruction.results.empty()) {
      const Value& d = decoder_.value(instruction.results[0]);
      const auto clobbers = [&](const Range& range) {
        if (!decoder_.slots_overlap(range.slot, d.slot)) return false;
        const bool aligned = range.whole && range.size == size_of(d.dtype) &&
                             decoder_.program.slots[range.slot].offset == decoder_.program.slots[d.slot].offset;
        return !aligned;
      };
      if (std::any_of(reads_.begin(), reads_.end(), clobbers) || std::any_of(reads.begin(), reads.end(), clobbers))
        return false;
      written_[d.slot] = size_of(d.dtype);
    }
    reads_.insert(reads_.end(), reads.begin(), reads.end());
    for (const uint32_t id : instruction.operands) {
      if (id != absent && !decoder_.is_tile(id)) scalars_.insert(id);
    }
    if (instruction.opcode == Opcode::dma_store) ++stores_;
    members.push_back(index);
    return true;
  }

  // Whether an instruction may run before all members found so far.
  bool independent(const Instruction& instruction) const {
    for (const uint32_t id : instruction.operands) {
      if (decoder_.is_tile(id) && overlaps_written(decoder_.value(id).slot)) return false;
    }
    for (const uint32_t id : instruction.results) {
      if (id == absent) continue;
      if (!decoder_.is_tile(id)) {
        if (scalars_.count(id) != 0) return false;
        continue;
      }
      const uint32_t slot = decoder_.value(id).slot;
      if (overlaps_written(slot)) return false;
      for (const Range& range : reads_) {
        if (decoder_.slots_overlap(range.slot, slot)) return false;
      }
    }
    return true;
  }

  bool overlaps_written(uint32_t slot) const {
    return std::any_of(written_.begin(), written_.end(),
                       [&](const auto& entry) { return decoder_.slots_overlap(entry.first, slot); });
  }

  const Decoder& decoder_;
  Value shape_;
  std::map<uint32_t, size_t> written_;  // slot -> element size of its contents
  std::vector<Range> reads_;
  std::set<uint32_t> scalars_;
  size_t views_ = 0;
  size_t stores_ = 0;
};

class Builder {
 public:
  Builder(Decoder& decoder, const std::vector<uint32_t>& members, bool is_hoisted = false)
      : decoder_(decoder), members_(members), is_hoisted_(is_hoisted) {}

  // `reductions`: instructions that follow the members.
  void emit(const std::vector<uint32_t>& reductions = {}) {
    chain_ = decoder_.loaded.details.make<Chain>();
    shape_ = decoder_.value(shape_value(decoder_, members_[0]));
    make_views_and_ticks();
    for (const uint32_t index : reductions) make_reduction(index);
    find_uses();
    plan_dimensions(chain_->rows, false);
    plan_dimensions(chain_->merged, true);
    plan_dimensions(chain_->in_place, true);
    make_steps();
    place_strips();
    for (ChainPlan* plan : {&chain_->rows, &chain_->merged, &chain_->in_place}) fill_strides(*plan);
    chain_->in_place.strip = chain_->in_place.inner;
    if (decoder_.loaded.needs.empty()) {  // what is not run as a whole needs no machine code
      fuse_steps(*chain_, chain_->rows);
      fuse_steps(*chain_, chain_->merged);
      make_direct(*chain_);
    }
    Op& op = decoder_.emit(run_chain, members_[0]);
    op.detail = chain_;
  }

 private:
  // What a member's result becomes.
  struct Definition {
    uint32_t member;
    uint32_t value;
    std::vector<uint32_t> uses;  // members
    bool live_out = false;
    bool is_load = false;
    uint32_t direct_store = absent;  // member: the one store that takes it
    uint32_t buffer = absent;
  };

  const Instruction& instruction(uint32_t member) const { return decoder_.program.instructions[members_[member]]; }
  bool is_load(uint32_t member) const { return instruction(member).opcode == Opcode::dma_load; }
  bool is_store(uint32_t member) const { return instruction(member).opcode == Opcode::dma_store; }

  void make_views_and_ticks() {
    for (uint32_t m = 0; m < members_.size(); ++m) {
      Chain::Member member;
      member.instruction = members_[m];
      if (is_load(m) || is_store(m)) {
        member.view = static_cast<uint32_t>(chain_->views.size());
        ChainView view;
        view.detail = make_dma_detail(decoder_, members_[m]);
        view.tick = &make_dma_tick(decoder_, members_[m]);
        view.instruction = members_[m];
        chain_->views.push_back(view);
      } else {
        Tick& tick = decoder_.make_tick(members_[m]);
        const Instruction& i = instruction(m);
        DType widest = decoder_.value(i.results[0]).dtype;
        for (const uint32_t id : i.operands) {
          if (decoder_.is_tile(id) && size_of(decoder_.value(id).dtype) > size_of(widest))
            widest = decoder_.value(id).dtype;
        }
        decoder_.costs.elementwise(tick, i.opcode, widest, shape_.elements(), decoder_.local_bytes(i));
        member.tick = &tick;
      }
      chain_->members.push_back(member);
    }
  }

  void make_reduction(uint32_t index) {
    const Instruction& i = decoder_.program.instructions[index];
    const Value& from = decoder_.value(i.operands[0]);
    ChainReduction reduction;
    reduction.op = static_cast<host_math::ReduceOp>(i.attributes[0]);
    reduction.loop = host_math::reduce_rows_loop(reduction.op, from.dtype);
    reduction.from = decoder_.place(i.operands[0]);
    if (decoder_.is_tile(i.results[0])) {
      reduction.to = decoder_.place(i.results[0]);
    } else {
      reduction.scalar = i.results[0];
    }
    reduction.length = from.dims[from.rank - 1U];
    reduction.rows = from.elements() / reduction.length;
    Tick& tick = decoder_.make_tick(index);
    decoder_.costs.reduction(tick, from.dtype, from.elements(), decoder_.local_bytes(i));
    reduction.tick = &tick;
    reduction.instruction = index;
    chain_->reductions.push_back(reduction);
    decoder_.loaded.strip_bytes =
        std::max(decoder_.loaded.strip_bytes, max_chain_reductions * rows_a_join * lanes_bytes);
  }

  void find_uses() {
    std::map<uint32_t, uint32_t> current;  // slot -> definition
    for (uint32_t m = 0; m < members_.size(); ++m) {
      for (const uint32_t id : instruction(m).operands) {
        if (!decoder_.is_tile(id)) continue;
        const auto found = current.find(decoder_.value(id).slot);
        if (found == current.end()) continue;
        std::vector<uint32_t>& uses = definitions_[found->second].uses;
        if (uses.empty() || uses.back() != m) uses.push_back(m);
        forwarded_[{m, decoder_.value(id).slot}] = found->second;
      }
      if (instruction(m).results.empty()) continue;
      const uint32_t value = instruction(m).results[0];
      Definition definition;
      definition.member = m;
      definition.value = value;
      definition.is_load = is_load(m);
      current[decoder_.value(value).slot] = static_cast<uint32_t>(definitions_.size());
      definitions_.push_back(definition);
    }
    for (const auto& [slot, number] : current) {
      // What others than the members read, who run behind all of them: of hoisted ones also between two in the program.
      const uint32_t last = is_hoisted_ ? members_[definitions_[number].member] : members_.back();
      definitions_[number].live_out = decoder_.live_after(last, slot);
    }
    for (Definition& definition : definitions_) {
      if (definition.is_load || definition.live_out || definition.uses.size() != 1 || !is_store(definition.uses[0]))
        continue;
      definition.direct_store = definition.uses[0];
    }
  }

  void plan_dimensions(ChainPlan& plan, bool merge) {
    std::vector<std::array<uint8_t, 2>> groups;
    for (uint8_t d = 0; d < shape_.rank; ++d) {
      if (shape_.dims[d] == 1) continue;
      if (merge && !groups.empty() && mergeable(groups.back()[1], d)) {
        groups.back()[1] = d;
      } else {
        groups.push_back({d, d});
      }
    }
    if (groups.empty()) groups.push_back({0, 0});
    plan.outer_rank = static_cast<uint32_t>(groups.size() - 1);
    for (size_t g = 0; g < groups.size(); ++g) {
      plan.dimensions[g] = groups[g];
      uint64_t extent = 1;
      for (size_t d = groups[g][0]; d <= groups[g][1] && d < shape_.rank; ++d) extent *= shape_.dims[d];
      if (g + 1 == groups.size()) {
        plan.inner = extent;
      } else {
        plan.outer[g] = static_cast<uint32_t>(extent);
      }
    }
  }

  // Whether every tile operand is dense, or broadcast, across both dimensions; a reduction needs its rows.
  bool mergeable(size_t a, size_t b) const {
    if (!chain_->reductions.empty() && b + 1U == shape_.rank) return false;
    for (uint32_t m = 0; m < members_.size(); ++m) {
      for (const uint32_t id : instruction(m).operands) {
        if (!decoder_.is_tile(id)) continue;
        const Value& value = decoder_.value(id);
        if ((value.dims[a] == 1) != (value.dims[b] == 1)) return false;
      }
    }
    return true;
  }

  ChainOperand memory_operand(uint32_t id) const {
    ChainOperand operand;
    operand.kind = ChainOperand::Kind::memory;
    operand.place = decoder_.place(id);
    operand.size = static_cast<uint8_t>(size_of(decoder_.value(id).dtype));
    operand.view = id;  // fill_strides reads the value's shape
    return operand;
  }

  ChainOperand view_operand(uint32_t member) const {
    ChainOperand operand;
    operand.kind = ChainOperand::Kind::view;
    operand.view = chain_->members[member].view;
    operand.size = static_cast<uint8_t>(chain_->views[operand.view].detail->size);
    return operand;
  }

  ChainOperand source(uint32_t member, uint32_t id) const {
    if (decoder_.is_tile(id)) {
      const auto found = forwarded_.find({member, decoder_.value(id).slot});
      if (found != forwarded_.end()) {
        const Definition& definition = definitions_[found->second];
        if (definition.is_load) return view_operand(definition.member);
        if (!definition.live_out) {
          ChainOperand operand;
          operand.kind = ChainOperand::Kind::strip;
          operand.place.offset = definition.buffer;  // a buffer's number until place_strips
          operand.size = static_cast<uint8_t>(size_of(decoder_.value(id).dtype));
          return operand;
        }
      }
    }
    return memory_operand(id);
  }

  ChainStep compute_step(uint32_t member) const {
    const Instruction& i = instruction(member);
    ChainStep step;
    step.loop = element_loop(decoder_.program, i);
    step.count = static_cast<uint32_t>(i.operands.size());
    step.dtype = decoder_.value(i.results[0]).dtype;
    step.opcode = i.opcode;
    step.source = i.operands.empty() ? step.dtype : decoder_.value(i.operands[0]).dtype;
    step.attribute = i.attributes.empty() ? 0 : i.attributes[0];
    if (step.loop.kind == ElementLoop::Kind::iota) step.start = i.attributes[0];
    return step;
  }

  void use_views(const ChainStep& step, uint32_t number) {
    const auto use = [&](const ChainOperand& operand) {
      if (operand.kind != ChainOperand::Kind::view) return;
      ChainView& view = chain_->views[operand.view];
      if (!seen_[operand.view]) view.first_use = number;
      seen_[operand.view] = true;
      view.last_use = number;
    };
    use(step.d);
    for (uint32_t o = 0; o < step.count; ++o) use(step.operands[o]);
  }

  void make_steps() {
    std::vector<ChainStep>& steps = chain_->merged.steps;
    seen_.assign(chain_->views.size(), false);
    const auto add = [&](const ChainStep& step) {
      use_views(step, static_cast<uint32_t>(steps.size()));
      steps.push_back(step);
    };
    const auto move = [&](const ChainOperand& to, const ChainOperand& from) {
      ChainStep step;
      step.count = 1;
      step.d = to;
      step.operands[0] = from;
      add(step);
    };
    size_t definition = 0;
    for (uint32_t m = 0; m < members_.size(); ++m) {
      const Instruction& i = instruction(m);
      if (is_store(m)) {
        const auto found = forwarded_.find({m, decoder_.value(i.operands[1]).slot});
        const bool direct = found != forwarded_.end() && definitions_[found->second].direct_store == m;
        if (!direct) move(view_operand(m), source(m, i.operands[1]));
        release(m);
        continue;
      }
      Definition& made = definitions_[definition++];
      if (made.is_load) {
        if (made.live_out) move(memory_operand(made.value), view_operand(m));
        continue;
      }
      ChainStep step = compute_step(m);
      for (uint32_t o = 0; o < step.count; ++o) step.operands[o] = source(m, i.operands[o]);
      release(m);
      if (made.live_out) {
        step.d = memory_operand(made.value);
      } else if (made.direct_store != absent) {
        step.d = view_operand(made.direct_store);
      } else {
        made.buffer = take_buffer(size_of(decoder_.value(made.value).dtype));
        step.d.kind = ChainOperand::Kind::strip;
        step.d.place.offset = made.buffer;
        step.d.size = static_cast<uint8_t>(size_of(decoder_.value(made.value).dtype));
        if (made.uses.empty()) free_buffers_[buffer_sizes_[made.buffer]].push_back(made.buffer);
      }
      add(step);
      // The same instruction on whole tiles in their slots.
      ChainStep whole = compute_step(m);
      whole.d = memory_operand(made.value);
      for (uint32_t o = 0; o < whole.count; ++o) whole.operands[o] = memory_operand(i.operands[o]);
      chain_->members[m].step = static_cast<uint32_t>(chain_->in_place.steps.size());
      chain_->in_place.steps.push_back(whole);
    }
    chain_->rows.steps = steps;
  }

  uint32_t take_buffer(size_t size) {
    std::vector<uint32_t>& free = free_buffers_[size];
    if (!free.empty()) {
      const uint32_t buffer = free.back();
      free.pop_back();
      return buffer;
    }
    buffer_sizes_.push_back(size);
    return static_cast<uint32_t>(buffer_sizes_.size() - 1);
  }

  // Buffers whose last reader is this member may be its result's.
  void release(uint32_t member) {
    for (Definition& definition : definitions_) {
      if (definition.buffer == absent || definition.uses.empty() || definition.uses.back() != member) continue;
      free_buffers_[buffer_sizes_[definition.buffer]].push_back(definition.buffer);
    }
  }

  void place_strips() {
    uint64_t bytes_each = 0;
    for (const size_t size : buffer_sizes_) bytes_each += size;
    const uint64_t strip =
        bytes_each == 0 ? 8192 : std::clamp<uint64_t>(strip_budget_bytes / bytes_each / 64 * 64, 128, 4096);
    std::vector<uint32_t> offsets;
    uint32_t offset = 0;
    for (const size_t size : buffer_sizes_) {
      offsets.push_back(offset);
      offset += static_cast<uint32_t>(strip * size);
    }
    decoder_.loaded.strip_bytes = std::max<size_t>(decoder_.loaded.strip_bytes, offset);
    for (ChainPlan* plan : {&chain_->merged, &chain_->rows}) {
      plan->strip = std::min(strip, std::max<uint64_t>(plan->inner, 1));
      for (ChainStep& step : plan->steps) {
        if (step.d.kind == ChainOperand::Kind::strip) step.d.place.offset = offsets[step.d.place.offset];
        for (ChainOperand& operand : step.operands) {
          if (operand.kind == ChainOperand::Kind::strip) operand.place.offset = offsets[operand.place.offset];
        }
      }
    }
  }

  void fill_strides(ChainPlan& plan) const {
    const auto fill = [&](ChainOperand& operand) {
      if (operand.kind != ChainOperand::Kind::memory) return;
      const Value& value = decoder_.value(operand.view);
      operand.view = 0;
      if (!value.is_tile()) {
        operand.single = true;
        return;
      }
      for (uint32_t g = 0; g <= plan.outer_rank; ++g) {
        // Dense stride of the group's last dimension that the iteration walks; 0 where the operand has one element
        // there.
        const size_t last = plan.dimensions[g][1];
        const bool broadcast = last >= value.rank || (value.dims[last] == 1 && shape_.dims[last] != 1);
        int64_t stride = operand.size;
        for (size_t d = last + 1; d < value.rank; ++d) stride *= value.dims[d];
        if (g == plan.outer_rank) {
          operand.single = broadcast;
        } else {
          operand.outer[g] = broadcast ? 0 : stride;
        }
      }
    };
    for (ChainStep& step : plan.steps) {
      fill(step.d);
      for (uint32_t o = 0; o < step.count; ++o) fill(step.operands[o]);
    }
  }

  Decoder& decoder_;
  const std::vector<uint32_t>& members_;
  const bool is_hoisted_;
  Chain* chain_ = nullptr;
  Value shape_;
  std::vector<Definition> definitions_;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> forwarded_;  // (member, slot) -> definition it reads
  std::vector<size_t> buffer_sizes_;
  std::map<size_t, std::vector<uint32_t>> free_buffers_;
  std::vector<bool> seen_;
};

}  // namespace

uint32_t decode_chain(Decoder& decoder, uint32_t index) {
  if (decoder.loaded.observer != nullptr) {
    if (!is_compute(decoder, decoder.program.instructions[index])) return index;
    const std::vector<uint32_t> alone{index};
    Builder(decoder, alone).emit();
    return index + 1;
  }
  Finder finder(decoder);
  if (!finder.collect(index)) return index;
  const std::vector<uint32_t> reductions = finder.reductions();
  for (size_t i = 0; i < finder.hoisted.size();) {
    if (!is_compute(decoder, decoder.program.instructions[finder.hoisted[i]])) {
      decoder.decode_one(finder.hoisted[i++]);
      continue;
    }
    Finder beside(decoder);
    i += beside.collect_listed(std::span(finder.hoisted).subspan(i));
    Builder(decoder, beside.members, true).emit();
  }
  Builder(decoder, finder.members).emit(reductions);
  return finder.members.back() + 1 + static_cast<uint32_t>(reductions.size());
}

}  // namespace mtia::emulator
