// Records of one program's accesses; equal ones are kept once.
#include "emulator/checks/access_log.h"

#include <algorithm>
#include <tuple>

#include "emulator/checks/checker.h"
#include "emulator/checks/undefined_lanes.h"

namespace mtia::emulator {
namespace {

// Records of one program: beyond the first number equal ones are thrown away, beyond the second later ones.
constexpr size_t usual_records = size_t{1} << 13;
constexpr size_t most_records = size_t{1} << 17;

auto key(const AccessRecord& record) {
  return std::tie(record.base, record.kind, record.run, record.rank, record.stride, record.count, record.acquired,
                  record.released, record.time, record.instruction);
}

}  // namespace

ByteRows AccessRecord::rows() const {
  ByteRows result;
  result.base = base;
  result.run = run;
  result.rank = rank;
  for (size_t d = 0; d < max_rank; ++d) {
    result.stride[d] = stride[d];
    result.count[d] = count[d];
  }
  return result;
}

void AccessLog::begin(uint64_t number, const std::array<uint32_t, 3>& id) {
  number_ = number;
  id_ = id;
  records_.clear();
  limit_ = usual_records;
  is_full_ = false;
  has_lost_records_ = false;
  acquired_ = 0;
  time_ = 0;
  unreleased_ = 0;
  undefined_load_ = no_load;
}

void AccessLog::end() {
  checker_->finish(*this);
  records_.clear();
  if (records_.capacity() > usual_records) records_.shrink_to_fit();
}

bool AccessLog::is_inside(uint32_t instruction, uint64_t low, uint64_t high) {
  return checker_->may_touch(instruction, low, high);
}

void AccessLog::check_inside(AccessKind kind, uint32_t instruction, const ByteRows& rows) {
  for_each_row(rows, [&](uint64_t address, uint64_t bytes) {
    if (checker_->may_touch(instruction, address, address + bytes)) return true;
    checker_->report_outside(*this, kind, instruction, address, bytes);
    return false;
  });
}

void AccessLog::touch(AccessKind kind, uint32_t instruction, const ByteRows& rows) {
  if (rows.run == 0) return;
  checker_->note_contents(*this, kind, instruction, rows);
  if (rows.rank <= AccessRecord::max_rank) return keep(kind, instruction, rows);
  // More dimensions than a record has: the outermost are walked.
  ByteRows outer = rows;
  ByteRows inner = rows;
  inner.rank = AccessRecord::max_rank;
  outer.run = 1;
  outer.rank = rows.rank - inner.rank;
  std::copy(rows.stride.begin() + inner.rank, rows.stride.end(), outer.stride.begin());
  std::copy(rows.count.begin() + inner.rank, rows.count.end(), outer.count.begin());
  for_each_row(outer, [&](uint64_t address, uint64_t) {
    inner.base = address;
    keep(kind, instruction, inner);
    return true;
  });
}

void AccessLog::check_lanes(uint32_t instruction, DType dtype, const ByteRows& rows) {
  if (undefined_load_ == no_load) return;
  for_each_row(rows, [&](uint64_t address, uint64_t bytes) {
    const uint64_t count = bytes / size_of(dtype);
    const uint64_t found = find_undefined_lane(dtype, checker_->backing_of(address), count);
    if (found == count) return true;
    checker_->report_undefined_lane(*this, instruction, address + found * size_of(dtype), undefined_load_);
    undefined_load_ = no_load;
    return false;
  });
}

// A program that spins: its last attempt stands for all. Where others may have read what an atomic wrote, each counts.
bool AccessLog::repeats_last(AccessKind kind, bool is_volatile, uint32_t instruction, const ByteRows& rows) const {
  const bool spins = kind == AccessKind::atomic ? !checker_->has_volatile_loads() : is_volatile;
  if (!spins || records_.empty()) return false;
  const AccessRecord& last = records_.back();
  return last.kind == kind && last.base == rows.base && last.instruction == instruction && rows.rank == 0 &&
         last.rank == 0;
}

void AccessLog::set_time(AccessRecord& record) {
  if (!checker_->has_volatile_loads()) return;
  record.time = time_;
  if (record.kind == AccessKind::read && !record.is_volatile) return;
  record.time = checker_->tick();
  time_ = checker_->tick();
}

void AccessLog::keep(AccessKind kind, uint32_t instruction, const ByteRows& rows) {
  const bool is_volatile = kind == AccessKind::read && checker_->is_volatile_load(instruction);
  if (repeats_last(kind, is_volatile, instruction, rows)) {
    AccessRecord& last = records_.back();
    last.acquired = acquired_;
    last.released = UINT64_MAX;
    unreleased_ = std::min(unreleased_, records_.size() - 1);
    return set_time(last);
  }
  if (records_.size() >= limit_) {
    if (!is_full_) thin_out();
    if (records_.size() >= limit_) {
      has_lost_records_ = true;
      return;
    }
  }
  AccessRecord& record = records_.emplace_back();
  record.base = rows.base;
  record.run = rows.run;
  record.rank = rows.rank;
  record.kind = kind;
  record.instruction = instruction;
  record.acquired = acquired_;
  record.is_volatile = is_volatile;
  set_time(record);
  for (size_t d = 0; d < rows.rank; ++d) {
    record.stride[d] = rows.stride[d];
    record.count[d] = rows.count[d];
  }
}

void AccessLog::thin_out() {
  // Records since the last synchronise are told apart from the older ones by `released`, so they end up behind no
  // particular place: all of the unreleased ones are found again by value.
  const auto same = [](const AccessRecord& a, const AccessRecord& b) { return key(a) == key(b); };
  std::sort(records_.begin(), records_.end(),
            [](const AccessRecord& a, const AccessRecord& b) { return key(a) < key(b); });
  records_.erase(std::unique(records_.begin(), records_.end(), same), records_.end());
  std::stable_partition(records_.begin(), records_.end(),
                        [](const AccessRecord& record) { return record.released != UINT64_MAX; });
  unreleased_ =
      static_cast<size_t>(std::find_if(records_.begin(), records_.end(),
                                       [](const AccessRecord& record) { return record.released == UINT64_MAX; }) -
                          records_.begin());
  while (limit_ < most_records && records_.size() > limit_ / 2) limit_ *= 2;
  // Sorting again and again for a few places would take hours.
  is_full_ = records_.size() > limit_ / 2;
}

void AccessLog::synchronise() {
  const uint64_t now = checker_->tick();
  for (; unreleased_ < records_.size(); ++unreleased_) records_[unreleased_].released = now;
  acquired_ = now;
}

}  // namespace mtia::emulator
