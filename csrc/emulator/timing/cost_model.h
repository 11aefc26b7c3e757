// What an instruction costs on a chip: the rates of ChipSpec turned into sub-cycles and femtojoules.
#pragma once

#include <array>
#include <cstdint>

#include "base/dtype.h"
#include "chip/chip_spec.h"
#include "emulator/timing/scoreboard.h"
#include "isa/opcode.h"

namespace mtia::emulator {

// Scales along k of one operand of dot_scaled: how many neighbours share one, 0 where it has none.
struct ScaleGroups {
  DType dtype = DType::I8;
  uint64_t elements = 0;
};

class CostModel {
 public:
  // `waits_for_products`: as TileProgram's.
  explicit CostModel(const ChipSpec& chip, bool waits_for_products = false);

  // Unit, duration, energy and operations of an element-wise instruction over `elements` of (the widest operand's)
  // dtype, moving local_bytes in local memory.
  void elementwise(Tick& tick, Opcode opcode, DType dtype, uint64_t elements, uint64_t local_bytes) const;
  // batch products of [m,k] by [k,n]. `precision` as the instruction dot. Throws Unsupported where the engine lacks the
  // dtype.
  void dot(Tick& tick, DType operands, uint64_t batch, uint64_t m, uint64_t n, uint64_t k, int64_t precision,
           uint64_t local_bytes) const;
  // Operands in an MX format, as the instruction dot_scaled: `a` and `b` of f8, or of i8 that holds e2m1. Throws
  // Unsupported where the engine has no blocks, or not of so few elements.
  void dot_scaled(Tick& tick, DType a, DType b, std::array<ScaleGroups, 2> scales, uint64_t batch, uint64_t m,
                  uint64_t n, uint64_t k, uint64_t local_bytes) const;
  void reduction(Tick& tick, DType dtype, uint64_t elements, uint64_t local_bytes) const;
  void layout(Tick& tick, uint64_t bytes_moved) const;
  // A DMA's fixed part; its duration depends on the address and is transfer()'s.
  void fabric(Tick& tick, uint64_t local_bytes, bool outgoing) const;

  // Time of the fabric interface for `bytes` in `rows` contiguous pieces, of which `misaligned` are off the alignment.
  SubCycles transfer(uint64_t bytes, uint64_t rows, uint64_t misaligned) const {
    return fabric_issue_ + bytes * fabric_byte_ / 256 + (rows > 1 ? rows - 1 : 0) * fabric_row_ +
           misaligned * fabric_misaligned_row_;
  }
  enum class Indexed : uint8_t { gather, scatter, atomic };
  SubCycles indexed_transfer(Indexed kind, uint64_t bytes, uint64_t elements) const {
    return fabric_issue_ + bytes * fabric_byte_ / 256 + elements * fabric_indexed_[static_cast<size_t>(kind)];
  }

  // Rows by index: what a transfer of as many pieces costs, each with an address of its own.
  SubCycles indexed_rows_transfer(Indexed kind, uint64_t bytes, uint64_t rows, uint64_t misaligned) const {
    return indexed_transfer(kind, bytes, rows) + misaligned * fabric_misaligned_row_;
  }

  SubCycles issue_cost() const { return issue_; }
  SubCycles scalar_cost() const { return scalar_; }
  SubCycles program_cost() const { return program_; }
  // Whether products and vector instructions of a program take turns.
  bool takes_turns() const { return takes_turns_; }
  SubCycles sram_latency() const { return sram_latency_; }
  SubCycles dram_latency() const { return dram_latency_; }
  uint64_t alignment() const { return alignment_; }
  bool misaligned_allowed() const { return misaligned_allowed_; }
  uint64_t access_bytes() const { return access_bytes_; }
  const ChipSpec& chip() const { return chip_; }

 private:
  SubCycles local_time(uint64_t bytes) const;
  // `depth`: operands along k that the engine takes at once; `passes`: over the operands.
  void product(Tick& tick, Opcode opcode, uint64_t batch, uint64_t m, uint64_t n, uint64_t k, uint64_t depth,
               double passes, double rate, double picojoules, uint64_t local_bytes) const;

  ChipSpec chip_;
  bool takes_turns_ = false;
  double dot_fraction_ = 1;
  SubCycles issue_ = 0;
  SubCycles scalar_ = 0;
  SubCycles program_ = 0;
  SubCycles sram_latency_ = 0;
  SubCycles dram_latency_ = 0;
  SubCycles fabric_issue_ = 0;
  uint64_t fabric_byte_ = 0;  // sub-cycles of 256 bytes
  SubCycles fabric_row_ = 0;
  SubCycles fabric_misaligned_row_ = 0;
  std::array<SubCycles, 3> fabric_indexed_{};
  uint64_t alignment_ = 1;
  bool misaligned_allowed_ = true;
  uint64_t access_bytes_ = 1;
};

}  // namespace mtia::emulator
