// Tries to compute what is small and known, remembers what was costed, estimates the rest.
#include "emulator/timing_mode/timing_mode.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "emulator/inspection/access_listener.h"
#include "emulator/inspection/instruction_observer.h"
#include "emulator/pe/pe_state.h"
#include "emulator/timing_mode/timed_program.h"
#include "program/tile_program.h"

namespace mtia::emulator {
namespace {

struct UnknownRead {};

// Notes that a launch reads what is not known, or ends it there; and which bytes it writes all of.
class KnownReads final : public AccessListener {
 public:
  KnownReads(const KnownMemory& known, bool ends) : known_(known), ends_(ends) {}
  void overwrite(uint64_t low, uint64_t high) override {
    const std::lock_guard lock(mutex_);
    if (!written_.empty() && written_.back().end == low) {
      written_.back().end = high;
    } else if (written_.size() < most_written) {
      written_.push_back({low, high});
    }
  }
  void touch(uint64_t low, uint64_t high, bool write, DType) override {
    if (write || known_.covers({low, high})) return;
    if (ends_) throw UnknownRead{};
    all_known_.store(false, std::memory_order_relaxed);
  }
  bool all_known() const { return all_known_.load(std::memory_order_relaxed); }
  // By address.
  const std::vector<AddressRange>& written() {
    std::sort(written_.begin(), written_.end(),
              [](const AddressRange& a, const AddressRange& b) { return a.begin < b.begin; });
    return written_;
  }

 private:
  static constexpr size_t most_written = size_t{1} << 18;  // what is written beyond is not known
  const KnownMemory& known_;
  const bool ends_;
  std::atomic<bool> all_known_{true};
  std::mutex mutex_;
  std::vector<AddressRange> written_;
};

// Whether the account of a launch may depend on what it reads.
bool depends_on_contents(const Launch& launch) {
  if (launch.program == nullptr) return launch.kernel->reads_contents || launch.kernel->entry == nullptr;
  const NeededValues& needed = timed(*launch.program).needed;
  const auto& instructions = source_of(*launch.program).instructions;
  for (size_t i = 0; i < instructions.size(); ++i) {
    const Form form = info_of(instructions[i].opcode).form;
    const bool loads = form == Form::dma_load || form == Form::gather || form == Form::gather_rows;
    if (loads && needed.instructions[i] != not_needed) return true;
  }
  return needed.atomics_decide;
}

}  // namespace

std::optional<LaunchAccount> TimingMode::compute(const Launch& launch, bool ends_at_unknown, LaunchTrace* trace,
                                                 const CommandOrder* order) {
  KnownReads reads(known_, ends_at_unknown);
  emulator_.set_journal(&reads);
  const auto done = [this](void*) { emulator_.set_journal(nullptr); };
  const std::unique_ptr<void, decltype(done)> listening(this, done);
  LaunchAccount account;
  try {
    account = emulator_.run(launch, trace, order);
  } catch (const UnknownRead&) {
    return std::nullopt;
  } catch (const Error&) {
    if (reads.all_known()) throw;
    return std::nullopt;  // what it refused may be a placeholder
  }
  ++statistics_.computed;
  if (!reads.all_known() && depends_on_contents(launch)) count_stand_in(account);
  if (reads.all_known()) {
    // What lies between the bytes that were written is what it was before.
    for (const AddressRange& range : reads.written()) known_.add(range);
    return account;
  }
  for (const Window& window : emulator_.last_totals().windows) {
    if (window.bytes_written != 0) known_.remove({window.low, window.high});
  }
  forget_unread(launch);
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

void TimingMode::count_stand_in(const LaunchAccount& account) {
  ++statistics_.stood_in;
  statistics_.stand_in_seconds += account.seconds;
  statistics_.stand_in_joules += account.joules;
}

void TimingMode::forget(AddressRange range) {
  known_.remove(range);
  // Placeholders of few values, so that what small launches make of them is the same in every run.
  if (keeps(range)) std::memset(emulator_.memory().backing_of(range.begin), 0, range.bytes());
}

void TimingMode::forget_written(const std::vector<Window>& windows) {
  for (const Window& window : windows) {
    if (window.bytes_written != 0) forget({window.low, window.high});
  }
}

// With other values it might have written there.
void TimingMode::forget_unread(const Launch& launch) {
  const std::vector<Window>& windows = emulator_.last_totals().windows;
  for (const AddressRange& extent : launch.extents) {
    const bool is_touched = std::any_of(windows.begin(), windows.end(), [&](const Window& window) {
      return window.high != 0 && window.range.begin == extent.begin && window.range.end == extent.end;
    });
    if (!is_touched) forget(extent);
  }
}

LaunchAccount TimingMode::run(const Launch& launch, LaunchTrace* trace, const CommandOrder* order) {
  ++statistics_.launches;
  uint64_t bytes = 0;
  bool any_known = launch.extents.size() == 1;
  bool partly_known = false;
  std::vector<Knowledge> known;
  for (const AddressRange& extent : launch.extents) {
    bytes += extent.bytes();
    known.push_back(!known_.touches(extent) ? Knowledge::none
                    : known_.covers(extent) ? Knowledge::whole
                                            : Knowledge::part);
    any_known = any_known || known.back() != Knowledge::none;
    partly_known = partly_known || known.back() == Knowledge::part;
  }
  // What is tiny is computed on whatever stands in, unless the kernel says better what that costs.
  const bool is_tiny = !launch.extents.empty() && bytes <= std::min(kept_bytes_, tiny_bytes) &&
                       (launch.kernel == nullptr || !launch.kernel->charges_unknown);
  if (is_tiny) {
    if (const auto account = compute(launch, false, trace, order)) return *account;
  }
  // Whether it reads what is not known follows from the key, but where an extent is known in part.
  const bool may_be_known = !is_tiny && any_known && bytes <= kept_bytes_;
  if (may_be_known && partly_known) {
    if (const auto account = compute(launch, true, trace, order)) return *account;
  }
  const bool remembers = remembers_ && trace == nullptr;
  const std::string key = remembers ? remembered_.key_of(launch, known) : std::string();
  if (const auto totals = remembered_.find(key, launch)) {
    ++statistics_.remembered;
    forget_written(totals->windows);
    return emulator_.charge(*totals);
  }
  if (may_be_known && !partly_known) {
    if (const auto account = compute(launch, true, trace, order)) return *account;
  }
  if (launch.program != nullptr && timed(*launch.program).is_decided_by_memory()) {
    const LaunchAccount account = emulator_.run(launch, trace, order);
    forget_written(emulator_.last_totals().windows);
    ++statistics_.computed;
    count_stand_in(account);
    return account;
  }
  TimedLaunch timed_launch{&known_, &stand_ins_, HostWork::none, remembers_};
  const LaunchAccount account = estimate(launch, timed_launch, trace);
  forget_written(emulator_.last_totals().windows);
  if (timed_launch.multiplied) ++statistics_.multiplied;
  if (timed_launch.uses_stand_ins) {
    forget_unread(launch);
    count_stand_in(account);
  }
  if (remembers && !timed_launch.reads_contents) remembered_.keep(key, launch, emulator_.last_totals());
  return account;
}

}  // namespace mtia::emulator
