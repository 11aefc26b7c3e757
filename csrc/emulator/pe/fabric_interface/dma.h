// DMA descriptors at run time: which device bytes a tile's load or store touches, checked once, and what the transfer
// costs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "emulator/pe/command_processor/op.h"

namespace mtia::emulator {

// A decoded dma_load or dma_store. Scalar numbers are `absent` where the operand is.
struct DmaDetail {
  static constexpr size_t max_rank = 6;
  struct Dimension {
    uint32_t stride, low, high, start, wrap;
  };
  uint32_t rank = 0;
  std::array<uint32_t, max_rank> dims{};
  std::array<int64_t, max_rank> tile_stride{};  // bytes
  std::array<Dimension, max_rank> dimension{};
  uint32_t base = 0;
  uint32_t size = 4;  // bytes an element
  uint64_t elements = 1;
  DType dtype = DType::F32;
  Place tile;
  uint32_t scalar = 0xFFFFFFFF;  // the tile is this scalar
  bool has_other = false;
  Place other;
  bool has_mask = false;
  bool mask_is_scalar = false;
  Place mask;
  std::array<int64_t, max_rank> mask_stride{};  // bytes
  bool lazy = false;
  uint32_t lazy_number = 0;
  bool is_store = false;
  uint32_t instruction = 0;  // index in the tile program
};

// A descriptor with its operands' values of the moment.
struct DmaAccess {
  std::byte* host = nullptr;  // of the first valid element; nullptr where masked elements must be checked one by one
  uint64_t address = 0;       // of the first valid element
  uint64_t low = 0;           // touched device bytes
  uint64_t high = 0;
  std::array<int64_t, DmaDetail::max_rank> first{};  // valid tile indices [first, first + extent)
  std::array<int64_t, DmaDetail::max_rank> extent{};
  std::array<int64_t, DmaDetail::max_rank> stride{};      // bytes
  std::array<int64_t, DmaDetail::max_rank> coordinate{};  // of `first`
  std::array<int64_t, DmaDetail::max_rank> wrap{};        // 0: does not wrap within this tile
  uint64_t elements = 0;                                  // valid ones
  bool full = true;                                       // the whole tile is valid
  bool wraps = false;
};

// Evaluates and bounds-checks. Throws OutOfBounds, Undefined.
void resolve(const DmaDetail& detail, Frame& frame, DmaAccess& access);

// Tells the listener, which there is one of, of a resolved access, and of the bytes that a store without mask writes.
void tell_listener(const PeState& pe, const DmaAccess& access, uint32_t rank, DType dtype, bool store, bool masked);

// What a resolved transfer costs: time of the fabric interface, and bytes of whole DRAM accesses.
struct TransferCost {
  SubCycles duration = 0;
  uint64_t bytes = 0;
};
TransferCost transfer_cost(const PeState& pe, const DmaAccess& access, uint32_t rank, uint32_t size);

// Adds the transfer to the traffic and to the scoreboard.
void account(const DmaDetail& detail, const Tick& tick, Frame& frame, const DmaAccess& access);

// Decoding, for the DMA instructions on their own and within chains.
class Decoder;
DmaDetail* make_dma_detail(Decoder& decoder, uint32_t index);
Tick& make_dma_tick(Decoder& decoder, uint32_t index);

// The functional part.
void load_tile(const DmaDetail& detail, Frame& frame, const DmaAccess& access);
void store_tile(const DmaDetail& detail, Frame& frame, const DmaAccess& access);

// In timing mode: the account, and the values of a load that it depends on; what is not known of them is stood in for.
void time_transfer(const DmaDetail& detail, const Tick& tick, Frame& frame);

const Op* dma_load(const Op* op, Frame& frame);
const Op* dma_store(const Op* op, Frame& frame);

}  // namespace mtia::emulator
