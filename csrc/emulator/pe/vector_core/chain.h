// Chains: consecutive element-wise instructions of one shape, with the loads that feed them and the stores that take
// their results, run strip by strip so that intermediates stay in the host's first-level cache; loads and stores of
// whole tiles work on device memory in place.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/pe/fabric_interface/dma.h"
#include "emulator/pe/vector_core/loops.h"
#include "host_math/fused_loop.h"
#include "host_math/reductions.h"

namespace mtia::emulator {

inline constexpr uint32_t max_outer = 5;
inline constexpr uint32_t max_views = 24;
inline constexpr size_t max_chain_steps = 64;
inline constexpr size_t max_chain_operands = 4 * max_chain_steps;

struct ChainOperand {
  enum class Kind : uint8_t { none, memory, strip, view };
  Kind kind = Kind::none;
  uint8_t size = 4;     // bytes an element
  bool single = false;  // one element for a whole row of the iteration
  Place place;          // memory; of a strip: offset among the strip buffers
  uint32_t view = 0;
  std::array<int64_t, max_outer> outer{};  // bytes; of a view: found at run time
};

struct ChainStep {
  ElementLoop loop;
  uint32_t count = 0;  // operands
  ChainOperand d;
  std::array<ChainOperand, 3> operands;
  int64_t start = 0;  // of iota
  DType dtype = DType::F32;
  // What the loop computes, for fusion; `copy` of a step that only moves.
  Opcode opcode = Opcode::copy;
  DType source = DType::F32;
  int64_t attribute = 0;
  // In place of the loop: several steps as one, over these operands, and the lanes of this many of the chain's
  // reductions after them.
  const host_math::FusedLoop* fused = nullptr;
  std::vector<ChainOperand> pointers;
  size_t reductions = 0;
  // Of a loop that multiplies rows in place, each by one number: which pointer that number's is. Rows whose number is 1
  // are left alone, as most are where a softmax goes from block to block.
  size_t factor = SIZE_MAX;
};

// An iteration space and the steps to run over it.
struct ChainPlan {
  uint32_t outer_rank = 0;
  std::array<uint32_t, max_outer> outer{};
  uint64_t inner = 1;
  uint64_t strip = 1;
  // Original dimensions [first, last] that each outer dimension, then the inner one, stand for.
  std::array<std::array<uint8_t, 2>, max_outer + 1> dimensions{};
  std::vector<ChainStep> steps;
};

struct ChainView {
  const DmaDetail* detail = nullptr;
  const Tick* tick = nullptr;
  uint32_t instruction = 0;
  uint32_t first_use = 0;  // steps: of a load's first and last reader; of a store, the step that writes
  uint32_t last_use = 0;
};

// A reduction of the chain's rows that follows it. Where the whole chain is one fused loop this makes the lanes of each
// row (docs/numerics.md), which are then joined; elsewhere it reads the tile in local memory.
struct ChainReduction {
  host_math::ReduceLoop loop = nullptr;
  host_math::ReduceOp op{};
  Place from;
  Place to;
  uint32_t scalar = UINT32_MAX;  // the result is a scalar
  size_t rows = 1;
  size_t length = 1;
  const Tick* tick = nullptr;
  uint32_t instruction = 0;
};

inline constexpr size_t max_chain_reductions = 2;
inline constexpr size_t rows_a_join = 64;  // whose lanes stay in the first-level cache
inline constexpr size_t lanes_bytes = host_math::fused_lanes * sizeof(float);

// A chain without loads and stores that is one fused loop over rows: all that a call of it needs, in few cache lines,
// which the tiles drive out of the first-level cache between two calls.
struct DirectLoop {
  static constexpr size_t max_pointers = 8;
  const host_math::FusedLoop* loop = nullptr;  // nullptr: the chain is not one
  size_t rows = 1;
  size_t n = 1;
  size_t factor = SIZE_MAX;  // as of the step
  uint32_t count = 0;        // pointers
  uint32_t reductions = 0;
  std::array<Place, max_pointers> places;
  std::array<int64_t, max_pointers> strides{};
  std::vector<const Tick*> ticks;  // of all members and reductions
};

struct Chain {
  DirectLoop direct;
  ChainPlan merged;       // dimensions merged where the tiles in local memory allow it
  ChainPlan rows;         // every dimension for itself: device memory with gaps between rows
  ChainPlan in_place;     // all intermediates in their slots: where some load or store is partial
  bool one_plan = false;  // merged and rows are the same
  std::vector<ChainView> views;
  struct Member {
    const Tick* tick = nullptr;  // of a compute instruction
    uint32_t view = UINT32_MAX;  // of a load or store
    uint32_t step = 0;           // in in_place.steps
    uint32_t instruction = 0;
  };
  std::vector<Member> members;  // in program order
  std::vector<ChainReduction> reductions;
  std::vector<std::unique_ptr<const host_math::FusedLoop>> loops;
};

// Replaces runs of steps by fused loops, where the host has them.
void fuse_steps(Chain& chain, ChainPlan& plan);
// Fills in `direct` of a chain whose steps are fused, if it can be.
void make_direct(Chain& chain);

const Op* run_chain(const Op* op, Frame& frame);

}  // namespace mtia::emulator
