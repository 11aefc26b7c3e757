// Opcodes to loops; names agree, so the mapping is made by name.
#include "emulator/pe/vector_core/loops.h"

#include <array>
#include <optional>

#include "base/error.h"
#include "host_math/operations.h"

namespace mtia::emulator {
namespace {

using host_math::BinaryOp;
using host_math::UnaryOp;

template <typename Op, size_t count>
std::array<int8_t, opcode_count> numbers_by_opcode() {
  std::array<int8_t, opcode_count> numbers{};
  for (size_t opcode = 0; opcode < opcode_count; ++opcode) {
    numbers[opcode] = -1;
    for (size_t op = 0; op < count; ++op) {
      if (name_of(static_cast<Op>(op)) == opcode_table[opcode].mnemonic) numbers[opcode] = static_cast<int8_t>(op);
    }
  }
  return numbers;
}

}  // namespace

ElementLoop element_loop(Opcode opcode, DType d, DType a, int64_t attribute) {
  static const auto unary_numbers = numbers_by_opcode<UnaryOp, host_math::unary_op_count>();
  static const auto binary_numbers = numbers_by_opcode<BinaryOp, host_math::binary_op_count>();
  using Kind = ElementLoop::Kind;
  ElementLoop loop;
  bool found = false;
  const auto unary = [&](host_math::UnaryLoop function) {
    loop.kind = Kind::unary;
    loop.function.unary = function;
    found = function != nullptr;
  };
  const auto binary = [&](host_math::BinaryLoop function) {
    loop.kind = Kind::binary;
    loop.function.binary = function;
    found = function != nullptr;
  };
  const auto ternary = [&](host_math::TernaryLoop function) {
    loop.kind = Kind::ternary;
    loop.function.ternary = function;
    found = function != nullptr;
  };
  switch (info_of(opcode).form) {
    case Form::float_unary:
    case Form::float_test:
    case Form::integer_unary:
      unary(host_math::unary_loop(static_cast<UnaryOp>(unary_numbers[static_cast<size_t>(opcode)]), a));
      break;
    case Form::float_binary:
    case Form::integer_binary:
      binary(host_math::binary_loop(static_cast<BinaryOp>(binary_numbers[static_cast<size_t>(opcode)]), a));
      break;
    case Form::float_ternary: {
      auto op = host_math::TernaryOp::fma_f;
      if (opcode == Opcode::clamp_f)
        op = attribute != 0 ? host_math::TernaryOp::clamp_propagate_nan_f : host_math::TernaryOp::clamp_f;
      ternary(host_math::ternary_loop(op, a));
      break;
    }
    case Form::integer_compare:
      binary(host_math::compare_loop(static_cast<host_math::IntegerCompare>(attribute), a));
      break;
    case Form::float_compare:
      binary(host_math::compare_loop(static_cast<host_math::FloatCompare>(attribute), a));
      break;
    case Form::select:
      ternary(host_math::select_loop(d));
      break;
    case Form::float_to_float:
    case Form::integer_to_float:
    case Form::float_to_integer:
    case Form::integer_to_integer: {
      if (d == a) {
        found = true;
        break;
      }
      host_math::ConvertMode mode;
      mode.is_unsigned =
          opcode == Opcode::convert_u_to_f || opcode == Opcode::convert_f_to_u || opcode == Opcode::extend_u;
      if (opcode == Opcode::convert_f && attribute == 1) mode.rounding = host_math::Rounding::toward_zero;
      unary(host_math::convert_loop(a, d, mode));
      break;
    }
    case Form::bitcast:
    case Form::copy:
      found = true;
      break;
    case Form::iota:
      loop.kind = Kind::iota;
      found = true;
      break;
    default:
      break;
  }
  if (!found) throw InvalidProgram(concat(name_of(opcode), " of ", name_of(a), " to ", name_of(d), " does not exist"));
  return loop;
}

ElementLoop element_loop(const TileProgram& program, const Instruction& instruction) {
  const DType d = program.values[instruction.results[0]].dtype;
  const size_t source = instruction.opcode == Opcode::select ? 1 : 0;
  const DType a = instruction.operands.empty() ? d : program.values[instruction.operands[source]].dtype;
  return element_loop(instruction.opcode, d, a, instruction.attributes.empty() ? 0 : instruction.attributes[0]);
}

}  // namespace mtia::emulator
