// Decoded instructions: what a loaded program is made of, and the frame they run in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "emulator/pe/pe_state.h"
#include "host_math/elementwise.h"
#include "host_math/layout.h"
#include "host_math/reductions.h"

namespace mtia::emulator {

struct Op;
struct Frame;
struct DmaDetail;
class LoadedProgram;

// Runs one decoded instruction and returns the next; nullptr ends the program.
using Handler = const Op* (*)(const Op* op, Frame& frame);

union LoopFunction {
  host_math::UnaryLoop unary = nullptr;
  host_math::BinaryLoop binary;
  host_math::TernaryLoop ternary;
};

struct Op {
  Handler run = nullptr;
  LoopFunction loop;
  const void* detail = nullptr;  // of the type its handler expects, owned by the program
  const Tick* tick = nullptr;
  const Op* target = nullptr;  // of a jump
  uint32_t d = 0;              // numbers of scalars
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t instruction = 0;  // index in the tile program
  int64_t immediate = 0;
};

// Where a value lies: local memory (base 0) or the table of scalars (base 1), at a byte offset.
struct Place {
  uint32_t base = 0;
  uint32_t offset = 0;
};

// State of a running `for`.
struct LoopState {
  int64_t index = 0;
  int64_t high = 0;
  int64_t step = 0;
};

// What a lazy load or permute left for the dot that reads it: a strided matrix in device or local memory.
struct LazyTile {
  const std::byte* data = nullptr;
  bool is_in_device_memory = false;
  std::array<int64_t, 3>
      strides{};  // elements, of the last two dimensions and a leading batch dimension: [batch, row, column]
};

struct Tolerated;  // emulator/tolerance.h

struct PrintSink {
  void (*write)(std::string_view line, void* context) = nullptr;
  void* context = nullptr;
};

// Called by a program that may be waiting for another one: lets others run.
struct Starvation {
  void (*spin)(void* context) = nullptr;
  void* context = nullptr;
};

struct Frame {
  std::array<std::byte*, 2> base{};
  PeState* pe = nullptr;
  const LoadedProgram* program = nullptr;
  std::array<uint32_t, 3> id{};
  std::array<uint32_t, 3> grid{};
  LoopState* loops = nullptr;
  LazyTile* lazy = nullptr;
  std::byte* strips = nullptr;   // strip buffers of element-wise chains
  std::byte* scratch = nullptr;  // the program's scratch_bytes
  uint32_t fault = UINT32_MAX;   // the instruction at work inside of a group
  uint64_t loop_limit = 0;
  uint64_t loops_left = 0;  // iterations until the program is taken to hang
  Starvation starvation;
  uint64_t jumps = 0;  // iterations of `while`, of all programs of the frame
  PrintSink print;
  Tolerated* tolerated = nullptr;  // where accesses outside of the launch's memory are let pass

  std::byte* at(Place place) const { return base[place.base] + place.offset; }
  uint64_t* scalars() const { return reinterpret_cast<uint64_t*>(base[1]); }
  int64_t integer(uint32_t scalar) const { return static_cast<int64_t>(scalars()[scalar]); }
};

// Sign-extends the low bits of a scalar slot that an integer loop wrote, or clears those above a float.
inline uint64_t normalised(DType dtype, uint64_t bits) {
  switch (dtype) {
    case DType::I1:
      return bits & 1U;
    case DType::I8:
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(bits)));
    case DType::I16:
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int16_t>(bits)));
    case DType::I32:
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(bits)));
    case DType::F8E4M3:
    case DType::F8E5M2:
      return bits & 0xFFU;
    case DType::F16:
    case DType::BF16:
      return bits & 0xFFFFU;
    case DType::F32:
      return bits & 0xFFFFFFFFU;
    default:
      return bits;
  }
}

}  // namespace mtia::emulator
