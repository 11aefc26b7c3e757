// Fused loops: a sequence of element-wise operations as one loop over rows whose intermediates stay in registers,
// translated to AVX-512 at run time, and sums and maxima of the rows beside it. The results have the bits that the
// loops of elementwise.h and reductions.h give one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace mtia::host_math {

// 32-bit floats and integers, 16-bit floats, and bytes (I1 as 0 and 1).
enum class FusedOp : uint8_t {
  load,    // d = the pointer's elements of `bytes`
  single,  // d = the pointer's one element, for every element of the loop
  store,   // the pointer's elements of `bytes` = a
  copy,    // d is another name of a
  add_f,
  sub_f,
  mul_f,
  div_f,
  max_f,
  min_f,
  maximum_f,
  minimum_f,
  fma_f,
  neg_f,
  abs_f,
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  exp2,
  sigmoid,
  add_i,
  sub_i,
  mul_i,
  max_s,
  min_s,
  and_i,
  or_i,
  xor_i,
  compare_f,  // `predicate` is a FloatCompare's number; d is I1
  compare_i,  // an IntegerCompare's
  select,     // a ? b : c, a is I1
  bf16_to_f32,
  f32_to_bf16,
  f16_to_f32,
  f32_to_f16,
  s32_to_f32,
  // The 16 lanes of docs/numerics.md of a row of a: at the row's end they are stored at the pointer, unjoined.
  sum_lanes,
  max_lanes,  // of max_f
};

struct FusedInstruction {
  FusedOp op = FusedOp::copy;
  uint8_t bytes = 4;  // of an element of d, or of a stored one: 1, 2 or 4
  uint8_t predicate = 0;
  uint16_t d = 0;  // numbers of values; each is given once
  uint16_t a = 0;
  uint16_t b = 0;
  uint16_t c = 0;
  uint16_t pointer = 0;  // which entry of the loop's table
  bool streams = false;  // of a load: from memory rather than from a cache, so fetched ahead
  bool fixed = false;    // of a single: the same element for all rows
};

inline constexpr size_t max_fused_pointers = 32;
inline constexpr size_t fused_lanes = 16;

// What a loop is called with: `rows` rows of n elements. Row r of the pointer i begins at pointers[i] + r * strides[i]
// (bytes). The loop changes `rows` and `pointers`.
struct FusedCall {
  size_t n = 0;
  size_t rows = 1;
  std::byte* pointers[max_fused_pointers];
  ptrdiff_t strides[max_fused_pointers];  // not read where there is one row
};

class CodeChunk;

// Machine code in executable memory.
class FusedLoop {
 public:
  // A store and a load through different pointers may meet in the same elements only. rows is at least 1.
  using Function = void (*)(FusedCall* call);

  FusedLoop(std::shared_ptr<const CodeChunk> chunk, Function function)
      : chunk_(std::move(chunk)), function_(function) {}

  void run(FusedCall& call) const { function_(&call); }

 private:
  std::shared_ptr<const CodeChunk> chunk_;  // keeps the code
  Function function_;
};

// nullptr where the selected instruction set has no such code, the values need more registers than there are, or the
// host gives no executable memory: the caller then runs the operations one by one.
std::unique_ptr<const FusedLoop> make_fused_loop(std::span<const FusedInstruction> instructions);

// Whether make_fused_loop may succeed at all.
bool has_fused_loops();

}  // namespace mtia::host_math
