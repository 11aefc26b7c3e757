// Each value that is not finite carries the number of the finding that it comes from.
#include "emulator/inspection/origin_tracker.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "isa/opcode.h"
#include "program/disassemble.h"
#include "program/tile_program.h"

namespace mtia::emulator {
namespace {

constexpr size_t most_findings = 4096;  // kept of one launch; later ones share the last's number

Dependence dependence_of(const Instruction& instruction) {
  const Form form = info_of(instruction.opcode).form;
  switch (form) {
    case Form::select:
    case Form::copy:
    case Form::bitcast:
      return {};
    case Form::reduce:
    case Form::scan:
      return {Dependence::Kind::along_axis, static_cast<uint32_t>(instruction.attributes[1])};
    case Form::dot:
    case Form::dot_scaled:
      return {Dependence::Kind::product, 0};
    default:
      return {is_elementwise(form) ? Dependence::Kind::element_wise : Dependence::Kind::moved, 0};
  }
}

// The operand that an instruction writes to memory, or `absent`.
uint32_t stored_operand(const Instruction& instruction) {
  switch (instruction.opcode) {
    case Opcode::dma_store:
      return instruction.operands[1];
    case Opcode::scatter:
    case Opcode::scatter_rows:
    case Opcode::atomic_rmw:
      return instruction.operands[2];
    case Opcode::atomic_cas:
      return instruction.operands[3];
    default:
      return absent;
  }
}

int64_t integer_at(const Step& step, uint32_t value) {
  uint64_t bits = 0;
  std::memcpy(&bits, step.data(value), sizeof(bits));
  return static_cast<int64_t>(bits);
}

// Whether a store lets an element through: inside of the descriptor's bounds, and not masked off.
bool is_stored(const Step& step, const Elements& stored, uint64_t element) {
  const Instruction& instruction = step.instruction();
  const auto index = stored.index_of(element);
  const auto operand = [&](size_t place) {
    return place < instruction.operands.size() ? instruction.operands[place] : absent;
  };
  if (instruction.opcode == Opcode::scatter_rows) {
    const uint32_t column = index[stored.rank - 1];
    if (operand(4) != absent && column < integer_at(step, operand(4))) return false;
    if (operand(5) != absent && column >= integer_at(step, operand(5))) return false;
  }
  if (instruction.opcode == Opcode::dma_store) {
    for (uint32_t d = 0; d < stored.rank; ++d) {
      const uint32_t low = operand(3 + 5 * d + 1);
      const uint32_t high = operand(3 + 5 * d + 2);
      if (low != absent && index[d] < integer_at(step, low)) return false;
      if (high != absent && index[d] >= integer_at(step, high)) return false;
    }
  }
  uint32_t mask = absent;
  if (instruction.opcode == Opcode::dma_store) mask = operand(2);
  if (instruction.opcode == Opcode::scatter || instruction.opcode == Opcode::scatter_rows ||
      instruction.opcode == Opcode::atomic_rmw)
    mask = operand(3);
  if (mask == absent) return true;
  const Value& value = step.program().values[mask];
  if (!value.is_tile()) return (integer_at(step, mask) & 1) != 0;
  uint64_t place = 0;
  for (uint32_t d = 0; d < value.rank; ++d) place = place * value.dims[d] + (value.dims[d] == 1 ? 0 : index[d]);
  return step.data(mask)[place] != std::byte{0};
}

}  // namespace

CurrentNames::CurrentNames(const TileProgram& program)
    : names_(program.values.size()), first_(program.instructions.size() + 1) {
  for (const Argument& argument : program.arguments) names_[argument.value] = argument.name;
  size_t entry = 0;
  for (uint32_t i = 0; i <= program.instructions.size(); ++i) {
    while (entry < program.names.size() && program.names[entry].instruction < i) ++entry;
    first_[i] = static_cast<uint32_t>(entry);
  }
}

void CurrentNames::advance(const TileProgram& program, uint32_t index) {
  for (const uint32_t result : program.instructions[index].results) {
    if (result != absent) names_[result].clear();
  }
  for (uint32_t entry = first_[index]; entry < first_[index + 1]; ++entry) {
    const ValueName& name = program.names[entry];
    names_[name.value] = program.strings[name.name];
  }
}

void OriginTracker::begin_launch(uint32_t pes) { pes_.assign(pes, {}); }

uint32_t& OriginTracker::origin(Pe& pe, const TileProgram& program, uint32_t value) {
  const Value& v = program.values[value];
  return v.is_tile() ? pe.of_slot[v.slot] : pe.of_value[value];
}

Elements OriginTracker::read(const Step& step, const Pe& pe, uint32_t value) const {
  const Value& v = step.program().values[value];
  Elements elements;
  elements.name = pe.names->of(value);
  elements.dtype = v.dtype;
  elements.is_scalar = !v.is_tile();
  if (v.is_tile()) {
    elements.rank = v.rank;
    std::copy(v.dims.begin(), v.dims.end(), elements.dims.begin());
  }
  const std::byte* data = step.data(value);
  elements.bytes.assign(data, data + elements.count() * size_of(v.dtype));
  elements.classify();
  return elements;
}

void OriginTracker::before(const Step& step) {
  if (finding_) return;
  Pe& pe = pes_[step.pe()];
  const TileProgram& program = step.program();
  if (pe.program != step.program_id()) {
    pe.program = step.program_id();
    pe.names.emplace(program);
    pe.of_slot.assign(program.slots.size(), none);
    pe.of_value.assign(program.values.size(), none);
  }
  pe.inputs.clear();
  pe.inherited = none;
  const Instruction& instruction = step.instruction();
  const bool makes_floats = std::any_of(instruction.results.begin(), instruction.results.end(), [&](uint32_t id) {
    return id != absent && is_float(program.values[id].dtype);
  });
  if (!makes_floats) return;
  const Form form = info_of(instruction.opcode).form;
  const bool addresses =
      form == Form::dma_load || form == Form::gather || form == Form::gather_rows || form == Form::atomic_rmw;
  for (size_t i = 0; i < instruction.operands.size(); ++i) {
    const uint32_t id = instruction.operands[i];
    if (id == absent || addresses) continue;
    if (is_float(program.values[id].dtype)) pe.inherited = std::min(pe.inherited, origin(pe, program, id));
    const bool scale = form == Form::dot_scaled && i > 2;  // a product's inputs are its factors and its addend
    if (!scale) pe.inputs.push_back(read(step, pe, id));
  }
}

void OriginTracker::after(const Step& step) {
  if (finding_) return;
  Pe& pe = pes_[step.pe()];
  const Instruction& instruction = step.instruction();
  pe.names->advance(step.program(), step.index());
  const Dependence dependence = dependence_of(instruction);
  for (const uint32_t id : instruction.results) {
    if (id != absent) check_result(step, pe, id, dependence);
  }
  const uint32_t stored = stored_operand(instruction);
  if (stored != absent && is_float(step.program().values[stored].dtype)) check_store(step, pe, stored);
}

void OriginTracker::check_result(const Step& step, Pe& pe, uint32_t value, const Dependence& dependence) {
  const TileProgram& program = step.program();
  const Value& v = program.values[value];
  uint32_t& origin_of_result = origin(pe, program, value);
  const uint64_t count = v.is_tile() ? v.elements() : 1;
  if (!is_float(v.dtype) || first_non_finite(v.dtype, step.data(value), count) == count) {
    origin_of_result = none;
    return;
  }
  origin_of_result = pe.inherited;
  const Elements result = read(step, pe, value);
  const std::optional<uint64_t> made = first_unexplained(result, pe.inputs, dependence, rules_);
  if (!made) return;
  if (findings_.size() < most_findings) {
    const Instruction& instruction = step.instruction();
    NonFiniteFinding& finding = findings_.emplace_back();
    finding.kernel = program.name;
    finding.program = step.program_id();
    finding.pe = step.pe();
    finding.instruction = step.index();
    finding.disassembly = disassemble(program, instruction);
    if (instruction.location < program.locations.size()) {
      finding.file = program.strings[program.locations[instruction.location].file];
      finding.line = program.locations[instruction.location].line;
    }
    describe_element(finding, *made, result, pe.inputs, dependence);
  }
  origin_of_result = std::min(origin_of_result, static_cast<uint32_t>(findings_.size() - 1));
}

void OriginTracker::check_store(const Step& step, Pe& pe, uint32_t stored) {
  const uint32_t number = origin(pe, step.program(), stored);
  if (number == none) return;
  const Elements elements = read(step, pe, stored);
  const bool made_nan = findings_[number].value != findings_[number].value;
  const uint64_t total = elements.count();
  const size_t size = size_of(elements.dtype);
  for (uint64_t i = first_non_finite(elements.dtype, elements.bytes.data(), total); i < total;
       i = first_non_finite(elements.dtype, elements.bytes.data(), total, i + 1)) {
    // A NaN never becomes an infinity again; an infinity may become a NaN.
    if (made_nan && class_of(elements.dtype, elements.bytes.data() + i * size) != FloatClass::nan) continue;
    if (!is_stored(step, elements, i)) continue;
    finding_ = findings_[number];
    return;
  }
}

}  // namespace mtia::emulator
