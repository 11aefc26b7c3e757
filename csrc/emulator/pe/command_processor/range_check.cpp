// check_range: how a kernel refuses a number that its caller gave it (docs/isa.md).
#include <charconv>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/refusal.h"
#include "emulator/timing_mode/stand_ins.h"
#include "emulator/timing_mode/timed_program.h"

namespace mtia::emulator {
namespace {

enum class RangeKind : uint8_t { index = 0, value = 1 };

struct RangeDetail {
  Place value;
  uint64_t elements = 1;
  DType dtype = DType::I64;
  uint32_t scalar = absent;  // the value is this scalar
  uint32_t low = absent;
  uint32_t high = absent;
  uint32_t note = absent;
  bool has_mask = false;
  bool mask_single = false;
  Place mask;
  RangeKind kind = RangeKind::index;
  std::string text;
};

struct Half {
  uint16_t bits;
  explicit operator float() const { return f32_from_f16(bits); }
};
struct Brain {
  uint16_t bits;
  explicit operator float() const { return f32_from_bf16(bits); }
};
struct E4M3 {
  uint8_t bits;
  explicit operator float() const { return f32_from_f8e4m3(bits); }
};
struct E5M2 {
  uint8_t bits;
  explicit operator float() const { return f32_from_f8e5m2(bits); }
};

template <typename T>
auto number_of(T stored) {
  if constexpr (std::is_class_v<T>) {
    return static_cast<float>(stored);
  } else {
    return stored;
  }
}

template <typename T>
auto number_of_bits(uint64_t bits) {
  T stored;
  std::memcpy(&stored, &bits, sizeof(T));
  return number_of(stored);
}

// The shortest digits that read as the same number.
template <typename Number>
std::string digits(Number number) {
  if constexpr (std::is_floating_point_v<Number>) {
    if (std::isnan(number)) return "nan";
  }
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), number).ptr;
  return {text, end};
}

void put(std::string& text, std::string_view field, const std::string& number) {
  for (size_t at = text.find(field); at != std::string::npos; at = text.find(field, at + number.size()))
    text.replace(at, field.size(), number);
}

template <typename Number>
[[noreturn]] void refuse(const RangeDetail& detail, const Frame& frame, Number value, Number low, Number high) {
  std::string text = detail.text;
  put(text, "{value}", digits(value));
  put(text, "{low}", digits(low));
  put(text, "{high}", digits(high));
  if constexpr (std::is_integral_v<Number>) put(text, "{size}", digits(static_cast<int64_t>(high) + 1));
  if (detail.note != absent) put(text, "{note}", digits(frame.integer(detail.note)));
  // What stands behind a semicolon is the remedy.
  const size_t cut = text.find("; ");
  const std::string remedy = cut == std::string::npos ? std::string() : text.substr(cut + 2);
  if (cut != std::string::npos) text.resize(cut);
  const bool is_index = detail.kind == RangeKind::index;
  throw Refusal(is_index ? ErrorCategory::OutOfBounds : ErrorCategory::InvalidArgument, text, "", remedy);
}

template <typename T>
void check(const RangeDetail& detail, Frame& frame) {
  const auto low = number_of_bits<T>(frame.scalars()[detail.low]);
  const auto high = number_of_bits<T>(frame.scalars()[detail.high]);
  const std::byte* values = detail.scalar != absent
                                ? reinterpret_cast<const std::byte*>(&frame.scalars()[detail.scalar])
                                : frame.at(detail.value);
  const std::byte* mask = detail.has_mask ? frame.at(detail.mask) : nullptr;
  if (mask != nullptr && detail.mask_single) {
    if (*mask == std::byte{0}) return;
    mask = nullptr;
  }
  // One pass without a branch; the culprit is looked for where there is one.
  bool fits = true;
  for (uint64_t i = 0; i < detail.elements; ++i) {
    T stored;
    std::memcpy(&stored, values + i * sizeof(T), sizeof(T));
    const auto number = number_of(stored);
    fits &= (low <= number && number <= high) | (mask != nullptr && mask[i] == std::byte{0});
  }
  if (fits) [[likely]]
    return;
  for (uint64_t i = 0; i < detail.elements; ++i) {
    T stored;
    std::memcpy(&stored, values + i * sizeof(T), sizeof(T));
    const auto number = number_of(stored);
    if ((low <= number && number <= high) || (mask != nullptr && mask[i] == std::byte{0})) continue;
    refuse(detail, frame, number, low, high);
  }
}

