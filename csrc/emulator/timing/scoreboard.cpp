// Start of a launch and of a program on the scoreboard.
#include "emulator/timing/scoreboard.h"

namespace mtia::emulator {

void Scoreboard::reset(const SlotLayout* layout, SubCycles issue_cost, SubCycles scalar_cost) {
  layout_ = layout;
  issue_ = 0;
  issue_cost_ = issue_cost;
  scalar_cost_ = scalar_cost;
  scalar_busy_ = 0;
  finish_ = 0;
  product_end_ = 0;
  vector_end_ = 0;
  programs_ = 0;
  slot_base_ = 0;
  free_.fill(0);
  slots_.clear();
  for (uint32_t copy = 0; copy < layout->copies; ++copy) {
    for (size_t slot = 0; slot < layout->buffers.size(); ++slot) {
      SlotState& state = slots_.emplace_back();
      state.buffers = layout->buffers[slot];
      state.first_buffer = copy * layout->buffer_count + layout->first_buffer[slot];
      state.overlap_first = layout->overlap_first[slot];
      state.overlap_end = layout->overlap_first[slot + 1];
    }
  }
  release_.assign(static_cast<size_t>(layout->buffer_count) * layout->copies, 0);
  scalar_ready_.assign(layout->late_scalars, 0);
  counters_ = PeCounters{};
}

void Scoreboard::begin_program(SubCycles start_cost) {
  const auto copy = static_cast<uint32_t>(programs_ % layout_->copies);
  slot_base_ = copy * static_cast<uint32_t>(layout_->buffers.size());
  if (programs_ != 0) issue_ += start_cost;
  if (layout_->copies > 1) product_end_ = vector_end_ = 0;  // others are in local memory beside it, and run meanwhile
  ++programs_;
}

void Scoreboard::absorb(const Scoreboard& role) {
  const PeCounters added = role.counters_;
  counters_.instructions += added.instructions;
  counters_.femtojoules += added.femtojoules;
  counters_.flops += added.flops;
  counters_.dot_flops += added.dot_flops;
  counters_.local_bytes += added.local_bytes;
  finish_ = std::max(finish_, role.finish());
  scalar_busy_ += role.scalar_busy_;
  for (size_t unit = 0; unit < unit_count; ++unit) {
    counters_.busy[unit] += added.busy[unit];
    finish_ = std::max(finish_, counters_.busy[unit]);
  }
}

}  // namespace mtia::emulator
