// A sweep over contiguous runs by address.
#include "emulator/checks/clock_races.h"

#include <algorithm>

namespace mtia::emulator {
namespace {

constexpr size_t most_runs = size_t{1} << 21;
constexpr uint64_t most_comparisons = uint64_t{1} << 25;

struct Run {
  uint64_t begin;
  uint64_t end;
  const TimedAccess* access;
};

bool are_ordered(const AccessRecord& a, const AccessRecord& b) {
  return a.released <= b.acquired || b.released <= a.acquired;
}

bool conflict(const TimedAccess& a, const TimedAccess& b) {
  if (a.program == b.program || a.record.is_volatile || b.record.is_volatile) return false;
  if (a.record.kind == b.record.kind && a.record.kind != AccessKind::write) return false;
  return !are_ordered(a.record, b.record);
}

}  // namespace

std::vector<ClockRace> find_clock_races(const std::vector<TimedAccess>& accesses, size_t most) {
  std::vector<Run> runs;
  for (const TimedAccess& access : accesses) {
    const bool complete = for_each_row(access.record.rows(), [&](uint64_t address, uint64_t bytes) {
      if (runs.size() == most_runs) return false;
      runs.push_back({address, address + bytes, &access});
      return true;
    });
    if (!complete) return {};
  }
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.begin < b.begin; });
  std::vector<ClockRace> races;
  std::vector<Run> open[2];  // those that reach past the present address: reads, and the others
  uint64_t comparisons = 0;
  for (const Run& run : runs) {
    const bool reads = run.access->record.kind == AccessKind::read;
    for (std::vector<Run>& others : open) {
      if (reads && &others == &open[0]) continue;
      for (size_t i = 0; i < others.size();) {
        if (others[i].end <= run.begin) {
          others[i] = others.back();
          others.pop_back();
          continue;
        }
        if (++comparisons > most_comparisons) return races;
        if (conflict(*others[i].access, *run.access)) {
          races.push_back({others[i].access, run.access, run.begin});
          if (races.size() == most) return races;
        }
        ++i;
      }
    }
    open[reads ? 0 : 1].push_back(run);
  }
  return races;
}

}  // namespace mtia::emulator
