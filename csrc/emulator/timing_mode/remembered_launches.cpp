// Keys hold addresses relative to the launch's extents, and what of an extent's address an account depends on.
#include "emulator/timing_mode/remembered_launches.h"

#include <algorithm>

#include "chip/chip_spec.h"
#include "emulator/timing_mode/timed_program.h"

namespace mtia::emulator {
namespace {

constexpr size_t most_kept = 1 << 16;
constexpr uint64_t largest_element_bytes = 8;

void put(std::string& key, uint64_t word) { key.append(reinterpret_cast<const char*>(&word), sizeof(word)); }

// The first extent that holds an address, or the number of extents.
size_t extent_of(const Launch& launch, uint64_t address) {
  size_t i = 0;
  while (i < launch.extents.size() && !launch.extents[i].contains(address, 0)) ++i;
  return i;
}

bool same(const AddressRange& a, const AddressRange& b) { return a.begin == b.begin && a.end == b.end; }

}  // namespace

bool are_apart(const Launch& launch) {
  for (size_t i = 0; i < launch.extents.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const AddressRange& a = launch.extents[i];
      const AddressRange& b = launch.extents[j];
      if (!same(a, b) && a.begin < b.end && b.begin < a.end) return false;
    }
  }
  return true;
}

std::string RememberedLaunches::key_of(const Launch& launch, const std::vector<Knowledge>& known) const {
  std::string key;
  if (launch.extents.empty()) return key;
  key.reserve(64 + 40 * launch.extents.size() + 16 * launch.arguments.size());
  put(key, launch.program != nullptr ? reinterpret_cast<uintptr_t>(launch.program.get())
                                     : reinterpret_cast<uintptr_t>(launch.kernel));
  for (const uint32_t extent : launch.grid) put(key, extent);
  const bool relative = are_apart(launch);
  const uint64_t alignment = std::max(emulator_.chip().fabric_alignment_bytes, largest_element_bytes);
  put(key, relative ? launch.extents.size() : ~launch.extents.size());
  for (size_t i = 0; i < launch.extents.size(); ++i) {
    const AddressRange& extent = launch.extents[i];
    size_t first = 0;
    while (!same(launch.extents[first], extent)) ++first;
    put(key, relative ? extent.begin % alignment : extent.begin);
    put(key, extent.bytes());
    put(key, first);
    put(key, (emulator_.is_resident(extent) ? 4U : 0U) | static_cast<unsigned>(known[i]));
  }
  SmallArray<uint64_t, 32> arguments = launch.arguments;
  if (launch.kernel != nullptr && launch.kernel->keep_sizes != nullptr) launch.kernel->keep_sizes(arguments.data());
  const std::vector<bool>* influences = launch.program != nullptr ? &timed(*launch.program).needed.arguments : nullptr;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (influences != nullptr && !(*influences)[i]) continue;
    const uint64_t word = arguments[i];
    const size_t extent = extent_of(launch, word);
    put(key, extent);
    put(key, relative && extent < launch.extents.size() ? word - launch.extents[extent].begin : word);
  }
  return key;
}

std::optional<LaunchTotals> RememberedLaunches::find(const std::string& key, const Launch& launch) const {
  const auto found = kept_.find(key);
  if (key.empty() || found == kept_.end()) return std::nullopt;
  LaunchTotals totals = found->second.totals;
  for (size_t i = 0; i < totals.windows.size(); ++i) {
    Window& window = totals.windows[i];
    window.range = launch.extents[found->second.extents[i]];
    if (window.high == 0) continue;
    window.low += window.range.begin;
    window.high += window.range.begin;
  }
  std::sort(totals.windows.begin(), totals.windows.end(), [](const Window& a, const Window& b) {
    return a.range.begin != b.range.begin ? a.range.begin < b.range.begin : a.range.end < b.range.end;
  });
  return totals;
}

void RememberedLaunches::keep(const std::string& key, const Launch& launch, const LaunchTotals& totals) {
  if (key.empty()) return;
  if (kept_.size() >= most_kept) kept_.clear();
  Kept kept{totals, {}, launch.program};
  for (Window& window : kept.totals.windows) {
    size_t extent = 0;
    while (extent < launch.extents.size() && !same(launch.extents[extent], window.range)) ++extent;
    if (extent == launch.extents.size()) return;
    kept.extents.push_back(static_cast<uint32_t>(extent));
    if (window.high == 0) continue;
    window.low -= window.range.begin;
    window.high -= window.range.begin;
  }
  kept_.insert_or_assign(key, std::move(kept));
}

}  // namespace mtia::emulator
