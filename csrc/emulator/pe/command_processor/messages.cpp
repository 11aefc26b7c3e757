// print and assert_: how a kernel speaks to its author.
#include <cmath>
#include <cstring>
#include <iomanip>
#include <sstream>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "emulator/pe/command_processor/decoder.h"

namespace mtia::emulator {
namespace {

enum class PrintFormat : uint8_t { plain = 0, hex = 1, unsigned_integer = 2 };

struct MessageDetail {
  struct Operand {
    Place place;
    Value value;
    bool tile = false;
  };
  std::vector<Operand> operands;
  std::string text;
  PrintFormat format = PrintFormat::plain;
};

// A number as Triton's GPU backends print it: %f, %d, %u, or all digits of its bits in hexadecimal.
void put_element(std::ostream& out, DType dtype, const std::byte* data, PrintFormat format) {
  uint64_t bits = 0;
  std::memcpy(&bits, data, size_of(dtype));
  if (format == PrintFormat::hex) {
    out << "0x" << std::hex << std::setw(static_cast<int>(2 * size_of(dtype))) << std::setfill('0') << bits << std::dec;
    return;
  }
  out << std::fixed;
  switch (dtype) {
    case DType::F16:
      out << f32_from_f16(static_cast<uint16_t>(bits));
      return;
    case DType::BF16:
      out << f32_from_bf16(static_cast<uint16_t>(bits));
      return;
    case DType::F8E4M3:
      out << f32_from_f8e4m3(static_cast<uint8_t>(bits));
      return;
    case DType::F8E5M2:
      out << f32_from_f8e5m2(static_cast<uint8_t>(bits));
      return;
    case DType::F32:
      out << float_of_bits(static_cast<uint32_t>(bits));
      return;
    case DType::F64: {
      double value = 0;
      std::memcpy(&value, &bits, sizeof(value));
      out << value;
      return;
    }
    default:
      if (format == PrintFormat::unsigned_integer) {
        out << bits;
      } else {
        out << static_cast<int64_t>(normalised(dtype, bits));
      }
      return;
  }
}

void put_line(Frame& frame, const std::string& line) {
  if (frame.print.write != nullptr) {
    frame.print.write(line, frame.print.context);
  } else {
    std::fwrite((line + "\n").c_str(), 1, line.size() + 1, stdout);
  }
}

int digits_of(uint64_t number) {
  int digits = 1;
  for (; number >= 10; number /= 10) ++digits;
  return digits;
}

const Op* run_print(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const MessageDetail*>(op->detail);
  const std::string where = concat("pid (", frame.id[0], ", ", frame.id[1], ", ", frame.id[2], ")");
  if (detail.operands.empty()) put_line(frame, where + detail.text);
  for (const MessageDetail::Operand& operand : detail.operands) {
    const std::byte* data = frame.at(operand.place);
    const size_t size = size_of(operand.value.dtype);
    const size_t rank = operand.tile ? operand.value.rank : 0;
    const uint64_t elements = operand.tile ? operand.value.elements() : 1;
    std::array<uint64_t, max_rank> index{};
    for (uint64_t i = 0; i < elements; ++i) {
      std::ostringstream out;
      out << where << " idx (";
      for (size_t d = 0; d < rank; ++d) {
        out << (d == 0 ? "" : ", ") << std::setw(digits_of(operand.value.dims[d] - 1)) << index[d];
      }
      out << ")" << detail.text;
      put_element(out, operand.value.dtype, data + i * size, detail.format);
      put_line(frame, std::move(out).str());
      for (size_t d = rank; d-- > 0;) {
        if (++index[d] < operand.value.dims[d]) break;
        index[d] = 0;
      }
    }
  }
  if (frame.print.write == nullptr) std::fflush(stdout);  // what a kernel said before a fault is not to be lost
  frame.pe->board.issue_scalar();
  return op + 1;
}

const Op* run_assert(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const MessageDetail*>(op->detail);
  const MessageDetail::Operand& condition = detail.operands[0];
  const MessageDetail::Operand* mask = detail.operands.size() > 1 ? &detail.operands[1] : nullptr;
  const uint64_t elements = condition.tile ? condition.value.elements() : 1;
  const std::byte* data = frame.at(condition.place);
  const std::byte* masked = mask == nullptr ? nullptr : frame.at(mask->place);
  for (uint64_t i = 0; i < elements; ++i) {
    if (data[i] != std::byte{0}) continue;
    if (masked != nullptr && masked[mask->tile ? i : 0] == std::byte{0}) continue;
    throw KernelAssert(concat("device-side assertion failed: ", detail.text,
                              condition.tile ? concat(" (element ", i, ")") : std::string()));
  }
  if (op->tick != nullptr) {
    frame.pe->board.issue(*op->tick);
  } else {
    frame.pe->board.issue_scalar();
  }
  return op + 1;
}

}  // namespace

void decode_message(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  auto* detail = decoder.loaded.details.make<MessageDetail>();
  if (instruction.opcode == Opcode::assert_) decoder.loaded.checks_operands = true;
  for (const uint32_t id : instruction.operands) {
    if (id == absent) continue;
    detail->operands.push_back({decoder.place(id), decoder.value(id), decoder.is_tile(id)});
  }
  const auto number = static_cast<uint64_t>(instruction.attributes[0]);
  if (number < decoder.program.strings.size()) detail->text = decoder.program.strings[number];
  const bool print = instruction.opcode == Opcode::print;
  if (print) detail->format = static_cast<PrintFormat>(instruction.attributes[1]);
  Tick* tick = nullptr;
  if (!print && decoder.is_tile(instruction.operands[0])) {
    tick = &decoder.make_tick(index);
    decoder.costs.elementwise(*tick, Opcode::and_i, DType::I1, decoder.value(instruction.operands[0]).elements(),
                              decoder.local_bytes(instruction));
  }
  Op& op = decoder.emit(print ? run_print : run_assert, index);
  op.detail = detail;
  op.tick = tick;
}

}  // namespace mtia::emulator
