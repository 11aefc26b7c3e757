// The verifier: one pass for structure, one rule a form.
#include "program/verify.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "program/type_rules.h"

namespace mtia {
namespace {

struct Arity {
  size_t least = 0;
  size_t most = 0;
};

// Counts of a comma list of names: "?" may be absent (still in place unless it ends the list), "*" repeats.
Arity arity_of(std::string_view list) {
  Arity arity;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view name = list.substr(0, comma);
    if (name.back() == '*') {
      arity.most = SIZE_MAX;
    } else {
      ++arity.most;
      if (name.back() != '?') arity.least = arity.most;
    }
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return arity;
}

bool may_be_absent(std::string_view list, size_t index) {
  for (size_t i = 0; !list.empty(); ++i) {
    const size_t comma = list.find(',');
    const std::string_view name = list.substr(0, comma);
    if (i == index || name.back() == '*') return name.back() == '?' || name.back() == '*';
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return false;
}

class Verifier {
 public:
  explicit Verifier(const TileProgram& program) : program_(program) {}

  void run() {
    check_slots();
    check_values();
    defined_values_.assign(program_.values.size(), false);
    defined_slots_.assign(program_.slots.size(), false);
    for (size_t i = 0; i < program_.values.size(); ++i)
      defined_values_[i] = program_.values[i].kind == ValueKind::constant;
    for (const Argument& argument : program_.arguments) {
      if (argument.value >= program_.values.size() || program_.values[argument.value].kind != ValueKind::scalar) {
        refuse_program(concat("argument ", argument.name, " does not name a scalar"));
      }
      if (defined_values_[argument.value])
        refuse_program(concat("argument ", argument.name, " shares its register with another"));
      defined_values_[argument.value] = true;
    }
    arguments_ = defined_values_;
    for (const Instruction& instruction : program_.instructions) {
      current_ = &instruction;
      check_signature();
      check_types(program_, instruction);
      check_structure();
      for (const uint32_t id : instruction.results) {
        if (id == absent) continue;
        defined_values_[id] = true;
        if (value(id).is_tile()) defined_slots_[value(id).slot] = true;
      }
    }
    current_ = nullptr;
    if (!open_.empty()) refuse_program(concat(open_.size(), " blocks are not ended"));
    check_names();
  }

 private:
  struct Block {
    Opcode opcode;
    bool tested = false;  // while: its while_test was seen
    bool has_else = false;
  };

  [[noreturn]] void refuse_program(const std::string& problem) const {
    throw InvalidProgram(problem, concat("tile program ", program_.name),
                         "compile the kernel again; a program that the compiler made is a defect to report");
  }
  [[noreturn]] void refuse(const std::string& problem) const { refuse_instruction(program_, *current_, problem); }
  void require(bool holds, const char* problem) const {
    if (!holds) refuse(problem);
  }
  const Value& value(uint32_t id) const { return program_.values[id]; }

  void check_names() {
    uint32_t last = 0;
    for (const ValueName& name : program_.names) {
      if (name.instruction >= program_.instructions.size() || name.instruction < last)
        refuse_program(concat("a name belongs to instruction ", name.instruction, " of ", program_.instructions.size(),
                              ", after one of instruction ", last));
      if (name.value >= program_.values.size() || name.name >= program_.strings.size())
        refuse_program(
            concat("a name of instruction ", name.instruction, " is string ", name.name, " of value ", name.value));
      last = name.instruction;
    }
  }

  void check_slots() const {
    if (program_.slots.size() > 65535) refuse_program("more than 65535 slots");
    if (program_.instructions.size() > (size_t{1} << 24)) refuse_program("more than 2^24 instructions");
    for (size_t i = 0; i < program_.slots.size(); ++i) {
      const Slot& slot = program_.slots[i];
      if (slot.buffers == 0 || slot.buffers > 64)
        refuse_program(concat("slot ", i, " has ", slot.buffers, " buffers, allowed are 1 to 64"));
      if (slot.offset % 16 != 0)
        refuse_program(concat("slot ", i, " at offset ", slot.offset, " is not aligned to 16 bytes"));
      const uint64_t end = uint64_t{slot.offset} + uint64_t{slot.bytes} * slot.buffers;
      if (end > program_.local_memory_bytes) {
        refuse_program(concat("slot ", i, " ends at ", end, ", the program declares ", program_.local_memory_bytes,
                              " bytes of local memory"));
      }
    }
  }

  void check_values() const {
    for (size_t i = 0; i < program_.values.size(); ++i) {
      const Value& v = program_.values[i];
      if (!v.is_tile()) {
        if (v.rank != 0) refuse_program(concat("scalar ", i, " has rank ", unsigned{v.rank}));
        continue;
      }
      if (v.rank == 0) refuse_program(concat("tile ", i, " has rank 0"));
      if (v.slot >= program_.slots.size())
        refuse_program(concat("tile ", i, " lies on slot ", v.slot, ", which does not exist"));
      unsigned __int128 bytes = size_of(v.dtype);
      for (size_t d = 0; d < v.rank; ++d) bytes *= v.dims[d];
      if (bytes == 0) refuse_program(concat("tile ", i, " is empty"));
      if (bytes > program_.slots[v.slot].bytes) {
        refuse_program(
            concat("tile ", i, " needs more than the ", program_.slots[v.slot].bytes, " bytes of slot ", v.slot));
      }
    }
  }

  void check_count(std::string_view list, size_t count, const char* what) const {
    const Arity arity = arity_of(list);
    if (count < arity.least || count > arity.most)
      refuse(concat(count, " ", what, " where the signature is (", list, ")"));
  }

  void check_signature() const {
    const OpcodeInfo& info = info_of(current_->opcode);
    check_count(info.results, current_->results.size(), "results");
    check_count(info.operands, current_->operands.size(), "operands");
    check_count(info.attributes, current_->attributes.size(), "attributes");
    for (size_t i = 0; i < current_->operands.size(); ++i) {
      const uint32_t id = current_->operands[i];
      if (id == absent) {
        if (!may_be_absent(info.operands, i)) refuse(concat("operand ", i, " is absent"));
        continue;
      }
      if (id >= program_.values.size()) refuse(concat("operand ", i, " is value ", id, ", which does not exist"));
      if (value(id).is_tile() ? !defined_slots_[value(id).slot] : !defined_values_[id])
        refuse(concat("operand ", i, " is read before it is written"));
    }
    for (size_t i = 0; i < current_->results.size(); ++i) {
      const uint32_t id = current_->results[i];
      if (id == absent) {
        if (!may_be_absent(info.results, i) && current_->opcode != Opcode::philox)
          refuse(concat("result ", i, " is absent"));
        continue;
      }
      if (id >= program_.values.size()) refuse(concat("result ", i, " is value ", id, ", which does not exist"));
      if (value(id).kind == ValueKind::constant) refuse(concat("result ", i, " is a constant"));
      if (!value(id).is_tile() && arguments_[id]) refuse(concat("result ", i, " is an argument"));
    }
  }

  void check_structure() {
    switch (current_->opcode) {
      case Opcode::for_begin:
      case Opcode::while_begin:
      case Opcode::if_begin:
        if (open_.size() >= 64) refuse("blocks are nested deeper than 64");
        open_.push_back({current_->opcode});
        return;
      case Opcode::while_test:
        require(!open_.empty() && open_.back().opcode == Opcode::while_begin && !open_.back().tested,
                "while_test without its while_begin");
        open_.back().tested = true;
        return;
      case Opcode::else_begin:
        require(!open_.empty() && open_.back().opcode == Opcode::if_begin && !open_.back().has_else,
                "else_begin without its if_begin");
        open_.back().has_else = true;
        return;
      case Opcode::end:
        require(!open_.empty(), "end without a block");
        require(open_.back().opcode != Opcode::while_begin || open_.back().tested, "a while without a while_test");
        open_.pop_back();
        return;
      default:
        return;
    }
  }

  const TileProgram& program_;
  const Instruction* current_ = nullptr;
  std::vector<bool> defined_values_;
  std::vector<bool> defined_slots_;
  std::vector<bool> arguments_;  // and constants
  std::vector<Block> open_;
};

}  // namespace

void verify(const TileProgram& program) { Verifier(program).run(); }

}  // namespace mtia
