// Rows by index: one bounds check, one copy and one entry of the accounts for all of them where their range is
// accessible, row by row where it is not.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "emulator/checks/undefined_lanes.h"
#include "emulator/inspection/access_listener.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/fabric_interface/logged_access.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/stand_ins.h"
#include "emulator/timing_mode/timed_program.h"
#include "emulator/tolerance.h"
#include "host_math/elementwise.h"

namespace mtia::emulator {
namespace {

struct RowsDetail {
  uint32_t base = absent;
  Place offset;
  bool wide_offset = true;
  Place rows;
  uint64_t count = 1;
  uint64_t columns = 1;
  DType dtype = DType::F32;
  uint64_t size = 4;
  uint32_t low = absent;
  uint32_t high = absent;
  bool has_mask = false;
  bool mask_single = false;
  Place mask;
  bool has_other = false;
  Place other;
  bool is_store = false;
  uint32_t instruction = 0;
};

// A detail with its operands' values of the moment.
struct RowsAccess {
  const std::byte* offsets = nullptr;
  bool wide = true;
  const std::byte* mask = nullptr;  // nullptr: all
  uint64_t base = 0;
  uint64_t skipped = 0;  // bytes of a row in front of its first valid element
  uint64_t bytes = 0;    // valid bytes of a row
  uint64_t size = 4;
  uint64_t active = 0;
  uint64_t misaligned = 0;
  uint64_t first = 0;  // device bytes of all rows
  uint64_t end = 0;
  bool reachable = false;  // all of which may be touched

