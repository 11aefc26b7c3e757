// The scoreboard of one PE: when each unit, slot of local memory and late scalar is free or ready, in chip time.
//
// The command processor issues in program order and does not wait; an instruction starts when it is issued, its unit is
// free, its operands are ready, and every reader of what it overwrites has finished (a slot with several buffers only
// waits for the buffer it writes). Time is kept in 1/256 cycles as integers, so that sums are exact and the same
// everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "isa/opcode.h"
#include "isa/unit.h"

namespace mtia::emulator {

class PeTrace;

using SubCycles = uint64_t;
inline constexpr SubCycles cycle = 256;

// What the scoreboard must know of one instruction; made once when a program is loaded.
struct Tick {
  static constexpr size_t max_reads = 6;
  static constexpr size_t max_writes = 4;
  static constexpr size_t max_late = 6;
  static constexpr uint32_t no_instruction = UINT32_MAX;

  Unit unit = Unit::scalar;
  uint8_t queue = 0;  // in which the unit takes it in order: 0, but 1 for what the fabric interface sends out
  uint8_t reads = 0;
  uint8_t writes = 0;
  uint8_t late_reads = 0;             // scalar operands that another unit makes
  uint8_t in_place = 0;               // bit w: result w overwrites an operand, in the buffer it stands in
  uint32_t late_result = UINT32_MAX;  // scalar result of a unit other than the scalar core
  std::array<uint16_t, max_reads> read_slots{};
  std::array<uint16_t, max_writes> write_slots{};
  std::array<uint32_t, max_late> late_scalars{};
  SubCycles duration = 0;
  SubCycles latency = 0;     // from the unit's being free to the result's being ready
  uint64_t femtojoules = 0;  // of the operation; bytes beyond local memory are charged by the traffic counters
  uint64_t flops = 0;
  uint64_t dot_flops = 0;
  uint64_t local_bytes = 0;               // read and written in local memory
  uint32_t instruction = no_instruction;  // index in the tile program; for traces
  Opcode opcode{};
};

// Records an instruction in the trace of its PE (emulator/trace.h).
void trace_instruction(PeTrace& trace, const Tick& tick, SubCycles start, SubCycles end, SubCycles ready);
void trace_scalar(PeTrace& trace, SubCycles start, SubCycles end, uint64_t count);

struct PeCounters {
  uint64_t instructions = 0;
  uint64_t femtojoules = 0;
  uint64_t flops = 0;
  uint64_t dot_flops = 0;
  uint64_t local_bytes = 0;
  std::array<SubCycles, unit_count> busy{};
};

// The slots of a program as the scoreboard sees them; shared by all PEs.
struct SlotLayout {
  std::vector<uint32_t> first_buffer;   // of each slot, within one copy
  std::vector<uint32_t> buffers;        // of each slot
  std::vector<uint32_t> overlap_first;  // slots + 1 entries into overlap_slots: the other slots on the same bytes
  std::vector<uint16_t> overlap_slots;
  uint32_t buffer_count = 0;  // of all slots, within one copy
  uint32_t copies = 1;        // how many programs of a PE fit its local memory side by side
  uint32_t late_scalars = 0;  // size of the table of scalars
  bool takes_turns = false;   // a program's products and its vector instructions do, loads and stores go on
};

class Scoreboard {
 public:
  // Who records what this PE does; nullptr: nobody.
  void set_trace(PeTrace* trace) { trace_ = trace; }
  PeTrace* trace() const { return trace_; }

  // Starts a launch: everything free at time 0.
  void reset(const SlotLayout* layout, SubCycles issue_cost, SubCycles scalar_cost);

  // The next program of this PE: takes the next copy of the local memory and issues after `start_cost`.
  void begin_program(SubCycles start_cost);

  void issue(const Tick& tick) { issue(tick, tick.duration, tick.latency); }

  void issue(const Tick& tick, SubCycles duration, SubCycles latency) {
    SlotState* const slots = slots_.data() + slot_base_;
    SubCycles start = std::max(issue_, free_[queue_of(tick)]);
    for (unsigned i = 0; i < tick.reads; ++i) start = std::max(start, slots[tick.read_slots[i]].ready);
    for (unsigned i = 0; i < tick.late_reads; ++i) start = std::max(start, scalar_ready_[tick.late_scalars[i]]);
    for (unsigned i = 0; i < tick.writes; ++i) {
      SlotState& slot = slots[tick.write_slots[i]];
      if (slot.buffers == 1 || (tick.in_place >> i & 1U) != 0) {
        start = std::max(start, slot.last_release);
      } else {
        slot.current = slot.current + 1 == slot.buffers ? 0 : slot.current + 1;
        start = std::max(start, release_[slot.first_buffer + slot.current]);
      }
      for (uint32_t o = slot.overlap_first; o < slot.overlap_end; ++o)
        start = std::max(start, slots[layout_->overlap_slots[o]].last_release);
    }
    if (layout_->takes_turns) [[unlikely]]
      start = turn(tick.unit, start, duration);
    const SubCycles end = start + duration;
    const SubCycles done = end + latency;
    free_[queue_of(tick)] = end;
    counters_.busy[static_cast<size_t>(tick.unit)] += duration;
    for (unsigned i = 0; i < tick.reads; ++i) touch(slots[tick.read_slots[i]], end);
    for (unsigned i = 0; i < tick.writes; ++i) {
      SlotState& slot = slots[tick.write_slots[i]];
      slot.ready = done;
      touch(slot, done);
    }
    if (tick.late_result != UINT32_MAX) scalar_ready_[tick.late_result] = done;
    if (trace_ != nullptr) [[unlikely]]
      trace_instruction(*trace_, tick, start, end, done);
    finish_ = std::max(finish_, done);
    issue_ += issue_cost_;
    ++counters_.instructions;
    counters_.femtojoules += tick.femtojoules;
    counters_.flops += tick.flops;
    counters_.dot_flops += tick.dot_flops;
    counters_.local_bytes += tick.local_bytes;
  }

