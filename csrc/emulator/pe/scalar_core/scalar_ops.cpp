// Element-wise instructions on scalars: the common integer ones directly, the others through the vector loops with one
// element, so that scalars and tiles never disagree.
#include <cstring>
#include <type_traits>

#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/vector_core/loops.h"

namespace mtia::emulator {
namespace {

struct Add {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
  }
};
struct Subtract {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) - static_cast<std::make_unsigned_t<T>>(b));
  }
};
struct Multiply {
  template <typename T>
  static T apply(T a, T b) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) * static_cast<std::make_unsigned_t<T>>(b));
  }
};
struct Smaller {
  template <typename T>
  static T apply(T a, T b) {
    return a < b ? a : b;
  }
};
struct Larger {
  template <typename T>
  static T apply(T a, T b) {
    return a > b ? a : b;
  }
};

template <typename T, typename Operation>
const Op* integer_binary(const Op* op, Frame& frame) {
  uint64_t* scalars = frame.scalars();
  const T value = Operation::apply(static_cast<T>(scalars[op->a]), static_cast<T>(scalars[op->b]));
  scalars[op->d] = static_cast<uint64_t>(static_cast<int64_t>(value));
  frame.pe->board.issue_scalar();
  return op + 1;
}

// Sign extension of a value that is already sign-extended in its slot, and copies.
const Op* move(const Op* op, Frame& frame) {
  frame.scalars()[op->d] = normalised(static_cast<DType>(op->immediate), frame.scalars()[op->a]);
  frame.pe->board.issue_scalar();
  return op + 1;
}

const Op* generic_unary(const Op* op, Frame& frame) {
  uint64_t* scalars = frame.scalars();
  uint64_t value = 0;
  op->loop.unary(&value, &scalars[op->a], 1);
  scalars[op->d] = normalised(static_cast<DType>(op->immediate), value);
  frame.pe->board.issue_scalar();
  return op + 1;
}

const Op* generic_binary(const Op* op, Frame& frame) {
  uint64_t* scalars = frame.scalars();
  uint64_t value = 0;
  op->loop.binary(&value, &scalars[op->a], &scalars[op->b], 1, host_math::BinaryMode::vector_vector);
  scalars[op->d] = normalised(static_cast<DType>(op->immediate), value);
  frame.pe->board.issue_scalar();
  return op + 1;
}

const Op* generic_ternary(const Op* op, Frame& frame) {
  uint64_t* scalars = frame.scalars();
  uint64_t value = 0;
  op->loop.ternary(&value, &scalars[op->a], &scalars[op->b], &scalars[op->c], 1, host_math::no_scalar);
  scalars[op->d] = normalised(static_cast<DType>(op->immediate), value);
  frame.pe->board.issue_scalar();
  return op + 1;
}

// d is ready one scalar instruction after the late ones among a, b, c.
const Op* delay(const Op* op, Frame& frame) {
  Scoreboard& board = frame.pe->board;
  SubCycles ready = 0;
  for (const uint32_t operand : {op->a, op->b, op->c}) {
    if (operand != absent) ready = std::max(ready, board.scalar_ready(operand));
  }
  board.delay_scalar(op->d, ready);
  return op + 1;
}

template <typename T>
Handler fast_integer(Opcode opcode) {
  switch (opcode) {
    case Opcode::add_i:
      return integer_binary<T, Add>;
    case Opcode::sub_i:
      return integer_binary<T, Subtract>;
    case Opcode::mul_i:
      return integer_binary<T, Multiply>;
    case Opcode::min_s:
      return integer_binary<T, Smaller>;
    case Opcode::max_s:
      return integer_binary<T, Larger>;
    default:
      return nullptr;
  }
}

}  // namespace

void decode_scalar(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const uint32_t d = instruction.results[0];
  const DType dtype = decoder.value(d).dtype;
  Handler run = nullptr;
  ElementLoop loop;
  if (dtype == DType::I64) run = fast_integer<int64_t>(instruction.opcode);
  if (dtype == DType::I32) run = fast_integer<int32_t>(instruction.opcode);
  const DType source = decoder.value(instruction.operands[0]).dtype;
  if (instruction.opcode == Opcode::extend_s && source != DType::I1) run = move;
  if (run == nullptr) {
    loop = element_loop(decoder.program, instruction);
    switch (loop.kind) {
      case ElementLoop::Kind::unary:
        run = generic_unary;
        break;
      case ElementLoop::Kind::binary:
        run = generic_binary;
        break;
      case ElementLoop::Kind::ternary:
        run = generic_ternary;
        break;
      default:
        run = move;
        break;
    }
  }
  Op& op = decoder.emit(run, index);
  op.loop = loop.function;
  op.d = d;
  op.a = instruction.operands[0];
  op.b = Decoder::operand(instruction, 1);
  op.c = Decoder::operand(instruction, 2);
  op.immediate = static_cast<int64_t>(dtype);
  if (!decoder.is_late(d)) return;
  const auto late = [&](size_t i) {
    const uint32_t id = Decoder::operand(instruction, i);
    return id != absent && decoder.is_late(id) ? id : absent;
  };
  Op& wait = decoder.emit(delay, index);
  wait.d = d;
  wait.a = late(0);
  wait.b = late(1);
  wait.c = late(2);
}

}  // namespace mtia::emulator
