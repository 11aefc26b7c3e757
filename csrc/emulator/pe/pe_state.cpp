// The bounds check of a PE's access: the launch's extents, or the live allocations where it named none.
#include "emulator/pe/pe_state.h"

#include <algorithm>
#include <iterator>

namespace mtia::emulator {

bool PeState::reachable(uint64_t low, uint64_t high) {
  if (sorted_windows) {
    const auto after =
        std::upper_bound(windows.begin(), windows.end(), low,
                         [](uint64_t address, const Window& window) { return address < window.range.begin; });
    if (after == windows.begin() || !inside(std::prev(after)->range, low, high)) return false;
    last_window = static_cast<uint32_t>(std::prev(after) - windows.begin());
    return true;
  }
  for (size_t i = 0; i < windows.size(); ++i) {
    if (inside(windows[i].range, low, high)) {
      last_window = static_cast<uint32_t>(i);
      return true;
    }
  }
  if (fixed_windows) return false;
  const AddressRange range = memory->allocation_of(low);
  if (range.end == 0 || !inside(range, low, high)) return false;
  Window window;
  window.range = range;
  window.resident = cache != nullptr && cache->resident_fraction(range.begin, range.end) >= 0.5;
  windows.push_back(window);
  last_window = static_cast<uint32_t>(windows.size() - 1);
  return true;
}

std::byte* PeState::find_window(uint64_t low, uint64_t high, Access access) {
  if (reachable(low, high)) return memory->backing_of(low);
  const uint64_t bytes = high - low;
  std::string problem = memory->describe(low, bytes, access);
  if (fixed_windows) {
    // Relative to the nearest tensor of the launch, which is what the kernel's author knows.
    const Window* nearest = nullptr;
    uint64_t best = UINT64_MAX;
    for (const Window& window : windows) {
      const uint64_t distance =
          low < window.range.begin ? window.range.begin - low : (low >= window.range.end ? low - window.range.end : 0);
      if (distance < best) {
        best = distance;
        nearest = &window;
      }
    }
    const std::string verb = access == Access::read ? "read" : "write";
    if (nearest == nullptr) {
      problem = concat(verb, " of ", bytes, " bytes by a launch without tensor arguments");
    } else if (low < nearest->range.begin) {
      problem = concat(verb, " of ", bytes, " bytes that begins ", nearest->range.begin - low,
                       " bytes before a tensor of ", nearest->range.bytes(), " bytes");
    } else {
      problem = concat(verb, " of ", bytes, " bytes at offset ", low - nearest->range.begin, " of a tensor of ",
                       nearest->range.bytes(), " bytes");
    }
  }
  throw OutOfBounds(problem, "", "check the sizes, strides and mask of the access");
}

AddressRange PeState::spread_from(uint64_t address) {
  if (reachable(address, address)) return windows[last_window].range;
  const Window* nearest = nullptr;
  for (const Window& window : windows) {
    const bool before = window.range.begin <= address;
    if (nearest == nullptr || (before && (nearest->range.begin > address || window.range.begin > nearest->range.begin)))
      nearest = &window;
  }
  if (nearest == nullptr) throw OutOfBounds("an access by an unknown index in a launch without tensor arguments");
  last_window = static_cast<uint32_t>(nearest - windows.data());
  return nearest->range;
}

}  // namespace mtia::emulator