  // For C++ kernels, which keep the times of their tiles themselves: starts no earlier than `earliest`; returns when
  // the unit is free again, which is `latency` before the result is ready.
  SubCycles issue_after(SubCycles earliest, const Tick& tick, SubCycles duration, SubCycles latency) {
    SubCycles start = std::max({issue_, free_[queue_of(tick)], earliest});
    if (layout_->takes_turns) [[unlikely]]
      start = turn(tick.unit, start, duration);
    const SubCycles end = start + duration;
    if (trace_ != nullptr) [[unlikely]]
      trace_instruction(*trace_, tick, end - duration, end, end + latency);
    free_[queue_of(tick)] = end;
    counters_.busy[static_cast<size_t>(tick.unit)] += duration;
    finish_ = std::max(finish_, end + latency);
    issue_ += issue_cost_;
    ++counters_.instructions;
    counters_.femtojoules += tick.femtojoules;
    counters_.flops += tick.flops;
    counters_.dot_flops += tick.dot_flops;
    counters_.local_bytes += tick.local_bytes;
    return end;
  }
  // When a unit could start an instruction that is issued now.
  SubCycles earliest(const Tick& tick) const { return std::max(issue_, free_[queue_of(tick)]); }
  // The scalar core waits until `time`.
  void wait_until(SubCycles time) { issue_ = std::max(issue_, time); }

  // An instruction of the scalar core none of whose operands is late.
  void issue_scalar(uint64_t count = 1) {
    if (trace_ != nullptr) [[unlikely]]
      trace_scalar(*trace_, issue_, issue_ + scalar_cost_ * count, count);
    issue_ += scalar_cost_ * count;
    scalar_busy_ += scalar_cost_ * count;
    counters_.instructions += count;
  }

  // The scalar core needs a late scalar itself: for control flow and addresses.
  void wait_scalar(uint32_t scalar) { issue_ = std::max(issue_, scalar_ready_[scalar]); }
  // A scalar instruction with late operands gives a late result; the command processor goes on.
  void delay_scalar(uint32_t result, SubCycles operands_ready) {
    scalar_ready_[result] = std::max(issue_, operands_ready) + scalar_cost_;
  }
  SubCycles scalar_ready(uint32_t scalar) const { return scalar_ready_[scalar]; }

  // Adds a role's work to its PE's: all of it happens beside what is here already, but each unit does one thing at a
  // time.
  void absorb(const Scoreboard& role);

  void barrier() { issue_ = std::max(issue_, finish_); }
  SubCycles now() const { return issue_; }
  // When the last instruction has finished. Loads do not wait for stores, but they share the interface's bandwidth.
  SubCycles finish() const { return std::max({finish_, issue_, counters_.busy[static_cast<size_t>(Unit::fabric)]}); }
  PeCounters counters() const {
    PeCounters all = counters_;
    all.busy[static_cast<size_t>(Unit::scalar)] += scalar_busy_;
    return all;
  }

 private:
  static size_t queue_of(const Tick& tick) { return static_cast<size_t>(tick.unit) * 2 + tick.queue; }

  // What an instruction asks of a slot, side by side: a few cache lines a program.
  struct SlotState {
    SubCycles ready = 0;
    SubCycles last_release = 0;  // last use of any buffer
    uint32_t current = 0;        // buffer that holds the contents
    uint32_t buffers = 1;
    uint32_t first_buffer = 0;  // in release_
    uint32_t overlap_first = 0;
    uint32_t overlap_end = 0;
  };

  // When an instruction may start that could at `start`, where products and vector instructions take turns.
  SubCycles turn(Unit unit, SubCycles start, SubCycles duration) {
    const bool product = unit == Unit::dot;
    if (!product && unit != Unit::vector && unit != Unit::simd && unit != Unit::reduce) return start;
    start = std::max(start, product ? vector_end_ : product_end_);
    SubCycles& end = product ? product_end_ : vector_end_;
    end = std::max(end, start + duration);
    return start;
  }

  void touch(SlotState& slot, SubCycles until) {
    slot.last_release = std::max(slot.last_release, until);
    if (slot.buffers == 1) return;
    SubCycles& release = release_[slot.first_buffer + slot.current];
    release = std::max(release, until);
  }

  const SlotLayout* layout_ = nullptr;
  PeTrace* trace_ = nullptr;
  SubCycles issue_ = 0;
  SubCycles issue_cost_ = 0;
  SubCycles scalar_cost_ = 0;
  SubCycles scalar_busy_ = 0;
  SubCycles finish_ = 0;
  SubCycles product_end_ = 0;  // of the program's last product
  SubCycles vector_end_ = 0;   // and of its last vector instruction
  uint64_t programs_ = 0;
  uint32_t slot_base_ = 0;
  std::array<SubCycles, 2 * unit_count> free_{};  // by queue
  std::vector<SlotState> slots_;                  // copies * slots
  std::vector<SubCycles> release_;                // copies * buffers: last use of each, of slots with several
  std::vector<SubCycles> scalar_ready_;
  PeCounters counters_;
};

}  // namespace mtia::emulator
