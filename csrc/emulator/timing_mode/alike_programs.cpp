// Scalars are registers that may be written more than once, so that what a register adds to an address is found by
// going through all its writers until nothing changes.
#include "emulator/timing_mode/alike_programs.h"

#include <algorithm>
#include <optional>
#include <set>

#include "isa/opcode.h"

namespace mtia::emulator {
namespace {

using Terms = std::vector<AddressTerm>;  // sorted; empty: the same in all programs that decide alike

bool is_access(Form form) {
  switch (form) {
    case Form::gather:
    case Form::scatter:
    case Form::gather_rows:
    case Form::scatter_rows:
    case Form::atomic_rmw:
    case Form::atomic_cas:
      return true;
    default:
      return false;
  }
}

class Analysis {
 public:
  Analysis(const TileProgram& program, const NeededValues& needed)
      : program_(program), needed_(needed), writers_(program.values.size()), top_(program.values.size(), false) {}

  AlikePrograms run() {
    AlikePrograms result;
    if (depends_on_contents()) return result;
    find_writers();
    find_varying();
    for (const Instruction& instruction : program_.instructions) need_own(instruction);
    // What moves addresses by more than a sum has to be equal, and then moves nothing: again, until all is a sum.
    while (!find_terms()) {
    }
    result.is_known = true;
    result.deciding.assign(deciding_.begin(), deciding_.end());
    for (const auto& [scalar, low, high] : bounds_) result.bounds.push_back({scalar, low, high});
    for (const auto& [start, size, extent] : wraps_) result.wraps.push_back({start, size, extent});
    result.transfers = std::move(transfers_);
    result.transfer_of = std::move(transfer_of_);
    result.makers = makers(result);
    return result;
  }

 private:
  bool is_tile(uint32_t id) const { return program_.values[id].is_tile(); }

  bool depends_on_contents() const {
    if (needed_.atomics_decide || needed_.loads_decide) return true;
    for (size_t i = 0; i < program_.instructions.size(); ++i) {
      const Form form = info_of(program_.instructions[i].opcode).form;
      const bool reads = form == Form::dma_load || form == Form::range_check;
      if (is_access(form) || (reads && needed_.instructions[i] != not_needed)) return true;
    }
    return false;
  }

  // `top_`: written once, outside of blocks, on the scalar core, from such scalars: known before a program runs.
  void find_writers() {
    std::vector<uint32_t> depth(program_.instructions.size());
    uint32_t open = 0;
    for (uint32_t i = 0; i < program_.instructions.size(); ++i) {
      const Instruction& instruction = program_.instructions[i];
      const Form form = info_of(instruction.opcode).form;
      if (form == Form::block_end) --open;
      depth[i] = open;
      const bool is_while_test = instruction.opcode == Opcode::while_test;
      if (form == Form::for_begin || form == Form::block_begin || (form == Form::test && !is_while_test)) ++open;
      for (const uint32_t id : instruction.results) {
        if (id != absent) writers_[id].push_back(i);
      }
    }
    for (uint32_t id = 0; id < top_.size(); ++id) {
      top_[id] = !is_tile(id) && writers_[id].empty();  // arguments and constants
    }
    for (uint32_t i = 0; i < program_.instructions.size(); ++i) {
      const Instruction& instruction = program_.instructions[i];
      const Form form = info_of(instruction.opcode).form;
      if (depth[i] != 0 || !(is_elementwise(form) || form == Form::program_id)) continue;
      const uint32_t d = instruction.results[0];
      if (is_tile(d) || writers_[d].size() != 1) continue;
      top_[d] = std::all_of(instruction.operands.begin(), instruction.operands.end(),
                            [this](uint32_t id) { return id != absent && top_[id]; });
    }
  }

  void find_varying() {
    varying_.assign(program_.values.size(), false);
    bool changed = true;
    while (changed) {
      changed = false;
      for (const Instruction& instruction : program_.instructions) {
        const bool varies = instruction.opcode == Opcode::program_id ||
                            std::any_of(instruction.operands.begin(), instruction.operands.end(),
                                        [this](uint32_t id) { return id != absent && (is_tile(id) || varying_[id]); });
        if (!varies) continue;
        for (const uint32_t id : instruction.results) {
          if (id == absent || varying_[id]) continue;
          varying_[id] = true;
          changed = true;
        }
      }
    }
  }

  // Equal in programs whose deciding scalars are equal.
  bool is_fixed(uint32_t id) const { return !varying_[id] || deciding_.contains(id); }

