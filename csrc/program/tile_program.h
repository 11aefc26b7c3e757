// The container of a tile program: what the compiler makes and a processing element runs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "isa/opcode.h"

namespace mtia {

inline constexpr uint32_t absent = 0xFFFFFFFF;  // an operand, result or location that is not there
inline constexpr size_t max_rank = 6;

enum class ValueKind : uint8_t { scalar, constant, tile };

// A piece of local memory. `buffers` > 1: num_stages rotation, charged bytes * buffers; only the scoreboard sees the
// copies.
struct Slot {
  uint32_t offset = 0;
  uint32_t bytes = 0;
  uint32_t buffers = 1;
};

// A register: a 64-bit scalar slot (floats hold their own dtype's bits in the low end, integers sign-extended, i1 0 or
// 1), a constant, or a tile of static shape, dense and row-major in its slot. Tiles that share a slot share its
// contents (views); slots that overlap share only space.
struct Value {
  ValueKind kind = ValueKind::scalar;
  DType dtype = DType::I32;
  uint8_t rank = 0;
  uint32_t slot = 0;
  uint64_t bits = 0;
  std::array<uint32_t, max_rank> dims{};

  uint64_t elements() const {
    uint64_t count = 1;
    for (size_t i = 0; i < max_rank; ++i) count *= i < rank ? dims[i] : 1;
    return count;
  }
  uint64_t bytes() const { return elements() * size_of(dtype); }
  bool is_tile() const { return kind == ValueKind::tile; }
};

// A parameter of the launch: one 64-bit word written to the scalar `value` before each program starts.
struct Argument {
  std::string name;
  bool is_pointer = false;
  DType dtype = DType::I64;  // of the scalar, or of what the pointer points to
  uint32_t value = 0;
};

struct Location {
  uint32_t file = 0;  // string number
  uint32_t line = 0;
  uint32_t column = 0;
};

struct Instruction {
  Opcode opcode{};
  std::vector<uint32_t> results;
  std::vector<uint32_t> operands;
  std::vector<int64_t> attributes;
  uint32_t location = absent;

  bool is_load() const {
    return opcode == Opcode::dma_load || opcode == Opcode::gather || opcode == Opcode::gather_rows;
  }
  // A load that reads memory whenever it runs, because another program may write it meanwhile.
  bool is_volatile_load() const {
    constexpr int64_t cache_volatile = 7;  // Triton's number of ".cv", which the compiler gives `volatile` too
    return is_load() && attributes[0] == cache_volatile;
  }
};

// What the kernel's source calls a value once an instruction has run. For people only: nothing runs by it.
struct ValueName {
  uint32_t instruction = 0;
  uint32_t value = 0;
  uint32_t name = 0;  // string number
};

struct TileProgram {
  std::string name;
  std::vector<std::string> strings;
  uint32_t local_memory_bytes = 0;
  // Products are instructions that the program waits for, where a chip has such beside others (dot_waited_fraction).
  bool waits_for_products = false;
  std::vector<Argument> arguments;
  std::vector<Slot> slots;
  std::vector<Value> values;
  std::vector<Location> locations;
  std::vector<Instruction> instructions;
  std::vector<ValueName> names;  // by ascending instruction

  // "softmax.py:42", or "" for an instruction without a location.
  std::string location_of(const Instruction& instruction) const;
};

}  // namespace mtia
