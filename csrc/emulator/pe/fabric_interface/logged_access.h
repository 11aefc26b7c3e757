// Tells checked mode of the fabric interface's accesses to device memory. Called only where a PE has a log.
#pragma once

#include <cstdint>

#include "emulator/checks/access_log.h"
#include "emulator/pe/fabric_interface/dma.h"

namespace mtia::emulator {

// Before a resolved access is made: reports an element outside of its tensor. Throws StoppedByCheck.
void check_bounds(const DmaDetail& detail, Frame& frame, const DmaAccess& access);
// What it touches.
void log_access(const DmaDetail& detail, Frame& frame, const DmaAccess& access);

// A descriptor of the C++ kernel API, both of the above.
void log_matrix(PeState& pe, const DmaAccess& access, uint64_t item_bytes, AccessKind kind);

// Elements one by one, joined to rows where they follow each other: checked and logged at once.
class RowCollector {
 public:
  RowCollector(AccessLog& log, AccessKind kind, uint32_t instruction)
      : log_(log), kind_(kind), instruction_(instruction) {}

  void add(uint64_t address, uint64_t bytes) {
    if (address == rows_.base + rows_.run && rows_.run != 0) {
      rows_.run += bytes;
      return;
    }
    finish();
    rows_.base = address;
    rows_.run = bytes;
  }
  void finish();
  // The elements were stored already: looks for undefined lanes among them.
  void check_lanes(DType dtype) {
    checks_lanes_ = true;
    dtype_ = dtype;
  }

 private:
  AccessLog& log_;
  AccessKind kind_;
  uint32_t instruction_;
  ByteRows rows_;
  bool checks_lanes_ = false;
  DType dtype_ = DType::F32;
};

// Of a C++ kernel, in place of an instruction's number: the line of the call that its role is in, or 0.
uint32_t place_of(const PeState& pe);

}  // namespace mtia::emulator
