// Random changes of tile programs.
#include "program/mutation.h"

#include <algorithm>
#include <cstring>

#include "program/serialise.h"

namespace mtia::test {
namespace {

constexpr size_t header_bytes = 24;
constexpr size_t largest_program = size_t{1} << 14;  // instructions: duplication is not to run away

}  // namespace

void seal(std::vector<std::byte>& bytes) {
  if (bytes.size() < header_bytes) return;
  const auto size = static_cast<uint32_t>(bytes.size() - header_bytes);
  const uint32_t crc = crc32(bytes.data() + header_bytes, size);
  std::memcpy(bytes.data() + 16, &size, sizeof(size));
  std::memcpy(bytes.data() + 20, &crc, sizeof(crc));
}

int64_t Mutator::number() {
  switch (below(6)) {
    case 0:
    case 1:
      return static_cast<int64_t>(below(9)) - 2;
    case 2:
      return static_cast<int64_t>(below(4096)) - 64;
    case 3:
      return static_cast<int64_t>((uint64_t{1} << below(64)) + below(3) - 1);
    case 4:
      return static_cast<int64_t>(below(3) - 1 - (uint64_t{1} << below(64)));
    default:
      return static_cast<int64_t>(generator_());
  }
}

uint32_t Mutator::any_value(const TileProgram& program) {
  if (one_in(12)) return absent;
  if (one_in(24)) return static_cast<uint32_t>(program.values.size() + below(3));
  return static_cast<uint32_t>(below(program.values.size()));
}

// Another value of the same kind and dtype, of tiles mostly of the same shape: what the verifier is likely to accept.
uint32_t Mutator::value_like(const TileProgram& program, uint32_t id) {
  if (id >= program.values.size()) return any_value(program);
  const Value& old = program.values[id];
  std::vector<uint32_t> fitting;
  const bool same_shape = !one_in(8);
  for (uint32_t i = 0; i < program.values.size(); ++i) {
    const Value& other = program.values[i];
    const bool alike = other.dtype == old.dtype && other.is_tile() == old.is_tile() &&
                       (!old.is_tile() || !same_shape || (other.rank == old.rank && other.dims == old.dims));
    if (i != id && alike) fitting.push_back(i);
  }
  return fitting.empty() ? any_value(program) : fitting[below(fitting.size())];
}

void Mutator::change_instruction(TileProgram& program) {
  Instruction& instruction = program.instructions[below(program.instructions.size())];
  const auto replace = [&](std::vector<uint32_t>& ids) {
    if (ids.empty()) return;
    uint32_t& id = ids[below(ids.size())];
    id = one_in(4) ? any_value(program) : value_like(program, id);
  };
  switch (below(10)) {
    case 0:
    case 1:
    case 2:
      return replace(instruction.operands);
    case 3:
    case 4:
      return replace(instruction.results);
    case 5:
      if (instruction.attributes.empty()) return;
      instruction.attributes[below(instruction.attributes.size())] = number();
      return;
    case 6: {  // an instruction of the same form, mostly
      const auto opcode = static_cast<Opcode>(below(opcode_count));
      if (info_of(opcode).form == info_of(instruction.opcode).form || one_in(6)) instruction.opcode = opcode;
      return;
    }
    case 7:
      if (instruction.operands.size() > 1) {
        std::swap(instruction.operands[below(instruction.operands.size())],
                  instruction.operands[below(instruction.operands.size())]);
      }
      return;
    case 8:
      if (one_in(2)) {
        instruction.operands.insert(
            instruction.operands.begin() + static_cast<ptrdiff_t>(below(instruction.operands.size() + 1)),
            any_value(program));
      } else if (!instruction.operands.empty()) {
        instruction.operands.erase(instruction.operands.begin() +
                                   static_cast<ptrdiff_t>(below(instruction.operands.size())));
      }
      return;
    default:
      switch (below(4)) {
        case 0:
          instruction.attributes.push_back(number());
          return;
        case 1:
          if (!instruction.attributes.empty()) instruction.attributes.pop_back();
          return;
        case 2:
          instruction.results.push_back(any_value(program));
          return;
        default:
          if (!instruction.results.empty()) instruction.results.pop_back();
          return;
      }
  }
}

void Mutator::change_order(TileProgram& program, const TileProgram& donor) {
  std::vector<Instruction>& code = program.instructions;
  const size_t at = below(code.size());
  const auto place = [&] { return code.begin() + static_cast<ptrdiff_t>(below(code.size() + 1)); };
  switch (below(6)) {
    case 0:
      if (code.size() > 1) code.erase(code.begin() + static_cast<ptrdiff_t>(at));
      return;
    case 1: {
      const Instruction copy = code[at];
      code.insert(place(), copy);
      return;
    }
    case 2:
      std::swap(code[at], code[below(code.size())]);
      return;
    case 3: {  // a piece once more, which may hold half of a loop
      if (code.size() * 2 > largest_program) return;
      const size_t count = std::min<size_t>(1 + below(8), code.size() - at);
      const std::vector<Instruction> piece(code.begin() + static_cast<ptrdiff_t>(at),
                                           code.begin() + static_cast<ptrdiff_t>(at + count));
      code.insert(place(), piece.begin(), piece.end());
      return;
    }
    case 4: {  // a block around a piece
      const size_t end = at + 1 + below(code.size() - at);
      Instruction begin;
      std::vector<uint32_t> conditions;
      for (uint32_t i = 0; i < program.values.size(); ++i) {
        if (!program.values[i].is_tile() && program.values[i].dtype == DType::I1) conditions.push_back(i);
      }
      const bool loop = one_in(2) || conditions.empty();
      begin.opcode = loop ? Opcode::while_begin : Opcode::if_begin;
      if (!loop) begin.operands = {conditions[below(conditions.size())]};
      Instruction close;
      close.opcode = Opcode::end;
      code.insert(code.begin() + static_cast<ptrdiff_t>(end), close);
      if (loop && !conditions.empty()) {
        Instruction test;
        test.opcode = Opcode::while_test;
        test.operands = {conditions[below(conditions.size())]};
        code.insert(code.begin() + static_cast<ptrdiff_t>(at + below(end - at + 1)), test);
      }
      code.insert(code.begin() + static_cast<ptrdiff_t>(at), begin);
      return;
    }
    default: {
      if (donor.instructions.empty()) return;
      Instruction moved = donor.instructions[below(donor.instructions.size())];
      for (auto* ids : {&moved.results, &moved.operands}) {
        for (uint32_t& id : *ids) {
          if (id == absent || id >= donor.values.size()) continue;
          const Value& wanted = donor.values[id];
          std::vector<uint32_t> fitting;
          for (uint32_t i = 0; i < program.values.size(); ++i) {
            const Value& other = program.values[i];
            if (other.dtype == wanted.dtype && other.is_tile() == wanted.is_tile() && other.rank == wanted.rank)
              fitting.push_back(i);
          }
          id = fitting.empty() ? any_value(program) : fitting[below(fitting.size())];
        }
      }
      code.insert(place(), moved);
      return;
    }
  }
}

void Mutator::change_value(TileProgram& program) {
  if (program.values.empty()) return;
  Value& value = program.values[below(program.values.size())];
  switch (below(8)) {
    case 0:
      value.dtype = static_cast<DType>(below(12));
      return;
    case 1:
      value.kind = static_cast<ValueKind>(below(4));
      return;
    case 2:
    case 3:
      value.bits = static_cast<uint64_t>(number());
      return;
    case 4: {
      uint32_t& size = value.dims[below(value.rank == 0 ? 1 : value.rank)];
      const uint32_t sizes[] = {1, size / 2, size * 2, size + 1, size - 1, 0, static_cast<uint32_t>(number())};
      size = sizes[below(std::size(sizes))];
      return;
    }
    case 5:
      if (one_in(2)) {
        value.rank = static_cast<uint8_t>(below(max_rank + 1));
      } else if (value.rank > 1) {
        std::swap(value.dims[below(value.rank)], value.dims[below(value.rank)]);
      }
      return;
    default:  // onto another's place: overlaps of all kinds
      value.slot = one_in(10) ? static_cast<uint32_t>(number())
                              : static_cast<uint32_t>(below(std::max<size_t>(1, program.slots.size())));
      return;
  }
}

void Mutator::change_place(TileProgram& program) {
  if (program.slots.empty()) return;
  Slot& slot = program.slots[below(program.slots.size())];
  switch (below(6)) {
    case 0:
      slot.offset = program.slots[below(program.slots.size())].offset;
      break;
    case 1:
      slot.offset = static_cast<uint32_t>(below(64) * 16);
      break;
    case 2:
      slot.bytes = one_in(2) ? slot.bytes * 2 : static_cast<uint32_t>(number());
      break;
    case 3:
      slot.buffers = static_cast<uint32_t>(one_in(4) ? number() : static_cast<int64_t>(1 + below(5)));
      break;
    case 4:
      slot.offset = static_cast<uint32_t>(number());
      break;
    default:
      program.local_memory_bytes = static_cast<uint32_t>(number());
      return;
  }
  // Mostly a program that says how much it needs, so that more than the sum is looked at.
  if (one_in(5)) return;
  uint64_t end = 0;
  for (const Slot& other : program.slots)
    end = std::max(end, uint64_t{other.offset} + uint64_t{other.bytes} * other.buffers);
  program.local_memory_bytes = static_cast<uint32_t>(end);
}

void Mutator::change_names(TileProgram& program) {
  switch (below(5)) {
    case 0:
      if (program.arguments.empty()) return;
      program.arguments[below(program.arguments.size())].value = any_value(program);
      return;
    case 1: {
      if (program.arguments.empty()) return;
      Argument& argument = program.arguments[below(program.arguments.size())];
      argument.dtype = static_cast<DType>(below(12));
      argument.is_pointer = one_in(2);
      return;
    }
    case 2:
      if (program.locations.empty()) return;
      program.locations[below(program.locations.size())].file = static_cast<uint32_t>(number());
      return;
    case 3:
      program.instructions[below(program.instructions.size())].location = static_cast<uint32_t>(number());
      return;
    default:
      if (!program.arguments.empty() && one_in(2)) {
        program.arguments.pop_back();
      } else if (!program.strings.empty()) {
        program.strings.pop_back();
      }
      return;
  }
}

void Mutator::change(TileProgram& program, const TileProgram& donor) {
  if (program.instructions.empty()) return;
  switch (below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
      return change_instruction(program);
    case 6:
    case 7:
    case 8:
      return change_order(program, donor);
    case 9:
    case 10:
    case 11:
    case 12:
      return change_value(program);
    case 13:
    case 14:
      return change_place(program);
    default:
      return change_names(program);
  }
}

void Mutator::change_bytes(std::vector<std::byte>& bytes) {
  if (bytes.size() <= header_bytes) return;
  const size_t at = header_bytes + below(bytes.size() - header_bytes);
  switch (below(6)) {
    case 0:
    case 1:
      bytes[at] ^= static_cast<std::byte>(1U << below(8));
      return;
    case 2:
      bytes[at] = static_cast<std::byte>(below(256));
      return;
    case 3: {
      const auto word = static_cast<uint32_t>(number());
      if (bytes.size() - at >= sizeof(word)) std::memcpy(bytes.data() + at, &word, sizeof(word));
      return;
    }
    case 4:
      bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at),
                  bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), at + 1 + below(16))));
      return;
    default:
      bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), 1 + below(16), static_cast<std::byte>(below(256)));
      return;
  }
}

std::vector<std::byte> Mutator::mutate(TileProgram program, const TileProgram& donor) {
  const bool in_bytes = one_in(4);
  const uint64_t changes = 1 + below(one_in(3) ? 8 : 2);
  if (!in_bytes) {
    for (uint64_t i = 0; i < changes; ++i) change(program, donor);
  }
  std::vector<std::byte> bytes = serialise(program);
  if (in_bytes) {
    for (uint64_t i = 0; i < changes; ++i) change_bytes(bytes);
  }
  if (!one_in(200)) seal(bytes);
  return bytes;
}

}  // namespace mtia::test
