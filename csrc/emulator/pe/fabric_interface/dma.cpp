// Structured DMA: descriptor evaluation, bounds, copies, cost.
#include "emulator/pe/fabric_interface/dma.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "emulator/checks/undefined_lanes.h"
#include "emulator/inspection/access_listener.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/fabric_interface/dma_segments.h"
#include "emulator/pe/fabric_interface/logged_access.h"
#include "emulator/pe/memory_layout_unit/strided_copy.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/stand_ins.h"
#include "emulator/timing_mode/timed_program.h"
#include "emulator/tolerance.h"

namespace mtia::emulator {
namespace {

[[noreturn]] void overflow(const DmaDetail& detail, uint64_t base) {
  throw OutOfBounds(concat(detail.is_store ? "write" : "read", " of a DMA descriptor with base ", base,
                           " whose addresses overflow 64 bits"),
                    "", "check the strides and offsets of the access");
}

int64_t floor_mod(int64_t value, int64_t modulus) {
  const int64_t rest = value % modulus;
  return rest < 0 ? rest + modulus : rest;
}

// One element that may lie outside of the launch's memory; without a local address it is only counted.
void move_element(const DmaDetail& detail, Frame& frame, uint64_t address, std::byte* local) {
  PeState& pe = *frame.pe;
  const uint64_t end = address + detail.size;
  const Access direction = detail.is_store ? Access::write : Access::read;
  std::byte* memory = element_span(frame, address, end, direction, detail.instruction);
  if (memory == nullptr) {
    if (!detail.is_store && local != nullptr) std::memset(local, 0, detail.size);
    return;
  }
  if (pe.journal != nullptr) {
    pe.journal->touch(address, end, detail.is_store, detail.dtype);
    if (detail.is_store) pe.journal->overwrite(address, end);
  }
  if (local != nullptr)
    detail.is_store ? std::memcpy(memory, local, detail.size) : std::memcpy(local, memory, detail.size);
  detail.is_store ? pe.count_write(address, end, detail.size) : pe.count_read(address, end, detail.size);
}

// Both directions of the functional transfer: the tile at `tile`, one box at a time. nullptr: elements that must be
// checked one by one are counted, nothing is moved.
void move_tile(const DmaDetail& detail, Frame& frame, const DmaAccess& access, std::byte* tile) {
  int64_t tile_offset = 0;
  int64_t mask_offset = 0;
  for (uint32_t d = 0; d < detail.rank; ++d) {
    tile_offset += access.first[d] * detail.tile_stride[d];
    mask_offset += access.first[d] * detail.mask_stride[d];
  }
  const bool masked = detail.has_mask && !detail.mask_is_scalar;
  std::array<int64_t, 6> first{};
  std::array<int64_t, 6> extent{};
  for_each_segment(access, detail.rank, 0, first, extent, 0, [&](const auto& begin, const auto& count, int64_t offset) {
    StridedBox box;
    box.rank = detail.rank;
    box.extent = count;
    int64_t at = tile_offset;
    int64_t mask_at = mask_offset;
    for (uint32_t d = 0; d < detail.rank; ++d) {
      at += begin[d] * detail.tile_stride[d];
      mask_at += begin[d] * detail.mask_stride[d];
      box.to_stride[d] = detail.is_store ? access.stride[d] : detail.tile_stride[d];
      box.from_stride[d] = detail.is_store ? detail.tile_stride[d] : access.stride[d];
    }
    if (!masked && access.host != nullptr) {
      std::byte* memory = access.host + offset;
      detail.is_store ? copy_box(box, memory, tile + at, detail.size) : copy_box(box, tile + at, memory, detail.size);
      return;
    }
    const std::byte* mask = masked ? frame.at(detail.mask) + mask_at : nullptr;
    if (access.host != nullptr) {
      std::byte* memory = access.host + offset;
      detail.is_store ? copy_box_masked(box, memory, tile + at, detail.size, mask, detail.mask_stride)
                      : copy_box_masked(box, tile + at, memory, detail.size, mask, detail.mask_stride);
      return;
    }
    // The descriptor's whole range is not accessible: each element that the mask lets through must be, or is left out.
    std::array<int64_t, 6> index{};
    for (;;) {
      int64_t memory_offset = offset;
      int64_t local_offset = at;
      int64_t mask_index = 0;
      for (uint32_t d = 0; d < detail.rank; ++d) {
        memory_offset += index[d] * access.stride[d];
        local_offset += index[d] * detail.tile_stride[d];
        mask_index += index[d] * detail.mask_stride[d];
      }
      if (mask == nullptr || mask[mask_index] != std::byte{0})
        move_element(detail, frame, access.address + static_cast<uint64_t>(memory_offset),
                     tile == nullptr ? nullptr : tile + local_offset);
      uint32_t d = detail.rank;
      while (d > 0) {
        --d;
        if (++index[d] < count[d]) break;
        index[d] = 0;
        if (d == 0) return;
      }
      if (detail.rank == 0) return;
    }
  });
}

}  // namespace

void resolve(const DmaDetail& detail, Frame& frame, DmaAccess& access) {
  const uint64_t base = frame.scalars()[detail.base];
  int64_t low = 0;
  int64_t high = 0;
  int64_t origin = 0;
  access.elements = 1;
  access.full = true;
  access.wraps = false;
  for (uint32_t d = 0; d < detail.rank; ++d) {
    const DmaDetail::Dimension& operands = detail.dimension[d];
    const int64_t size = detail.dims[d];
    const int64_t first = operands.low == absent ? 0 : std::max<int64_t>(0, frame.integer(operands.low));
    const int64_t end = operands.high == absent ? size : std::min(size, frame.integer(operands.high));
    const int64_t extent = end > first ? end - first : 0;
    access.first[d] = first;
    access.extent[d] = extent;
    access.elements *= static_cast<uint64_t>(extent);
    access.full = access.full && extent == size;
    access.wrap[d] = 0;
    if (extent == 0) continue;
    int64_t stride = 0;
    if (operands.stride != absent &&
        __builtin_mul_overflow(frame.integer(operands.stride), static_cast<int64_t>(detail.size), &stride))
      overflow(detail, base);
    int64_t coordinate = first;
    if (operands.start != absent && __builtin_add_overflow(first, frame.integer(operands.start), &coordinate))
      overflow(detail, base);
    int64_t smallest = coordinate;
    int64_t largest = 0;
    if (operands.wrap != absent) {
      const int64_t wrap = frame.integer(operands.wrap);
      if (wrap <= 0)
        throw Undefined(concat("DMA descriptor with wrap ", wrap), "", "a wrapping dimension needs a positive size");
      coordinate = floor_mod(coordinate, wrap);
      smallest = coordinate;
      if (extent > wrap - coordinate) {
        access.wrap[d] = wrap;
        access.wraps = true;
        smallest = 0;
        largest = wrap - 1;
      } else {
        largest = coordinate + extent - 1;
      }
    } else if (__builtin_add_overflow(coordinate, extent - 1, &largest)) {
      overflow(detail, base);
    }
    access.coordinate[d] = coordinate;
    access.stride[d] = stride;
    int64_t at_smallest = 0;
    int64_t at_largest = 0;
    int64_t at_first = 0;
    bool bad = __builtin_mul_overflow(smallest, stride, &at_smallest);
    bad = __builtin_mul_overflow(largest, stride, &at_largest) || bad;
    bad = __builtin_mul_overflow(coordinate, stride, &at_first) || bad;
    bad = __builtin_add_overflow(low, std::min(at_smallest, at_largest), &low) || bad;
    bad = __builtin_add_overflow(high, std::max(at_smallest, at_largest), &high) || bad;
    bad = __builtin_add_overflow(origin, at_first, &origin) || bad;
    if (bad) overflow(detail, base);
  }
  if (detail.mask_is_scalar && (*frame.at(detail.mask) & std::byte{1}) == std::byte{0}) {
    access.elements = 0;
    access.full = false;
  }
  if (access.elements == 0) {
    access.full = access.full && detail.elements == 0;
    return;
  }
  access.low = base + static_cast<uint64_t>(low);
  access.high = base + static_cast<uint64_t>(high) + detail.size;
  access.address = base + static_cast<uint64_t>(origin);
  if (access.high < access.low) overflow(detail, base);
  if (frame.pe->log != nullptr) check_bounds(detail, frame, access);
  if ((detail.has_mask && !detail.mask_is_scalar) || frame.tolerated != nullptr) {
    access.host = nullptr;
    if (!frame.pe->reachable(access.low, access.high)) return;
  } else {
    frame.pe->span(access.low, access.high, detail.is_store ? Access::write : Access::read);
  }
  access.host = frame.pe->memory->backing_of(access.address);
  if (frame.pe->journal != nullptr)
    tell_listener(*frame.pe, access, detail.rank, detail.dtype, detail.is_store,
                  detail.has_mask && !detail.mask_is_scalar);
}

void tell_listener(const PeState& pe, const DmaAccess& access, uint32_t rank, DType dtype, bool store, bool masked) {
  pe.journal->touch(access.low, access.high, store, dtype);
  if (!store || masked) return;
  std::array<int64_t, DmaDetail::max_rank> first{};
  std::array<int64_t, DmaDetail::max_rank> extent{};
  const auto size = static_cast<int64_t>(size_of(dtype));
  for_each_segment(access, rank, 0, first, extent, 0, [&](const auto&, auto count, int64_t offset) {
    // Bytes that follow each other: of the innermost dimensions, or of one that others lie within.
    int64_t run = size;
    for (uint32_t d = rank; d-- > 0;) {
      if (count[d] == 1) continue;
      if (access.stride[d] != run) break;
      run *= std::exchange(count[d], 1);
    }
    for (uint32_t d = 0; d < rank && run == size; ++d) {
      if (access.stride[d] == size) run *= std::exchange(count[d], 1);
    }
    std::array<int64_t, DmaDetail::max_rank> index{};
    uint32_t d = 0;
    do {
      const uint64_t at = access.address + static_cast<uint64_t>(offset);
      pe.journal->overwrite(at, at + static_cast<uint64_t>(run));
      for (d = 0; d < rank; ++d) {
        offset += access.stride[d];
        if (++index[d] < count[d]) break;
        offset -= count[d] * access.stride[d];
        index[d] = 0;
      }
    } while (d < rank);
  });
}

TransferCost transfer_cost(const PeState& pe, const DmaAccess& access, uint32_t rank, uint32_t size) {
  const CostModel& costs = *pe.costs;
  if (access.elements == 0) return {costs.transfer(0, 0, 0), 0};
  // Contiguous pieces: as many inner dimensions as follow each other without a gap; of a transposed tile, the dimension
  // of stride 1.
  uint64_t run = 1;
  int64_t expected = size;
  for (uint32_t d = rank; d-- > 0;) {
    if (access.extent[d] == 1) continue;
    if (access.stride[d] != expected || access.wrap[d] != 0) break;
    run *= static_cast<uint64_t>(access.extent[d]);
    expected *= access.extent[d];
  }
  if (run == 1) {
    for (uint32_t d = 0; d < rank; ++d) {
      if (access.stride[d] == size && access.wrap[d] == 0) run = std::max(run, static_cast<uint64_t>(access.extent[d]));
    }
  }
  const uint64_t rows = access.elements / run;
  const uint64_t run_bytes = run * size;
  const uint64_t bytes = access.elements * size;
  uint64_t misaligned = 0;
  if (const uint64_t alignment = costs.alignment(); alignment > 1) {
    uint64_t offsets = access.address;
    for (uint32_t d = 0; d < rank; ++d) {
      if (access.extent[d] > 1 && access.stride[d] != size) offsets |= static_cast<uint64_t>(access.stride[d]);
    }
    if (offsets % alignment != 0 && !costs.misaligned_allowed()) {
      throw Unsupported(concat("DMA at device address ", access.address, " is not aligned to the ", alignment,
                               " bytes that ", pe.chip->name, " needs"),
                        "", "align the tensor and its row stride, or choose a chip with byte-aligned DMA");
    }
    if (offsets % alignment != 0 || run_bytes % alignment != 0) misaligned = rows;
  }
  return {costs.transfer(bytes, rows, misaligned),
          run_bytes >= costs.access_bytes() ? bytes : rows * costs.access_bytes()};
}

void account(const DmaDetail& detail, const Tick& tick, Frame& frame, const DmaAccess& access) {
  PeState& pe = *frame.pe;
  if (pe.log != nullptr) log_access(detail, frame, access);
  const TransferCost cost = transfer_cost(pe, access, detail.rank, detail.size);
  SubCycles latency = 0;
  if (access.elements != 0 && access.host != nullptr) {
    pe.span(access.low, access.high, detail.is_store ? Access::write : Access::read);  // makes it the current window
    detail.is_store ? pe.count_write(access.low, access.high, cost.bytes)
                    : pe.count_read(access.low, access.high, cost.bytes);
    if (!detail.is_store) latency = pe.load_latency();
  }
  pe.board.issue(tick, cost.duration, latency);
}

void load_tile(const DmaDetail& detail, Frame& frame, const DmaAccess& access) {
  uint64_t scalar = 0;
  std::byte* tile = detail.scalar != absent ? reinterpret_cast<std::byte*>(&scalar) : frame.at(detail.tile);
  if (!access.full || (detail.has_mask && !detail.mask_is_scalar)) {
    uint64_t other = 0;
    if (detail.has_other) {
      std::memcpy(&other, frame.at(detail.other), detail.size);
    } else if (frame.pe->log != nullptr) {
      other = undefined_lane(detail.dtype);
    }
    host_math::fill(tile, &other, detail.size, detail.elements);
  }
  if (access.elements != 0) move_tile(detail, frame, access, tile);
  if (detail.scalar != absent) frame.scalars()[detail.scalar] = normalised(detail.dtype, scalar);
}

void store_tile(const DmaDetail& detail, Frame& frame, const DmaAccess& access) {
  if (access.elements == 0) return;
  std::byte* tile =
      detail.scalar != absent ? reinterpret_cast<std::byte*>(&frame.scalars()[detail.scalar]) : frame.at(detail.tile);
  move_tile(detail, frame, access, tile);
}

const Op* dma_load(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const DmaDetail*>(op->detail);
  DmaAccess access;
  resolve(detail, frame, access);
  if (detail.lazy) {
    LazyTile& view = frame.lazy[detail.lazy_number];
    const auto size = static_cast<int64_t>(detail.size);
    const uint32_t batch = detail.rank - 2;
    // The dot reads whole elements through element strides.
    const bool viewable = access.full && !access.wraps && access.elements != 0 && access.host != nullptr &&
                          access.address % detail.size == 0;
    view.is_in_device_memory = viewable;
    if (viewable) {
      view.data = access.host;
      view.strides = {batch != 0 ? access.stride[0] / size : 0, access.stride[batch] / size,
                      access.stride[batch + 1] / size};
    } else {
      load_tile(detail, frame, access);
      view.data = frame.at(detail.tile);
      view.strides = {batch != 0 ? detail.tile_stride[0] / size : 0, detail.tile_stride[batch] / size, 1};
    }
  } else {
    load_tile(detail, frame, access);
  }
  account(detail, *op->tick, frame, access);
  return op + 1;
}

const Op* dma_store(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const DmaDetail*>(op->detail);
  DmaAccess access;
  resolve(detail, frame, access);
  store_tile(detail, frame, access);
  account(detail, *op->tick, frame, access);
  return op + 1;
}

namespace {

// Where the address or the mask of an access comes from a stand-in, it may lie outside of the launch's memory: it then
// costs what it costs inside.
void resolve_spread(const DmaDetail& detail, Frame& frame, DmaAccess& access) {
  PeState& pe = *frame.pe;
  bool outside = false;
  try {
    resolve(detail, frame, access);
    outside = access.elements != 0 && access.host == nullptr && pe.timed.mask_is_unknown;
    if (outside) pe.timed.uses_stand_ins = true;
  } catch (const OutOfBounds&) {
    if (!pe.timed.uses_stand_ins) throw;
    outside = true;
  }
  if (!outside) return;
  const AddressRange window = pe.spread_from(access.address);
  access.low = access.address = window.begin;
  access.high = window.end;
  access.host = pe.memory->backing_of(window.begin);
}

// What stands in for the values of a load that are not known.
void fill_in(const DmaDetail& detail, Frame& frame, const DmaAccess& access, uint8_t needs) {
  PeState& pe = *frame.pe;
  const bool decides = (needs & (needed_for_address | needed_for_control)) != 0;
  (decides ? pe.timed.uses_stand_ins : pe.timed.mask_is_unknown) = true;
  uint64_t scalar = 0;
  std::byte* to = detail.scalar != absent ? reinterpret_cast<std::byte*>(&scalar) : frame.at(detail.tile);
  pe.timed.stand_ins->fill(needs, detail.dtype, to, detail.elements, access.address);
  if (detail.scalar != absent) frame.scalars()[detail.scalar] = normalised(detail.dtype, scalar);
}

}  // namespace

void time_transfer(const DmaDetail& detail, const Tick& tick, Frame& frame) {
  PeState& pe = *frame.pe;
  DmaAccess access;
  resolve_spread(detail, frame, access);
  const uint8_t needs = detail.is_store ? uint8_t{not_needed} : frame.program->needs[detail.instruction];
  pe.timed.reads_contents = pe.timed.reads_contents || needs != 0;
  if (needs != 0 && (access.elements == 0 || pe.timed.known->covers({access.low, access.high}))) {
    load_tile(detail, frame, access);
  } else {
    if (needs != 0) fill_in(detail, frame, access, needs);
    if (access.elements != 0 && access.host == nullptr) move_tile(detail, frame, access, nullptr);
  }
  if (detail.lazy) {
    const uint32_t batch = detail.rank - 2;
    const auto size = static_cast<int64_t>(detail.size);
    LazyTile& view = frame.lazy[detail.lazy_number];
    view.is_in_device_memory = false;
    view.data = frame.at(detail.tile);
    view.strides = {batch != 0 ? detail.tile_stride[0] / size : 0, detail.tile_stride[batch] / size, 1};
  }
  account(detail, tick, frame, access);
  if (pe.timed.ranges != nullptr && access.elements != 0) {
    TransferRange& range = pe.timed.ranges[frame.program->transfer_of[detail.instruction]];
    range.add(access.low, access.high, pe.last_window);
    range.is_scattered = range.is_scattered || access.host == nullptr;
  }
}

const Op* timed_dma(const Op* op, Frame& frame) {
  time_transfer(*static_cast<const DmaDetail*>(op->detail), *op->tick, frame);
  return op + 1;
}

DmaDetail* make_dma_detail(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const bool store = instruction.opcode == Opcode::dma_store;
  auto* detail = decoder.loaded.details.make<DmaDetail>();
  const uint32_t tile = store ? instruction.operands[1] : instruction.results[0];
  const Value& value = decoder.value(tile);
  detail->is_store = store;
  detail->instruction = index;
  detail->dtype = value.dtype;
  detail->size = static_cast<uint32_t>(size_of(value.dtype));
  detail->elements = value.elements();
  detail->rank = value.is_tile() ? value.rank : 0;
  detail->base = instruction.operands[0];
  detail->tile = decoder.place(tile);
  if (!value.is_tile()) detail->scalar = tile;
  int64_t stride = detail->size;
  for (uint32_t d = detail->rank; d-- > 0;) {
    detail->dims[d] = value.dims[d];
    detail->tile_stride[d] = stride;
    stride *= value.dims[d];
    const size_t at = 3 + 5 * static_cast<size_t>(d);
    detail->dimension[d] = {instruction.operands[at], instruction.operands[at + 1], instruction.operands[at + 2],
                            instruction.operands[at + 3], instruction.operands[at + 4]};
  }
  if (!store && instruction.operands[1] != absent) {
    detail->has_other = true;
    detail->other = decoder.place(instruction.operands[1]);
  }
  if (const uint32_t mask = instruction.operands[2]; mask != absent) {
    detail->has_mask = true;
    detail->mask = decoder.place(mask);
    detail->mask_is_scalar = !decoder.is_tile(mask);
    if (!detail->mask_is_scalar) {
      int64_t step = 1;
      const Value& tile_mask = decoder.value(mask);
      for (uint32_t d = detail->rank; d-- > 0;) {
        detail->mask_stride[d] = tile_mask.dims[d] == 1 ? 0 : step;
        step *= tile_mask.dims[d];
      }
    }
  }
  detail->lazy = decoder.is_lazy(index);
  detail->lazy_number = store ? 0 : instruction.results[0];
  return detail;
}

Tick& make_dma_tick(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const bool store = instruction.opcode == Opcode::dma_store;
  // Addresses are the scalar core's: it waits for the late ones among them. `other` and a stored scalar go with the
  // descriptor.
  std::vector<uint32_t> addresses(instruction.operands.begin() + 2, instruction.operands.end());
  addresses.push_back(instruction.operands[0]);
  decoder.emit_waits(addresses);
  Tick& tick = decoder.make_tick(index);
  decoder.costs.fabric(tick, decoder.bytes_of(store ? instruction.operands[1] : instruction.results[0]), store);
  return tick;
}

void decode_dma(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const DmaDetail* detail = make_dma_detail(decoder, index);
  const Tick& tick = make_dma_tick(decoder, index);
  Op& op = decoder.emit(instruction.opcode == Opcode::dma_store ? dma_store : dma_load, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
