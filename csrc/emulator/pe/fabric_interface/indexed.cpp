// Gather and scatter: one bounds check for the range of all offsets where that suffices, one an element where it does
// not.
#include "emulator/pe/fabric_interface/indexed.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "emulator/checks/undefined_lanes.h"
#include "emulator/inspection/access_listener.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/fabric_interface/atomics.h"
#include "emulator/pe/fabric_interface/logged_access.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/stand_ins.h"
#include "emulator/timing_mode/timed_program.h"
#include "emulator/tolerance.h"
#include "host_math/elementwise.h"

namespace mtia::emulator {
namespace {

struct Offsets {
  const std::byte* data;
  bool wide;
  bool single;
  int64_t at(uint64_t i) const {
    const uint64_t index = single ? 0 : i;
    if (wide) {
      int64_t value = 0;
      std::memcpy(&value, data + index * 8, 8);
      return value;
    }
    int32_t value = 0;
    std::memcpy(&value, data + index * 4, 4);
    return value;
  }
};

// A scalar's slot holds its value sign-extended to 64 bits, so it may always be read as i64.
Offsets offsets_of(const IndexedDetail& detail, Frame& frame) {
  return {frame.at(detail.offset), detail.offset_dtype == DType::I64 || detail.offset_single, detail.offset_single};
}

struct Mask {
  const std::byte* data;  // nullptr: all
  bool single;
  bool at(uint64_t i) const { return data == nullptr || data[single ? 0 : i] != std::byte{0}; }
};

// One that lets all elements through is none.
Mask mask_of(const IndexedDetail& detail, Frame& frame) {
  if (!detail.has_mask) return {nullptr, false};
  const std::byte* mask = frame.at(detail.mask);
  if (std::memchr(mask, 0, detail.mask_single ? 1 : detail.elements) == nullptr) return {nullptr, false};
  return {mask, detail.mask_single};
}

// Least and greatest offset, in lanes that the host works on at once.
template <typename Offset>
std::pair<int64_t, int64_t> extremes(const std::byte* data, uint64_t count) {
  constexpr uint64_t lanes = 4;
  const auto at = [data](uint64_t i) {
    Offset offset;
    std::memcpy(&offset, data + i * sizeof(Offset), sizeof(Offset));
    return offset;
  };
  std::array<Offset, lanes> least;
  std::array<Offset, lanes> most;
  least.fill(at(0));
  most.fill(at(0));
  uint64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (uint64_t lane = 0; lane < lanes; ++lane) {
      const Offset offset = at(i + lane);
      least[lane] = std::min(least[lane], offset);
      most[lane] = std::max(most[lane], offset);
    }
  }
  for (; i < count; ++i) {
    least[0] = std::min(least[0], at(i));
    most[0] = std::max(most[0], at(i));
  }
  return {*std::min_element(least.begin(), least.end()), *std::max_element(most.begin(), most.end())};
}

struct Addressing {
  uint64_t base = 0;
  uint64_t scale = 1;
  bool reachable = false;  // the whole range may be touched
  uint64_t active = 0;
  uint64_t low = 0;
  uint64_t high = 0;

