// The byte format of tile programs (little endian), the same that python/mtia_core/program.py writes.
//
// Header: "MTIAPROG", u32 format version, u32 fingerprint of the instruction set, u32 payload bytes, u32 CRC-32 of the
// payload. Payload: strings {u32 length, bytes}; u32 name; u32 local_memory_bytes; u32 1 where it waits for
// products, else 0; arguments {u32 name, u8 kind (0 scalar, 1 pointer), u8 dtype, u16 0, u32 value}; slots {u32 offset,
// u32 bytes, u32 buffers}; values {u8 kind, u8 dtype, u8 rank, u8 0, u32 slot, u64 bits, u32 dims[rank]}; locations
// {u32 file, u32 line, u32 column}; instructions {u16 opcode, u16 results, u16 operands, u16 attributes, u32 location,
// u32 results[], u32 operands[], i64 attributes[]}; names {u32 instruction, u32 value, u32 name}; each list led by its
// u32 count.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "program/tile_program.h"

namespace mtia {

inline constexpr uint32_t program_format_version = 3;

std::vector<std::byte> serialise(const TileProgram& program);

// Throws InvalidProgram for anything but a whole, uncorrupted program of this instruction set. The result is
// well-formed bytes, not yet a correct program: verify() decides that.
TileProgram deserialise(std::span<const std::byte> bytes);

}  // namespace mtia
