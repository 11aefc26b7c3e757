// What one program (of a C++ kernel: one PE) does to device memory, checked as it happens and kept until it ends.
//
// The fabric interface tells of each access once: where it goes (`is_inside`, `check_inside`) before it is made, what
// it touches (`touch`) after its bounds were found good.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <vector>

#include "base/dtype.h"
#include "emulator/checks/byte_rows.h"
#include "emulator/checks/race_shadow.h"

namespace mtia::emulator {

class Checker;

// Thrown through a program that a check stops.
struct StoppedByCheck {
  std::exception_ptr error;
};

// An access as it is kept: rows of at most three dimensions.
struct AccessRecord {
  static constexpr size_t max_rank = 3;

  uint64_t base = 0;
  uint64_t run = 0;
  std::array<uint64_t, max_rank> stride{};
  std::array<uint64_t, max_rank> count{};
  uint32_t rank = 0;
  uint32_t instruction = 0;
  AccessKind kind = AccessKind::read;
  // Launches whose programs synchronise: when the program last learnt of others before, and first told others after.
  uint64_t acquired = 0;
  uint64_t released = UINT64_MAX;
  // Launches with volatile loads: when a write, an atomic or a volatile load was made, of other loads a time between
  // the ones before and behind (flag_order.h).
  uint64_t time = 0;
  bool is_volatile = false;

  ByteRows rows() const;
};

class AccessLog {
 public:
  AccessLog(Checker& checker, uint32_t pe) : checker_(&checker), pe_(pe) {}

  // A program begins. `number` is its place in the grid; id is meaningless for a C++ kernel.
  void begin(uint64_t number, const std::array<uint32_t, 3>& id);
  // Compares what it did with what others did; not called for a program that failed.
  void end();

  // Whether an access of an instruction to [low, high) stays inside of the tensor or the memory that it may touch.
  bool is_inside(uint32_t instruction, uint64_t low, uint64_t high);
  // Reports the first of the rows' bytes that is_inside is false for, if any; throws StoppedByCheck where findings stop
  // programs.
  void check_inside(AccessKind kind, uint32_t instruction, const ByteRows& rows);
  void touch(AccessKind kind, uint32_t instruction, const ByteRows& rows);

  // A load of the program left lanes without a value (undefined_lanes.h).
  void leave_lanes_undefined(uint32_t instruction) {
    if (undefined_load_ == no_load) undefined_load_ = instruction;
  }
  // After a store of elements of a type: whether one depends on such a lane.
  void check_lanes(uint32_t instruction, DType dtype, const ByteRows& rows);

  // The program told another one of its progress, or learnt of another's: an atomic, a barrier, a message. What others
  // did before their last call is ordered before what follows.
  void synchronise();

  uint64_t number() const { return number_; }
  const std::array<uint32_t, 3>& id() const { return id_; }
  uint32_t pe() const { return pe_; }
  const std::vector<AccessRecord>& records() const { return records_; }
  bool has_lost_records() const { return has_lost_records_; }

 private:
  void keep(AccessKind kind, uint32_t instruction, const ByteRows& rows);
  bool repeats_last(AccessKind kind, bool is_volatile, uint32_t instruction, const ByteRows& rows) const;
  void set_time(AccessRecord& record);
  void thin_out();

  Checker* checker_;
  uint32_t pe_;
  uint64_t number_ = 0;
  std::array<uint32_t, 3> id_{};
  std::vector<AccessRecord> records_;
  size_t limit_ = 0;
  bool is_full_ = false;  // of records that all differ
  bool has_lost_records_ = false;
  uint64_t acquired_ = 0;
  uint64_t time_ = 0;
  static constexpr uint32_t no_load = UINT32_MAX;
  uint32_t undefined_load_ = no_load;  // the first of them
  size_t unreleased_ = 0;              // the first record since the last synchronise
};

}  // namespace mtia::emulator