  bool is_active(uint64_t row) const { return mask == nullptr || mask[row] != std::byte{0}; }
  int64_t offset(uint64_t row) const {
    int64_t value = 0;
    if (wide) {
      std::memcpy(&value, offsets + row * 8, 8);
      return value;
    }
    int32_t narrow = 0;
    std::memcpy(&narrow, offsets + row * 4, 4);
    return narrow;
  }
  uint64_t address(uint64_t row) const { return base + static_cast<uint64_t>(offset(row)) * size; }
};

Access direction(const RowsDetail& detail) { return detail.is_store ? Access::write : Access::read; }

void find_range(const RowsDetail& detail, PeState& pe, RowsAccess& access) {
  constexpr int64_t limit = int64_t{1} << 59;  // beyond, base + size * offset may overflow: check each row
  const CostModel& costs = *pe.costs;
  const uint64_t alignment = costs.alignment();
  int64_t least = INT64_MAX;
  int64_t most = INT64_MIN;
  uint64_t misaligned = 0;
  for (uint64_t row = 0; row < detail.count; ++row) {
    if (!access.is_active(row)) continue;
    const int64_t offset = access.offset(row);
    least = std::min(least, offset);
    most = std::max(most, offset);
    ++access.active;
    if (alignment > 1) misaligned += (access.address(row) | access.bytes) % alignment != 0 ? 1 : 0;
  }
  if (access.active == 0 || access.bytes == 0) return;
  if (misaligned != 0 && !costs.misaligned_allowed()) {
    throw Unsupported(
        concat("indexed DMA of rows that are not aligned to the ", alignment, " bytes that ", pe.chip->name, " needs"),
        "", "align the tensor and its row stride, or choose a chip with byte-aligned DMA");
  }
  access.misaligned = misaligned;
  access.first = access.base + static_cast<uint64_t>(least) * access.size;
  access.end = access.base + static_cast<uint64_t>(most) * access.size + access.bytes;
  if (least < -limit || most > limit || access.end < access.first) return;
  if (!pe.reachable(access.first, access.end)) return;
  access.reachable = true;
  if (pe.journal != nullptr) pe.journal->touch(access.first, access.end, detail.is_store, detail.dtype);
}

RowsAccess resolve(const RowsDetail& detail, Frame& frame) {
  RowsAccess access;
  const auto columns = static_cast<int64_t>(detail.columns);
  const int64_t low = detail.low == absent ? 0 : std::max<int64_t>(0, frame.integer(detail.low));
  const int64_t high = detail.high == absent ? columns : std::min(columns, frame.integer(detail.high));
  access.offsets = frame.at(detail.offset);
  access.wide = detail.wide_offset;
  access.size = detail.size;
  if (high > low) {
    access.bytes = static_cast<uint64_t>(high - low) * detail.size;
    access.skipped = static_cast<uint64_t>(low) * detail.size;
  }
  access.base = frame.scalars()[detail.base] + access.skipped;
  if (detail.has_mask) {
    access.mask = frame.at(detail.mask);
    if (detail.mask_single) {
      if ((*access.mask & std::byte{1}) == std::byte{0}) access.bytes = 0;
      access.mask = nullptr;
    }
  }
  if (access.bytes != 0) find_range(detail, *frame.pe, access);
  return access;
}

void copy(const RowsDetail& detail, std::byte* memory, std::byte* local, uint64_t bytes) {
  detail.is_store ? std::memcpy(memory, local, bytes) : std::memcpy(local, memory, bytes);
}

// A row, or an element of one, on its own.
void move_apart(const RowsDetail& detail, Frame& frame, uint64_t address, std::byte* local, uint64_t bytes) {
  PeState& pe = *frame.pe;
  std::byte* memory = element_span(frame, address, address + bytes, direction(detail), detail.instruction);
  if (memory == nullptr) {
    if (!detail.is_store) std::memset(local, 0, bytes);
    return;
  }
  if (pe.journal != nullptr) pe.journal->touch(address, address + bytes, detail.is_store, detail.dtype);
  copy(detail, memory, local, bytes);
  const uint64_t counted = std::max(bytes, pe.costs->access_bytes());
  detail.is_store ? pe.count_write(address, address + bytes, counted)
                  : pe.count_read(address, address + bytes, counted);
}

void move_rows(const RowsDetail& detail, Frame& frame, const RowsAccess& access, std::byte* tile) {
  constexpr uint64_t ahead = 3, fetched = 1024;
  PeState& pe = *frame.pe;
  const uint64_t stride = detail.columns * detail.size;
  std::byte* local = tile + access.skipped;
  for (uint64_t row = 0; row < detail.count; ++row, local += stride) {
    if (!access.is_active(row)) continue;
    const uint64_t address = access.address(row);
    if (access.reachable) {
      // Rows lie anywhere: the host fetches the beginning of one to come while it copies this one.
      if (row + ahead < detail.count && access.is_active(row + ahead)) {
        const std::byte* next = pe.memory->backing_of(access.address(row + ahead));
        for (uint64_t at = 0; at < std::min(access.bytes, fetched); at += 64) __builtin_prefetch(next + at);
      }
      copy(detail, pe.memory->backing_of(address), local, access.bytes);
    } else if (frame.tolerated == nullptr || pe.reachable(address, address + access.bytes)) {
      move_apart(detail, frame, address, local, access.bytes);
    } else {
      for (uint64_t at = 0; at < access.bytes; at += detail.size)
        move_apart(detail, frame, address + at, local + at, detail.size);
    }
  }
}

// Elements that the transfer leaves out.
void fill_rest(const RowsDetail& detail, Frame& frame, const RowsAccess& access, std::byte* tile) {
  const uint64_t stride = detail.columns * detail.size;
  const bool whole_rows = access.bytes == stride;
  if (whole_rows && access.active == detail.count) return;
  uint64_t other = 0;
  if (detail.has_other) {
    std::memcpy(&other, frame.at(detail.other), detail.size);
  } else if (frame.pe->log != nullptr) {
    other = undefined_lane(detail.dtype);
    if (other != 0) frame.pe->log->leave_lanes_undefined(detail.instruction);
  }
  if (!whole_rows) {
    host_math::fill(tile, &other, detail.size, detail.count * detail.columns);
    return;
  }
  for (uint64_t row = 0; row < detail.count; ++row) {
    if (!access.is_active(row)) host_math::fill(tile + row * stride, &other, detail.size, detail.columns);
  }
}

// In checked mode: before the access is made, and after a store what it stored.
void tell(const RowsDetail& detail, PeState& pe, const RowsAccess& access) {
  RowCollector rows(*pe.log, detail.is_store ? AccessKind::write : AccessKind::read, detail.instruction);
  for (uint64_t row = 0; row < detail.count; ++row) {
    if (access.is_active(row)) rows.add(access.address(row), access.bytes);
  }
  rows.finish();
}

void tell_lanes(const RowsDetail& detail, PeState& pe, const RowsAccess& access) {
  ByteRows rows;
  rows.run = access.bytes;
  for (uint64_t row = 0; row < detail.count; ++row) {
    if (!access.is_active(row)) continue;
    rows.base = access.address(row);
    pe.log->check_lanes(detail.instruction, detail.dtype, rows);
  }
}

// Adds the access to the traffic and to the scoreboard.
void account(const RowsDetail& detail, const Op* op, PeState& pe, const RowsAccess& access) {
  const bool moves = access.bytes != 0 && access.active != 0;
  const uint64_t bytes = moves ? access.active * access.bytes : 0;
  SubCycles latency = 0;
  if (moves && access.reachable) {
    pe.span(access.first, access.end, direction(detail));  // makes it the current window
    const uint64_t counted = access.active * std::max(access.bytes, pe.costs->access_bytes());
    detail.is_store ? pe.count_write(access.first, access.end, counted)
                    : pe.count_read(access.first, access.end, counted);
    if (!detail.is_store) latency = pe.load_latency();
  }
  const auto kind = detail.is_store ? CostModel::Indexed::scatter : CostModel::Indexed::gather;
  pe.board.issue(*op->tick, pe.costs->indexed_rows_transfer(kind, bytes, moves ? access.active : 0, access.misaligned),
                 latency);
}

const Op* run(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const RowsDetail*>(op->detail);
  PeState& pe = *frame.pe;
  const RowsAccess access = resolve(detail, frame);
  std::byte* tile = frame.at(detail.rows);
  const bool moves = access.bytes != 0 && access.active != 0;
  if (!detail.is_store) fill_rest(detail, frame, access, tile);
  if (moves) {
    if (pe.log != nullptr) tell(detail, pe, access);
    move_rows(detail, frame, access, tile);
    if (pe.log != nullptr && detail.is_store) tell_lanes(detail, pe, access);
  }
  account(detail, op, pe, access);
  return op + 1;
}

}  // namespace

const Op* timed_rows(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const RowsDetail*>(op->detail);
  PeState& pe = *frame.pe;
  RowsAccess access = resolve(detail, frame);
  const bool moves = access.bytes != 0 && access.active != 0;
  if (moves && !access.reachable && !pe.timed.uses_stand_ins) {
    for (uint64_t row = 0; row < detail.count; ++row) {
      if (!access.is_active(row)) continue;
      const uint64_t address = access.address(row);
      pe.span(address, address + access.bytes, direction(detail));
      const uint64_t counted = std::max(access.bytes, pe.costs->access_bytes());
      detail.is_store ? pe.count_write(address, address + access.bytes, counted)
                      : pe.count_read(address, address + access.bytes, counted);
    }
  } else if (moves && !access.reachable) {  // rows of stand-ins lie anywhere in their tensor
    const AddressRange window = pe.spread_from(access.base);
    access.first = window.begin;
    access.end = window.end;
    access.reachable = true;
  }
  const uint8_t needs = detail.is_store ? uint8_t{not_needed} : frame.program->needs[op->instruction];
  if (needs != 0) {
    pe.timed.reads_contents = true;
    if (!pe.timed.uses_stand_ins && pe.timed.known->covers({access.first, access.end})) return run(op, frame);
    pe.timed.uses_stand_ins = true;
    const uint64_t elements = detail.count * detail.columns;
    pe.timed.stand_ins->fill(needs, detail.dtype, frame.at(detail.rows), elements, access.first);
  }
  account(detail, op, pe, access);
  return op + 1;
}

void decode_indexed_rows(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  auto* detail = decoder.loaded.details.make<RowsDetail>();
  detail->is_store = instruction.opcode == Opcode::scatter_rows;
  detail->instruction = index;
  const uint32_t offset = instruction.operands[1];
  const uint32_t rows = detail->is_store ? instruction.operands[2] : instruction.results[0];
  const Value& value = decoder.value(rows);
  detail->base = instruction.operands[0];
  detail->offset = decoder.place(offset);
  detail->wide_offset = decoder.value(offset).dtype == DType::I64;
  detail->rows = decoder.place(rows);
  detail->dtype = value.dtype;
  detail->size = size_of(value.dtype);
  detail->columns = value.dims[value.rank - 1];
  detail->count = value.elements() / detail->columns;
  if (const uint32_t mask = Decoder::operand(instruction, detail->is_store ? 3 : 2); mask != absent) {
    detail->has_mask = true;
    detail->mask = decoder.place(mask);
    detail->mask_single = !decoder.is_tile(mask);
  }
  if (const uint32_t other = Decoder::operand(instruction, 3); !detail->is_store && other != absent) {
    detail->has_other = true;
    detail->other = decoder.place(other);
  }
  detail->low = Decoder::operand(instruction, 4);
  detail->high = Decoder::operand(instruction, 5);
  // Bounds are part of the descriptor that the scalar core writes.
  decoder.emit_waits({instruction.operands[0], detail->low, detail->high});
  Tick& tick = decoder.make_tick(index);
  decoder.costs.fabric(tick, decoder.local_bytes(instruction), detail->is_store);
  Op& op = decoder.emit(run, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