  // A value has to be equal in all programs.
  void need_equal(uint32_t id) {
    if (id == absent || !seen_.insert(id).second) return;
    if (!is_tile(id)) {
      if (!varying_[id]) return;
      if (top_[id]) {
        deciding_.insert(id);
        return;
      }
    }
    for (uint32_t i = 0; i < program_.instructions.size(); ++i) {
      const Instruction& instruction = program_.instructions[i];
      const bool writes = std::any_of(instruction.results.begin(), instruction.results.end(), [&](uint32_t result) {
        if (result == absent) return false;
        if (!is_tile(id) || !is_tile(result)) return result == id;
        return overlap(program_.values[result].slot, program_.values[id].slot);
      });
      if (!writes) continue;
      for (const uint32_t operand : instruction.operands) need_equal(operand);
    }
  }

  bool overlap(uint32_t a, uint32_t b) const {
    const Slot& x = program_.slots[a];
    const Slot& y = program_.slots[b];
    return a == b || (x.offset < y.offset + y.bytes * y.buffers && y.offset < x.offset + x.bytes * x.buffers);
  }

  // A bound of a tile's dimension: all below `low` and all above `high` are the same.
  void need_bound(uint32_t id, int64_t low, int64_t high) {
    if (id == absent || !varying_[id]) return;
    if (!top_[id]) return need_equal(id);
    bounds_.insert({id, low, high});
  }

  void need_own(const Instruction& instruction) {
    switch (info_of(instruction.opcode).form) {
      case Form::for_begin:
      case Form::test:
        for (const uint32_t id : instruction.operands) need_equal(id);
        return;
      case Form::dma_load:
      case Form::dma_store: {
        const bool store = instruction.opcode == Opcode::dma_store;
        const Value& tile = program_.values[store ? instruction.operands[1] : instruction.results[0]];
        // A mask of more than one element counts only where a box reaches beyond its tensor; then nothing is alike.
        if (const uint32_t mask = instruction.operands[2]; mask != absent && !is_tile(mask)) need_equal(mask);
        for (size_t d = 0; 3 + 5 * d < instruction.operands.size(); ++d) {
          const uint32_t* of = &instruction.operands[3 + 5 * d];
          const int64_t size = tile.dims[d];
          need_equal(of[0]);
          need_bound(of[1], 0, size);
          need_bound(of[2], 0, size);
          if (of[4] == absent) continue;
          need_equal(of[4]);
          if (of[3] == absent || !varying_[of[3]]) continue;
          if (top_[of[3]] && top_[of[4]]) {
            wraps_.insert({of[3], of[4], size});
          } else {
            need_equal(of[3]);
          }
        }
        return;
      }
      default:
        return;
    }
  }

  // Whether a factor is the same wherever in a program it is used.
  bool is_steady(uint32_t id) const { return top_[id] && is_fixed(id); }

