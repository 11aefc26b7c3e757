// Who does the same is told by the numbers that a kernel gives, whoever of them comes first.
#include "emulator/timing_mode/shared_work.h"

#include <algorithm>

#include "emulator/pe/pe_state.h"

namespace mtia::emulator {

bool SharedWork::is_done_elsewhere(PeState& pe, std::vector<int64_t>&& calls, std::span<const AddressRange> touched) {
  // What lies outside of its tensor is refused by the access itself.
  for (const AddressRange& range : touched) {
    if (!pe.reachable(range.begin, range.end)) return false;
  }
  {
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = walked_.try_emplace(std::move(calls), pe.pe);
    if (is_new) return false;
    followers_.push_back({pe.pe, place->second});
  }
  for (const AddressRange& range : touched) {
    pe.reachable(range.begin, range.end);
    Window& window = pe.windows[pe.last_window];
    window.low = std::min(window.low, range.begin);
    window.high = std::max(window.high, range.end);
  }
  return true;
}

void SharedWork::share(std::span<PeState> pes) {
  for (const Follower& follower : followers_) {
    const PeState& walked = pes[follower.walked];
    PeState& pe = pes[follower.pe];
    pe.board = walked.board;
    for (size_t i = 0; i < pe.windows.size(); ++i) {
      pe.windows[i].bytes_read = walked.windows[i].bytes_read;
      pe.windows[i].bytes_written = walked.windows[i].bytes_written;
    }
  }
}

}  // namespace mtia::emulator
