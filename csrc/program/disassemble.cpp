// The disassembler of tile programs.
#include "program/disassemble.h"

#include <cmath>
#include <cstring>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/bit_patterns.h"

namespace mtia {
namespace {

double float_value(DType dtype, uint64_t bits) {
  switch (dtype) {
    case DType::F16:
      return f32_from_f16(static_cast<uint16_t>(bits));
    case DType::BF16:
      return f32_from_bf16(static_cast<uint16_t>(bits));
    case DType::F8E4M3:
      return f32_from_f8e4m3(static_cast<uint8_t>(bits));
    case DType::F8E5M2:
      return f32_from_f8e5m2(static_cast<uint8_t>(bits));
    case DType::F32:
      return float_of_bits(static_cast<uint32_t>(bits));
    default: {
      double value = 0;
      std::memcpy(&value, &bits, sizeof(value));
      return value;
    }
  }
}

void put_value(std::ostream& out, const TileProgram& program, uint32_t id) {
  if (id == absent) {
    out << "_";
    return;
  }
  if (id >= program.values.size()) {
    out << "%?" << id;
    return;
  }
  const Value& value = program.values[id];
  if (value.kind == ValueKind::constant) {
    if (is_float(value.dtype)) {
      std::ostringstream number;
      number.precision(9);
      number << float_value(value.dtype, value.bits);
      out << number.str();
      if (number.str().find_first_of(".en") == std::string::npos) out << ".0";
    } else {
      out << static_cast<int64_t>(value.bits);
    }
    out << ":" << name_of(value.dtype);
    return;
  }
  out << "%" << id;
}

void put_type(std::ostream& out, const TileProgram& program, uint32_t id) {
  if (id >= program.values.size()) return;
  const Value& value = program.values[id];
  out << ":" << name_of(value.dtype);
  if (!value.is_tile()) return;
  out << "[";
  for (size_t i = 0; i < value.rank; ++i) out << (i == 0 ? "" : ",") << value.dims[i];
  out << "]@" << value.slot;
}

std::vector<std::string_view> names(std::string_view list) {
  std::vector<std::string_view> parts;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    parts.push_back(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return parts;
}

void put_instruction(std::ostream& out, const TileProgram& program, const Instruction& instruction) {
  const OpcodeInfo& info = info_of(instruction.opcode);
  for (size_t i = 0; i < instruction.results.size(); ++i) {
    if (i != 0) out << ", ";
    put_value(out, program, instruction.results[i]);
    put_type(out, program, instruction.results[i]);
  }
  if (!instruction.results.empty()) out << " = ";
  out << info.mnemonic;
  for (size_t i = 0; i < instruction.operands.size(); ++i) {
    out << (i == 0 ? " " : ", ");
    put_value(out, program, instruction.operands[i]);
  }
  if (instruction.attributes.empty()) return;
  const std::vector<std::string_view> attribute_names = names(info.attributes);
  out << " {";
  for (size_t i = 0; i < instruction.attributes.size(); ++i) {
    if (i != 0) out << ", ";
    if (i < attribute_names.size() && attribute_names[i].back() != '*') out << attribute_names[i] << "=";
    out << instruction.attributes[i];
  }
  out << "}";
}

}  // namespace

std::string disassemble(const TileProgram& program, const Instruction& instruction) {
  std::ostringstream out;
  put_instruction(out, program, instruction);
  return std::move(out).str();
}

std::string disassemble(const TileProgram& program) {
  std::ostringstream out;
  out << "program " << program.name << "  // " << program.local_memory_bytes << " bytes of local memory"
      << (program.waits_for_products ? ", waits for products\n" : "\n");
  for (const Argument& argument : program.arguments) {
    out << "argument %" << argument.value << ":" << (argument.is_pointer ? "*" : "") << name_of(argument.dtype) << " "
        << argument.name << "\n";
  }
  for (size_t i = 0; i < program.slots.size(); ++i) {
    const Slot& slot = program.slots[i];
    out << "slot @" << i << " " << slot.bytes << " bytes at " << slot.offset;
    if (slot.buffers != 1) out << " x" << slot.buffers;
    out << "\n";
  }
  size_t depth = 1;
  for (const Instruction& instruction : program.instructions) {
    const Form form = info_of(instruction.opcode).form;
    if ((form == Form::block_end || form == Form::block_else) && depth > 1) --depth;
    out << std::string(2 * depth, ' ');
    put_instruction(out, program, instruction);
    if (const std::string location = program.location_of(instruction); !location.empty()) out << "  // " << location;
    out << "\n";
    if (form == Form::for_begin || form == Form::block_begin || instruction.opcode == Opcode::if_begin ||
        form == Form::block_else)
      ++depth;
  }
  return std::move(out).str();
}

}  // namespace mtia