  static Terms sum(const Terms& a, const Terms& b, int64_t sign) {
    Terms all = a;
    for (AddressTerm term : b) {
      term.scale *= sign;
      all.push_back(std::move(term));
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  static Terms times(Terms terms, uint32_t factor) {
    for (AddressTerm& term : terms) {
      term.factors.push_back(factor);
      std::sort(term.factors.begin(), term.factors.end());
    }
    return terms;
  }

  void need_equal_roots(const Terms& terms) {
    for (const AddressTerm& term : terms) need_equal(term.root);
  }

  // What moves a scalar; nullopt: not known yet.
  std::optional<Terms> terms_of(uint32_t id) const {
    if (is_fixed(id)) return Terms{};
    if (top_[id]) return Terms{{id, {}, 1}};
    return terms_[id];
  }

  // What an instruction's result moves by. Where that is no sum, its operands are asked to be equal.
  std::optional<Terms> result_of(const Instruction& instruction) {
    std::vector<Terms> operands;
    for (const uint32_t id : instruction.operands) {
      if (id == absent) continue;
      if (is_tile(id)) {
        need_equal(id);
        continue;
      }
      const std::optional<Terms> terms = terms_of(id);
      if (!terms) return std::nullopt;
      operands.push_back(*terms);
    }
    if (std::all_of(operands.begin(), operands.end(), [](const Terms& terms) { return terms.empty(); })) return Terms{};
    // A narrow sum may overflow in one program and not in another.
    const bool wide = !instruction.results.empty() && program_.values[instruction.results[0]].dtype == DType::I64;
    switch (wide ? instruction.opcode : Opcode::return_) {
      case Opcode::add_i:
        return sum(operands[0], operands[1], 1);
      case Opcode::sub_i:
        return sum(operands[0], operands[1], -1);
      case Opcode::mul_i:
        for (const size_t factor : {0, 1}) {
          if (operands[factor].empty() && is_steady(instruction.operands[factor]))
            return times(operands[1 - factor], instruction.operands[factor]);
        }
        break;
      case Opcode::copy:
      case Opcode::extend_s:
        return operands[0];
      default:
        break;
    }
    for (const Terms& terms : operands) need_equal_roots(terms);
    return Terms{};
  }

  // One attempt; false where more scalars had to become deciding ones.
  bool find_terms() {
    const size_t before = deciding_.size();
    terms_.assign(program_.values.size(), std::nullopt);
    bool changed = true;
    while (changed) {
      changed = false;
      for (uint32_t i = 0; i < program_.instructions.size(); ++i) {
        if (needed_.instructions[i] == not_needed) continue;
        const Instruction& instruction = program_.instructions[i];
        for (const uint32_t id : instruction.results) {
          if (id == absent || is_tile(id) || top_[id] || is_fixed(id)) continue;
          const std::optional<Terms> found = result_of(instruction);
          if (deciding_.size() != before) return false;
          if (!found || terms_[id] == found) continue;
          if (terms_[id]) {  // its writers disagree
            need_equal_roots(*terms_[id]);
            need_equal_roots(*found);
            return false;
          }
          terms_[id] = found;
          changed = true;
        }
      }
    }
    find_transfers();
    return deciding_.size() == before;
  }

  void find_transfers() {
    transfers_.clear();
    transfer_of_.assign(program_.instructions.size(), absent);
    for (uint32_t i = 0; i < program_.instructions.size(); ++i) {
      const Instruction& instruction = program_.instructions[i];
      const Form form = info_of(instruction.opcode).form;
      if (form != Form::dma_load && form != Form::dma_store) continue;
      const Value& tile = program_.values[form == Form::dma_store ? instruction.operands[1] : instruction.results[0]];
      Terms all = terms_of(instruction.operands[0]).value_or(Terms{});
      for (size_t d = 0; 3 + 5 * d < instruction.operands.size(); ++d) {
        const uint32_t stride = instruction.operands[3 + 5 * d];
        const uint32_t start = instruction.operands[3 + 5 * d + 3];
        if (start == absent || stride == absent) continue;
        Terms moved = terms_of(start).value_or(Terms{});
        if (moved.empty()) continue;
        if (!is_steady(stride)) {
          need_equal_roots(moved);
          continue;
        }
        for (AddressTerm& term : moved) term.scale *= static_cast<int64_t>(size_of(tile.dtype));
        all = sum(all, times(std::move(moved), stride), 1);
      }
      transfer_of_[i] = static_cast<uint32_t>(transfers_.size());
      transfers_.push_back(std::move(all));
    }
  }

  std::vector<uint32_t> makers(const AlikePrograms& of) const {
    std::set<uint32_t> found;
    std::vector<uint32_t> open;
    const auto want = [&](uint32_t id) {
      if (writers_[id].empty() || !found.insert(writers_[id][0]).second) return;
      open.push_back(writers_[id][0]);
    };
    for (const uint32_t id : of.deciding) want(id);
    for (const AlikePrograms::Bound& bound : of.bounds) want(bound.scalar);
    for (const AlikePrograms::Wrap& wrap : of.wraps) {
      want(wrap.start);
      want(wrap.size);
    }
    for (const Terms& terms : of.transfers) {
      for (const AddressTerm& term : terms) {
        want(term.root);
        for (const uint32_t factor : term.factors) want(factor);
      }
    }
    while (!open.empty()) {
      const uint32_t i = open.back();
      open.pop_back();
      for (const uint32_t id : program_.instructions[i].operands) want(id);
    }
    return {found.begin(), found.end()};
  }

  struct BoundKey {
    uint32_t scalar;
    int64_t low;
    int64_t high;
    friend auto operator<=>(const BoundKey&, const BoundKey&) = default;
  };

  struct WrapKey {
    uint32_t start;
    uint32_t size;
    int64_t extent;
    friend auto operator<=>(const WrapKey&, const WrapKey&) = default;
  };

  const TileProgram& program_;
  const NeededValues& needed_;
  std::vector<std::vector<uint32_t>> writers_;  // by value: instructions
  std::vector<bool> top_;                       // by value
  std::vector<bool> varying_;                   // by value: depends on a program's number
  std::set<uint32_t> seen_;                     // by need_equal
  std::set<uint32_t> deciding_;
  std::set<BoundKey> bounds_;
  std::set<WrapKey> wraps_;
  std::vector<std::optional<Terms>> terms_;  // by value, of those that are written in blocks or more than once
  std::vector<Terms> transfers_;
  std::vector<uint32_t> transfer_of_;
};

}  // namespace

AlikePrograms alike_programs(const TileProgram& program, const NeededValues& needed) {
  return Analysis(program, needed).run();
}

}  // namespace mtia::emulator
