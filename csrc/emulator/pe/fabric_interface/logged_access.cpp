// From descriptors and masks to rows of bytes.
#include "emulator/pe/fabric_interface/logged_access.h"

#include <string_view>

#include "emulator/checks/locations.h"
#include "emulator/checks/undefined_lanes.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/fabric_interface/dma_segments.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {
namespace {

bool has_tile_mask(const DmaDetail& detail) { return detail.has_mask && !detail.mask_is_scalar; }

// Calls body(rows) for what an access touches, a part for each segment of a wrapping one.
template <typename Body>
void for_rows(const DmaDetail& detail, const DmaAccess& access, const Body& body) {
  std::array<int64_t, 6> first{};
  std::array<int64_t, 6> extent{};
  for_each_segment(access, detail.rank, 0, first, extent, 0, [&](const auto&, const auto& count, int64_t offset) {
    ByteRows rows;
    rows.base = access.address + static_cast<uint64_t>(offset);
    rows.run = detail.size;
    for (uint32_t d = 0; d < detail.rank; ++d) rows.add(count[d], access.stride[d]);
    rows.join();
    body(rows);
  });
}

// Calls body(address) for each element that a tile mask lets through.
template <typename Body>
void for_masked(const DmaDetail& detail, Frame& frame, const DmaAccess& access, const Body& body) {
  const std::byte* mask = frame.at(detail.mask);
  for (uint32_t d = 0; d < detail.rank; ++d) mask += access.first[d] * detail.mask_stride[d];
  std::array<int64_t, 6> first{};
  std::array<int64_t, 6> extent{};
  for_each_segment(access, detail.rank, 0, first, extent, 0, [&](const auto& begin, const auto& count, int64_t offset) {
    std::array<int64_t, 6> index{};
    for (;;) {
      int64_t memory = offset;
      int64_t place = 0;
      for (uint32_t d = 0; d < detail.rank; ++d) {
        memory += index[d] * access.stride[d];
        place += (begin[d] + index[d]) * detail.mask_stride[d];
      }
      if (mask[place] != std::byte{0}) body(access.address + static_cast<uint64_t>(memory));
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

AccessKind kind_of(const DmaDetail& detail) { return detail.is_store ? AccessKind::write : AccessKind::read; }

}  // namespace

void check_bounds(const DmaDetail& detail, Frame& frame, const DmaAccess& access) {
  AccessLog& log = *frame.pe->log;
  if (log.is_inside(detail.instruction, access.low, access.high)) return;
  if (!has_tile_mask(detail)) {
    return for_rows(detail, access,
                    [&](const ByteRows& rows) { log.check_inside(kind_of(detail), detail.instruction, rows); });
  }
  for_masked(detail, frame, access, [&](uint64_t address) {
    if (log.is_inside(detail.instruction, address, address + detail.size)) return;
    ByteRows rows;
    rows.base = address;
    rows.run = detail.size;
    log.check_inside(kind_of(detail), detail.instruction, rows);
  });
}

void log_access(const DmaDetail& detail, Frame& frame, const DmaAccess& access) {
  AccessLog& log = *frame.pe->log;
  if (!detail.is_store && !detail.has_other && undefined_lane(detail.dtype) != 0 &&
      (!access.full || has_tile_mask(detail)))
    log.leave_lanes_undefined(detail.instruction);
  if (access.elements == 0) return;
  if (!has_tile_mask(detail)) {
    return for_rows(detail, access, [&](const ByteRows& rows) {
      log.touch(kind_of(detail), detail.instruction, rows);
      if (detail.is_store) log.check_lanes(detail.instruction, detail.dtype, rows);
    });
  }
  RowCollector rows(log, kind_of(detail), detail.instruction);
  if (detail.is_store) rows.check_lanes(detail.dtype);
  for_masked(detail, frame, access, [&](uint64_t address) { rows.add(address, detail.size); });
  rows.finish();
}

void log_matrix(PeState& pe, const DmaAccess& access, uint64_t item_bytes, AccessKind kind) {
  if (access.elements == 0) return;
  ByteRows rows;
  rows.base = access.address;
  rows.run = item_bytes;
  for (size_t d = 0; d < 2; ++d) rows.add(access.extent[d], access.stride[d]);
  rows.join();
  const uint32_t place = place_of(pe);
  if (!pe.log->is_inside(place, access.low, access.high)) pe.log->check_inside(kind, place, rows);
  pe.log->touch(kind, place, rows);
}

uint32_t place_of(const PeState& pe) {
  if (pe.role == nullptr) return 0;
  const std::string_view file = pe.role->line.file;
  return intern_location(file.substr(file.find_last_of('/') + 1), static_cast<int>(pe.role->line.line),
                         pe.role->name());
}

void RowCollector::finish() {
  if (rows_.run == 0) return;
  if (!log_.is_inside(instruction_, rows_.base, rows_.base + rows_.run)) log_.check_inside(kind_, instruction_, rows_);
  log_.touch(kind_, instruction_, rows_);
  if (checks_lanes_) log_.check_lanes(instruction_, dtype_, rows_);
  rows_.run = 0;
}

}  // namespace mtia::emulator