void check(const RangeDetail& detail, Frame& frame) {
  switch (detail.dtype) {
    case DType::I8:
      return check<int8_t>(detail, frame);
    case DType::I16:
      return check<int16_t>(detail, frame);
    case DType::I32:
      return check<int32_t>(detail, frame);
    case DType::F16:
      return check<Half>(detail, frame);
    case DType::BF16:
      return check<Brain>(detail, frame);
    case DType::F8E4M3:
      return check<E4M3>(detail, frame);
    case DType::F8E5M2:
      return check<E5M2>(detail, frame);
    case DType::F32:
      return check<float>(detail, frame);
    case DType::F64:
      return check<double>(detail, frame);
    default:
      return check<int64_t>(detail, frame);
  }
}

const Op* run_range_check(const Op* op, Frame& frame) {
  check(*static_cast<const RangeDetail*>(op->detail), frame);
  if (op->tick != nullptr) {
    frame.pe->board.issue(*op->tick);
  } else {
    frame.pe->board.issue_scalar();
  }
  return op + 1;
}

// Elements outside of the bounds, which can only be stand-ins, are drawn anew inside of them.
template <typename T>
void draw(const RangeDetail& detail, Frame& frame) {
  const auto low = static_cast<int64_t>(number_of_bits<T>(frame.scalars()[detail.low]));
  const auto high = static_cast<int64_t>(number_of_bits<T>(frame.scalars()[detail.high]));
  if (high < low) return;
  std::byte* values =
      detail.scalar != absent ? reinterpret_cast<std::byte*>(&frame.scalars()[detail.scalar]) : frame.at(detail.value);
  const uint64_t where = (uint64_t{frame.id[2]} << 42U) + (uint64_t{frame.id[1]} << 21U) + frame.id[0];
  for (uint64_t i = 0; i < detail.elements; ++i) {
    T stored;
    std::memcpy(&stored, values + i * sizeof(T), sizeof(T));
    if (low <= stored && stored <= high) continue;
    const uint64_t size = static_cast<uint64_t>(high - low) + 1;
    stored = static_cast<T>(low + static_cast<int64_t>(frame.pe->timed.stand_ins->index(size, where * 65536 + i)));
    std::memcpy(values + i * sizeof(T), &stored, sizeof(T));
  }
  if (detail.scalar != absent)
    frame.scalars()[detail.scalar] = normalised(detail.dtype, frame.scalars()[detail.scalar]);
}

void draw(const RangeDetail& detail, Frame& frame) {
  switch (detail.dtype) {
    case DType::I8:
      return draw<int8_t>(detail, frame);
    case DType::I16:
      return draw<int16_t>(detail, frame);
    case DType::I32:
      return draw<int32_t>(detail, frame);
    case DType::I64:
      return draw<int64_t>(detail, frame);
    default:
      return;
  }
}

}  // namespace

const Op* timed_range_check(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const RangeDetail*>(op->detail);
  if (frame.program->needs[op->instruction] != 0) {
    const bool is_known = !frame.pe->timed.uses_stand_ins && !frame.pe->timed.mask_is_unknown;
    is_known ? check(detail, frame) : draw(detail, frame);
  }
  if (op->tick != nullptr) {
    frame.pe->board.issue(*op->tick);
  } else {
    frame.pe->board.issue_scalar();
  }
  return op + 1;
}

void decode_range_check(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  auto* detail = decoder.loaded.details.make<RangeDetail>();
  const uint32_t value = instruction.operands[0];
  detail->value = decoder.place(value);
  detail->dtype = decoder.value(value).dtype;
  detail->low = instruction.operands[1];
  detail->high = instruction.operands[2];
  detail->note = Decoder::operand(instruction, 3);
  if (const uint32_t mask = Decoder::operand(instruction, 4); mask != absent) {
    detail->has_mask = true;
    detail->mask = decoder.place(mask);
    detail->mask_single = !decoder.is_tile(mask);
  }
  detail->kind = static_cast<RangeKind>(instruction.attributes[0]);
  const auto number = static_cast<uint64_t>(instruction.attributes[1]);
  if (number < decoder.program.strings.size()) detail->text = decoder.program.strings[number];
  decoder.loaded.checks_operands = true;
  Tick* tick = nullptr;
  if (decoder.is_tile(value)) {
    detail->elements = decoder.value(value).elements();
    tick = &decoder.make_tick(index);
    decoder.costs.elementwise(*tick, Opcode::compare_i, detail->dtype, detail->elements,
                              decoder.local_bytes(instruction));
  } else {
    detail->scalar = value;
    decoder.emit_waits(instruction.operands);
  }
  Op& op = decoder.emit(run_range_check, index);
  op.detail = detail;
  op.tick = tick;
}

}  // namespace mtia::emulator
