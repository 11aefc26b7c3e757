// Tries to compute what is small and known, remembers what was costed, estimates the rest.
#include "emulator/timing_mode/timing_mode.h"

#include <algorithm>

#include "emulator/inspection/access_listener.h"
#include "emulator/inspection/instruction_observer.h"
#include "emulator/pe/pe_state.h"
#include "emulator/timing_mode/timed_program.h"
#include "program/tile_program.h"

namespace mtia::emulator {
namespace {

struct UnknownRead {};

// Ends a launch that reads what is not known.
class KnownReads final : public AccessListener {
 public:
  explicit KnownReads(const KnownMemory& known) : known_(known) {}
  void touch(uint64_t low, uint64_t high, bool write, DType) override {
    if (!write && !known_.covers({low, high})) throw UnknownRead{};
  }

 private:
  const KnownMemory& known_;
};

bool scatters(const Launch& launch) {
  if (launch.program == nullptr) return false;
  const auto& instructions = source_of(*launch.program).instructions;
  return std::any_of(instructions.begin(), instructions.end(), [](const Instruction& instruction) {
    return instruction.opcode == Opcode::scatter || instruction.opcode == Opcode::scatter_rows;
  });
}

}  // namespace

std::optional<LaunchAccount> TimingMode::compute_known(const Launch& launch, LaunchTrace* trace,
                                                       const CommandOrder* order) {
  KnownReads guard(known_);
  emulator_.set_journal(&guard);
  const auto done = [this](void*) { emulator_.set_journal(nullptr); };
  const std::unique_ptr<void, decltype(done)> listening(this, done);
  LaunchAccount account;
  try {
    account = emulator_.run(launch, trace, order);
  } catch (const UnknownRead&) {
    return std::nullopt;
  }
  const bool sparse = scatters(launch);
  for (const Window& window : emulator_.last_totals().windows) {
    if (window.bytes_written == 0) continue;
    // What a range holds between the bytes that were written is what it held before.
    const AddressRange touched{window.low, window.high};
    const bool dense = !sparse && window.bytes_read == 0 && window.bytes_written >= touched.bytes();
    if (dense) {
      known_.add(touched);
    } else if (!known_.covers(touched)) {
      known_.remove(touched);
    }
  }
  return account;
}

LaunchAccount TimingMode::estimate(const Launch& launch, TimedLaunch& timed_launch, LaunchTrace* trace) {
  if (launch.kernel == nullptr) return emulator_.estimate(launch, timed_launch, trace);
  timed_launch.work = launch.kernel->reads_contents ? HostWork::all_but_stores : HostWork::none;
  try {
    return emulator_.estimate(launch, timed_launch, trace);
  } catch (const NeedsValues&) {
    timed_launch.work = HostWork::all_but_stores;
    timed_launch.reads_contents = true;
    return emulator_.estimate(launch, timed_launch, trace);
  }
}

void TimingMode::forget_written() {
  for (const Window& window : emulator_.last_totals().windows) {
    if (window.bytes_written != 0) known_.remove({window.low, window.high});
  }
}

LaunchAccount TimingMode::run(const Launch& launch, LaunchTrace* trace, const CommandOrder* order) {
  ++statistics_.launches;
  uint64_t bytes = 0;
  bool any_known = launch.extents.size() == 1;
  std::vector<bool> known;
  for (const AddressRange& extent : launch.extents) {
    bytes += extent.bytes();
    known.push_back(known_.touches(extent));
    any_known = any_known || known.back();
  }
  const bool remembers = remembers_ && trace == nullptr;
  const std::string key = remembers ? remembered_.key_of(launch, known) : std::string();
  if (const auto totals = remembered_.find(key, launch)) {
    ++statistics_.remembered;
    for (const Window& window : totals->windows) {
      if (window.bytes_written != 0) known_.remove({window.low, window.high});
    }
    return emulator_.charge(*totals);
  }
  if (any_known && bytes <= most_kept_bytes && !launch.extents.empty()) {
    if (const auto account = compute_known(launch, trace, order)) {
      ++statistics_.computed;
      return *account;
    }
  }
  if (launch.program != nullptr && timed(*launch.program).is_decided_by_memory()) {
    const LaunchAccount account = emulator_.run(launch, trace, order);
    forget_written();
    ++statistics_.computed;
    ++statistics_.stood_in;
    statistics_.stand_in_seconds += account.seconds;
    statistics_.stand_in_joules += account.joules;
    return account;
  }
  TimedLaunch timed_launch{&known_, &stand_ins_, HostWork::none};
  const LaunchAccount account = estimate(launch, timed_launch, trace);
  forget_written();
  if (timed_launch.uses_stand_ins) {
    ++statistics_.stood_in;
    statistics_.stand_in_seconds += account.seconds;
    statistics_.stand_in_joules += account.joules;
  }
  if (remembers && !timed_launch.reads_contents) remembered_.keep(key, launch, emulator_.last_totals());
  return account;
}

}  // namespace mtia::emulator