  uint64_t address(int64_t offset) const { return base + static_cast<uint64_t>(offset) * scale; }
};

// Atomics write what they make of what they read.
void tell_listener(const IndexedDetail& detail, Frame& frame, uint64_t low, uint64_t high, Access access) {
  if (access == Access::read || detail.is_atomic) frame.pe->journal->touch(low, high, false, detail.dtype);
  if (access == Access::write) frame.pe->journal->touch(low, high, true, detail.dtype);
}

Addressing address_range(const IndexedDetail& detail, Frame& frame, const Offsets& offsets, const Mask& mask,
                         Access access) {
  Addressing range;
  range.base = detail.base == absent ? 0 : frame.scalars()[detail.base];
  range.scale = detail.base == absent ? 1 : detail.size;
  int64_t least = INT64_MAX;
  int64_t most = INT64_MIN;
  if (mask.data == nullptr && detail.elements != 0) {
    const uint64_t count = offsets.single ? 1 : detail.elements;
    std::tie(least, most) =
        offsets.wide ? extremes<int64_t>(offsets.data, count) : extremes<int32_t>(offsets.data, count);
    range.active = detail.elements;
  } else {
    for (uint64_t i = 0; i < detail.elements; ++i) {
      if (!mask.at(i)) continue;
      const int64_t offset = offsets.at(i);
      least = std::min(least, offset);
      most = std::max(most, offset);
      ++range.active;
    }
  }
  if (range.active == 0) return range;
  constexpr int64_t limit = int64_t{1} << 59;  // beyond, base + size * offset may overflow: check each
  range.low = range.address(least);
  range.high = range.address(most) + detail.size;
  if ((detail.base != absent && (least < -limit || most > limit)) || range.high < range.low) return range;
  if (!frame.pe->reachable(range.low, range.high)) return range;
  range.reachable = true;
  if (frame.pe->journal != nullptr) tell_listener(detail, frame, range.low, range.high, access);
  return range;
}

// nullptr where the element is outside of the launch's memory and that is tolerated.
std::byte* element(const IndexedDetail& detail, Frame& frame, const Addressing& range, int64_t offset, Access access) {
  if (range.reachable) return frame.pe->memory->backing_of(range.address(offset));
  const uint64_t address = range.address(offset);
  std::byte* host = element_span(frame, address, address + detail.size, access, detail.instruction);
  if (host == nullptr) return nullptr;
  if (frame.pe->journal != nullptr) tell_listener(detail, frame, address, address + detail.size, access);
  const uint64_t bytes = frame.pe->costs->access_bytes();
  access == Access::read ? frame.pe->count_read(address, address + detail.size, bytes)
                         : frame.pe->count_write(address, address + detail.size, bytes);
  return host;
}

// In checked mode, before the access is made.
void tell(const IndexedDetail& detail, Frame& frame, const Addressing& range, const Offsets& offsets, const Mask& mask,
          AccessKind kind) {
  RowCollector rows(*frame.pe->log, kind, detail.instruction);
  for (uint64_t i = 0; i < detail.elements; ++i) {
    if (mask.at(i)) rows.add(range.address(offsets.at(i)), detail.size);
  }
  rows.finish();
}

// After a scatter.
void tell_lanes(const IndexedDetail& detail, Frame& frame, const Addressing& range, const Offsets& offsets,
                const Mask& mask) {
  ByteRows rows;
  rows.run = detail.size;
  for (uint64_t i = 0; i < detail.elements; ++i) {
    if (!mask.at(i)) continue;
    rows.base = range.address(offsets.at(i));
    frame.pe->log->check_lanes(detail.instruction, detail.dtype, rows);
  }
}

void finish(const IndexedDetail& detail, const Op* op, Frame& frame, const Addressing& range, CostModel::Indexed kind) {
  const CostModel& costs = *frame.pe->costs;
  const uint64_t bytes = range.active * detail.size;
  SubCycles latency = 0;
  if (range.reachable && range.active != 0) {
    frame.pe->span(range.low, range.high, Access::read);
    // Elements next to each other share DRAM accesses: no more bytes are fetched than the accesses that cover the
    // range.
    const uint64_t access_bytes = costs.access_bytes();
    const uint64_t fetched = std::min(range.active * std::max<uint64_t>(access_bytes, detail.size),
                                      (range.high - range.low + access_bytes - 1) / access_bytes * access_bytes);
    if (kind != CostModel::Indexed::scatter) frame.pe->count_read(range.low, range.high, fetched);
    if (kind != CostModel::Indexed::gather) frame.pe->count_write(range.low, range.high, fetched);
    if (kind != CostModel::Indexed::scatter) latency = frame.pe->load_latency();
  }
  frame.pe->board.issue(*op->tick, costs.indexed_transfer(kind, bytes, range.active), latency);
}

// Calls body(element, host pointer) for all elements of an access that is reachable and has no mask.
template <typename Offset, typename Body>
void for_each_reachable(const Frame& frame, const IndexedDetail& detail, const Addressing& range,
                        const Offsets& offsets, const Body& body) {
  std::byte* base = frame.pe->memory->backing_of(range.low);
  for (uint64_t i = 0; i < detail.elements; ++i) {
    Offset offset;
    std::memcpy(&offset, offsets.data + i * sizeof(Offset), sizeof(Offset));
    body(i, base + (range.address(offset) - range.low));
  }
}

// The same where an access is that, for either width of offsets; false where it is not.
template <typename Body>
bool all_reachable(const Frame& frame, const IndexedDetail& detail, const Addressing& range, const Offsets& offsets,
                   const Mask& mask, const Body& body) {
  if (!range.reachable || mask.data != nullptr || offsets.single) return false;
  offsets.wide ? for_each_reachable<int64_t>(frame, detail, range, offsets, body)
               : for_each_reachable<int32_t>(frame, detail, range, offsets, body);
  return true;
}

template <size_t size>
void gather_elements(const IndexedDetail& detail, Frame& frame, const Addressing& range, const Offsets& offsets,
                     const Mask& mask, std::byte* to) {
  const auto take = [to](uint64_t i, const std::byte* from) { std::memcpy(to + i * size, from, size); };
  if (all_reachable(frame, detail, range, offsets, mask, take)) return;
  const std::byte* other = detail.has_other ? frame.at(detail.other) : nullptr;
  const uint64_t nothing = frame.pe->log != nullptr ? undefined_lane(detail.dtype) : 0;
  for (uint64_t i = 0; i < detail.elements; ++i) {
    if (mask.at(i)) {
      const std::byte* from = element(detail, frame, range, offsets.at(i), Access::read);
      from != nullptr ? std::memcpy(to + i * size, from, size) : std::memset(to + i * size, 0, size);
    } else if (other != nullptr) {
      std::memcpy(to + i * size, other + (detail.other_single ? 0 : i * size), size);
    } else {
      if (nothing != 0) frame.pe->log->leave_lanes_undefined(detail.instruction);
      std::memcpy(to + i * size, &nothing, size);
    }
  }
}

const Op* run_gather(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const IndexedDetail*>(op->detail);
  const Offsets offsets = offsets_of(detail, frame);
  const Mask mask = mask_of(detail, frame);
  const Addressing range = address_range(detail, frame, offsets, mask, Access::read);
  if (frame.pe->log != nullptr) tell(detail, frame, range, offsets, mask, AccessKind::read);
  uint64_t scalar = 0;
  std::byte* to = detail.result_scalar != absent ? reinterpret_cast<std::byte*>(&scalar) : frame.at(detail.result);
  switch (detail.size) {
    case 1:
      gather_elements<1>(detail, frame, range, offsets, mask, to);
      break;
    case 2:
      gather_elements<2>(detail, frame, range, offsets, mask, to);
      break;
    case 4:
      gather_elements<4>(detail, frame, range, offsets, mask, to);
      break;
    default:
      gather_elements<8>(detail, frame, range, offsets, mask, to);
      break;
  }
  if (detail.result_scalar != absent) frame.scalars()[detail.result_scalar] = normalised(detail.dtype, scalar);
  finish(detail, op, frame, range, CostModel::Indexed::gather);
  return op + 1;
}

template <size_t size>
void scatter_elements(const IndexedDetail& detail, Frame& frame, const Addressing& range, const Offsets& offsets,
                      const Mask& mask) {
  const std::byte* from = frame.at(detail.value);
  const uint64_t step = detail.value_single ? 0 : size;
  const auto put = [from, step](uint64_t i, std::byte* to) { std::memcpy(to, from + i * step, size); };
  if (all_reachable(frame, detail, range, offsets, mask, put)) return;
  for (uint64_t i = 0; i < detail.elements; ++i) {
    if (!mask.at(i)) continue;
    std::byte* to = element(detail, frame, range, offsets.at(i), Access::write);
    if (to != nullptr) std::memcpy(to, from + (detail.value_single ? 0 : i * size), size);
  }
}

const Op* run_scatter(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const IndexedDetail*>(op->detail);
  const Offsets offsets = offsets_of(detail, frame);
  const Mask mask = mask_of(detail, frame);
  const Addressing range = address_range(detail, frame, offsets, mask, Access::write);
  if (frame.pe->log != nullptr) tell(detail, frame, range, offsets, mask, AccessKind::write);
  switch (detail.size) {
    case 1:
      scatter_elements<1>(detail, frame, range, offsets, mask);
      break;
    case 2:
      scatter_elements<2>(detail, frame, range, offsets, mask);
      break;
    case 4:
      scatter_elements<4>(detail, frame, range, offsets, mask);
      break;
    default:
      scatter_elements<8>(detail, frame, range, offsets, mask);
      break;
  }
  if (frame.pe->log != nullptr) tell_lanes(detail, frame, range, offsets, mask);
  finish(detail, op, frame, range, CostModel::Indexed::scatter);
  return op + 1;
}

template <typename Float>
void add_in_order(const IndexedDetail& detail, Frame& frame, const Addressing& range, const Offsets& offsets,
                  const Mask& mask, const std::byte* value) {
  const uint64_t step = detail.value_single ? 0 : sizeof(Float);
  all_reachable(frame, detail, range, offsets, mask, [value, step](uint64_t i, std::byte* memory) {
    Float operand;
    Float sum;
    std::memcpy(&operand, value + i * step, sizeof(Float));
    std::memcpy(&sum, memory, sizeof(Float));
    sum += operand;
    std::memcpy(memory, &sum, sizeof(Float));
  });
}

// Sums that nobody reads the old values of, by programs of which one runs at a time: whether they were added.
bool add_plainly(const IndexedDetail& detail, Frame& frame, const Addressing& range, const Offsets& offsets,
                 const Mask& mask, const std::byte* value) {
  const bool is_plain = frame.program->ordered && !detail.has_result && range.reachable && mask.data == nullptr &&
                        !offsets.single && range.scale % detail.size == 0 && range.low % detail.size == 0;
  if (!is_plain || static_cast<AtomicKind>(detail.kind) != AtomicKind::add_f) return false;
  if (detail.dtype == DType::F32) {
    add_in_order<float>(detail, frame, range, offsets, mask, value);
    return true;
  }
  if (detail.dtype != DType::F64) return false;
  add_in_order<double>(detail, frame, range, offsets, mask, value);
  return true;
}

const Op* run_atomic(const Op* op, Frame& frame, bool swap) {
  const auto& detail = *static_cast<const IndexedDetail*>(op->detail);
  const Offsets offsets = offsets_of(detail, frame);
  const Mask mask = mask_of(detail, frame);
  const Addressing range = address_range(detail, frame, offsets, mask, Access::write);
  if (frame.pe->log != nullptr) tell(detail, frame, range, offsets, mask, AccessKind::atomic);
  const std::byte* value = frame.at(detail.value);
  const std::byte* desired = swap ? frame.at(detail.desired) : nullptr;
  uint64_t scalar = 0;
  std::byte* old = !detail.has_result ? nullptr
                                      : (detail.result_scalar != absent ? reinterpret_cast<std::byte*>(&scalar)
                                                                        : frame.at(detail.result));
  const uint64_t left = !swap && add_plainly(detail, frame, range, offsets, mask, value) ? 0 : detail.elements;
  for (uint64_t i = 0; i < left; ++i) {
    if (!mask.at(i)) {
      if (old != nullptr) std::memset(old + i * detail.size, 0, detail.size);
      continue;
    }
    const int64_t offset = offsets.at(i);
    if (range.address(offset) % detail.size != 0) {
      throw Undefined(concat("atomic operation at device address ", range.address(offset),
                             " that is not a multiple of ", detail.size),
                      "", "align the pointer");
    }
    std::byte* memory = element(detail, frame, range, offset, Access::write);
    if (memory == nullptr) {
      if (old != nullptr) std::memset(old + i * detail.size, 0, detail.size);
      continue;
    }
    uint64_t operand = 0;
    std::memcpy(&operand, value + (detail.value_single ? 0 : i * detail.size), detail.size);
    uint64_t before = 0;
    if (swap) {
      uint64_t replacement = 0;
      std::memcpy(&replacement, desired + (detail.desired_single ? 0 : i * detail.size), detail.size);
      before = atomic_compare_and_swap(memory, detail.size, operand, replacement);
    } else {
      before = atomic_update(memory, detail.dtype, static_cast<AtomicKind>(detail.kind), operand);
    }
    if (old != nullptr) std::memcpy(old + i * detail.size, &before, detail.size);
  }
  if (detail.result_scalar != absent) frame.scalars()[detail.result_scalar] = normalised(detail.dtype, scalar);
  if (frame.pe->log != nullptr) frame.pe->log->synchronise();
  finish(detail, op, frame, range, CostModel::Indexed::atomic);
  return op + 1;
}

const Op* run_atomic_rmw(const Op* op, Frame& frame) { return run_atomic(op, frame, false); }
const Op* run_atomic_cas(const Op* op, Frame& frame) { return run_atomic(op, frame, true); }

// In timing mode: where offsets come from a stand-in they may lie outside of the launch's memory; such an access costs
// what one spread over the whole of its tensor costs.
Addressing timed_range(const IndexedDetail& detail, Frame& frame, const Offsets& offsets, const Mask& mask,
                       Access access) {
  PeState& pe = *frame.pe;
  Addressing range = address_range(detail, frame, offsets, mask, access);
  if (range.active == 0 || range.reachable) return range;
  if (!pe.timed.uses_stand_ins) {
    for (uint64_t i = 0; i < detail.elements; ++i) {
      if (mask.at(i)) element(detail, frame, range, offsets.at(i), access);
    }
    return range;
  }
  const AddressRange window = pe.spread_from(detail.base == absent ? range.low : range.base);
  range.low = window.begin;
  range.high = window.end;
  range.reachable = true;
  return range;
}

const Op* time_indexed(const Op* op, Frame& frame, CostModel::Indexed kind) {
  const auto& detail = *static_cast<const IndexedDetail*>(op->detail);
  const Access access = kind == CostModel::Indexed::gather ? Access::read : Access::write;
  const Addressing range = timed_range(detail, frame, offsets_of(detail, frame), mask_of(detail, frame), access);
  finish(detail, op, frame, range, kind);
  return op + 1;
}

IndexedDetail* make_detail(Decoder& decoder, uint32_t index, uint32_t typed) {
  const Instruction& instruction = decoder.program.instructions[index];
  auto* detail = decoder.loaded.details.make<IndexedDetail>();
  const uint32_t offset = instruction.operands[1];
  detail->instruction = index;
  detail->base = instruction.operands[0];
  detail->offset = decoder.place(offset);
  detail->offset_dtype = decoder.value(offset).dtype;
  detail->offset_single = !decoder.is_tile(offset);
  detail->dtype = decoder.value(typed).dtype;
  detail->size = static_cast<uint32_t>(size_of(detail->dtype));
  detail->elements = decoder.is_tile(offset) ? decoder.value(offset).elements()
                                             : (decoder.is_tile(typed) ? decoder.value(typed).elements() : 1);
  if (!instruction.results.empty() && instruction.results[0] != absent) {
    const uint32_t result = instruction.results[0];
    detail->has_result = true;
    detail->result = decoder.place(result);
    if (!decoder.is_tile(result)) detail->result_scalar = result;
  }
  return detail;
}

void set_mask(Decoder& decoder, IndexedDetail& detail, uint32_t mask) {
  if (mask == absent) return;
  detail.has_mask = true;
  detail.mask = decoder.place(mask);
  detail.mask_single = !decoder.is_tile(mask);
}

void finish_decoding(Decoder& decoder, uint32_t index, const IndexedDetail* detail, Handler run) {
  Tick& tick = decoder.make_tick(index);
  const Instruction& instruction = decoder.program.instructions[index];
  decoder.costs.fabric(tick, decoder.local_bytes(instruction), instruction.opcode == Opcode::scatter);
  Op& op = decoder.emit(run, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace

const Op* timed_gather(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const IndexedDetail*>(op->detail);
  const uint8_t needs = frame.program->needs[op->instruction];
  if (needs == 0) return time_indexed(op, frame, CostModel::Indexed::gather);
  PeState& pe = *frame.pe;
  const Offsets offsets = offsets_of(detail, frame);
  const Mask mask = mask_of(detail, frame);
  const Addressing range = timed_range(detail, frame, offsets, mask, Access::read);
  pe.timed.reads_contents = true;
  if (!pe.timed.uses_stand_ins && pe.timed.known->covers({range.low, range.high})) return run_gather(op, frame);
  pe.timed.uses_stand_ins = true;
  uint64_t scalar = 0;
  std::byte* to = detail.result_scalar != absent ? reinterpret_cast<std::byte*>(&scalar) : frame.at(detail.result);
  pe.timed.stand_ins->fill(needs, detail.dtype, to, detail.elements, range.low);
  if (detail.result_scalar != absent) frame.scalars()[detail.result_scalar] = normalised(detail.dtype, scalar);
  finish(detail, op, frame, range, CostModel::Indexed::gather);
  return op + 1;
}

const Op* timed_scatter(const Op* op, Frame& frame) { return time_indexed(op, frame, CostModel::Indexed::scatter); }
const Op* timed_atomic(const Op* op, Frame& frame) { return time_indexed(op, frame, CostModel::Indexed::atomic); }

void decode_indexed(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const bool gather = instruction.opcode == Opcode::gather;
  IndexedDetail* detail = make_detail(decoder, index, gather ? instruction.results[0] : instruction.operands[2]);
  if (gather) {
    set_mask(decoder, *detail, Decoder::operand(instruction, 2));
    if (const uint32_t other = Decoder::operand(instruction, 3); other != absent) {
      detail->has_other = true;
      detail->other = decoder.place(other);
      detail->other_single = !decoder.is_tile(other);
    }
  } else {
    detail->value = decoder.place(instruction.operands[2]);
    detail->value_single = !decoder.is_tile(instruction.operands[2]);
    set_mask(decoder, *detail, Decoder::operand(instruction, 3));
  }
  finish_decoding(decoder, index, detail, gather ? run_gather : run_scatter);
}

void decode_atomic(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  IndexedDetail* detail = make_detail(decoder, index, instruction.operands[2]);
  detail->is_atomic = true;
  detail->value = decoder.place(instruction.operands[2]);
  detail->value_single = !decoder.is_tile(instruction.operands[2]);
  if (instruction.opcode == Opcode::atomic_cas) {
    detail->desired = decoder.place(instruction.operands[3]);
    detail->desired_single = !decoder.is_tile(instruction.operands[3]);
    return finish_decoding(decoder, index, detail, run_atomic_cas);
  }
  set_mask(decoder, *detail, Decoder::operand(instruction, 3));
  detail->kind = static_cast<uint8_t>(instruction.attributes[0]);
  finish_decoding(decoder, index, detail, run_atomic_rmw);
}

}  // namespace mtia::emulator
