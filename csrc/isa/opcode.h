// Opcodes and their properties, generated from instructions.def.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "isa/unit.h"

namespace mtia {

enum class Opcode : uint16_t {
#define INSTRUCTION(mnemonic, unit, form, results, operands, attributes, summary) mnemonic,
#include "isa/instructions.def"
#undef INSTRUCTION
};

// The type rule of an instruction: the `form` column.
enum class Form : uint8_t {
  float_binary,
  float_ternary,
  float_unary,
  float_test,
  integer_binary,
  integer_unary,
  integer_compare,
  float_compare,
  select,
  float_to_float,
  integer_to_float,
  float_to_integer,
  integer_to_integer,
  bitcast,
  copy,
  iota,
  philox,
  permute,
  slice,
  concatenate,
  interleave,
  gather_local,
  sort,
  histogram,
  reduce,
  reduce_index,
  scan,
  dot,
  dot_scaled,
  dma_load,
  dma_store,
  gather,
  scatter,
  gather_rows,
  scatter_rows,
  atomic_rmw,
  atomic_cas,
  program_id,
  for_begin,
  block_begin,
  test,
  block_else,
  block_end,
  none,
  assertion,
  range_check,
  print
};

struct OpcodeInfo {
  std::string_view mnemonic;
  Unit unit;
  Form form;
  std::string_view results;  // comma lists of names; "?" may be absent, "*" repeats to the end
  std::string_view operands;
  std::string_view attributes;
  std::string_view summary;
};

inline constexpr OpcodeInfo opcode_table[] = {
#define INSTRUCTION(mnemonic, unit, form, results, operands, attributes, summary) \
  {#mnemonic, Unit::unit, Form::form, results, operands, attributes, summary},
#include "isa/instructions.def"
#undef INSTRUCTION
};

inline constexpr size_t opcode_count = sizeof(opcode_table) / sizeof(opcode_table[0]);

constexpr const OpcodeInfo& info_of(Opcode opcode) { return opcode_table[static_cast<size_t>(opcode)]; }
constexpr std::string_view name_of(Opcode opcode) { return info_of(opcode).mnemonic; }

// Element-wise instructions: every operand is a scalar or a tile that broadcasts to the result's shape.
constexpr bool is_elementwise(Form form) { return form <= Form::copy; }

// Element kinds of `reduce`, `reduce_index` and `scan`.
enum class ReduceKind : uint8_t {
  sum_f,
  prod_f,
  max_f,
  min_f,
  maximum_f,
  minimum_f,
  sum_i,
  prod_i,
  max_s,
  max_u,
  min_s,
  min_u,
  and_i,
  or_i,
  xor_i
};
inline constexpr size_t reduce_kind_count = 15;
constexpr bool is_float_kind(ReduceKind kind) { return kind <= ReduceKind::minimum_f; }

// Kinds of `atomic_rmw`: Triton's numbers.
enum class AtomicKind : uint8_t { and_i = 1, or_i, xor_i, add_i, add_f, max_s, min_s, max_u, min_u, exchange };

// crc32 of all mnemonics each followed by ","; a program made for another instruction set is refused.
uint32_t isa_fingerprint();

// CRC-32 as in zlib.
uint32_t crc32(const void* data, size_t bytes, uint32_t crc = 0);

}  // namespace mtia
