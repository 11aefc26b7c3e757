// A device in timing mode: what launches, copies and fills do to its accounts, without its data (docs/timing_mode.md).
//
// Small values whose inputs are known are computed as ever, so that token ids, positions, scales and flags stay what
// they are; the rest is only accounted for, and read as 0. Where an account depends on a value that is not known,
// something stands in for it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/remembered_launches.h"
#include "emulator/timing_mode/stand_ins.h"

namespace mtia::emulator {

class TimingMode {
 public:
  static constexpr uint64_t default_kept_bytes = uint64_t{4} << 20;
  // Launches of no more memory are computed whatever is known: the conditions of loops come of such.
  static constexpr uint64_t tiny_bytes = uint64_t{16} << 10;

  struct Statistics {
    uint64_t launches = 0;
    uint64_t computed = 0;    // whose values were known, or decide what they do
    uint64_t remembered = 0;  // costed before
    uint64_t multiplied = 0;  // of which one of several PEs that do the same was walked
    uint64_t stood_in = 0;    // whose account rests on stand-ins
    double stand_in_seconds = 0;
    double stand_in_joules = 0;
  };

  // `remembers`: whether launches, and PEs that do the same, are costed once; it changes no number. `kept_bytes`:
  // values of more bytes are not kept, but that the host may send four times as many.
  TimingMode(Emulator& emulator, bool remembers, uint64_t kept_bytes)
      : emulator_(emulator), remembers_(remembers), kept_bytes_(kept_bytes), remembered_(emulator) {}

  void set_stand_ins(const StandInSettings& settings) { stand_ins_ = StandIns(settings); }
  const StandInSettings& stand_ins() const { return stand_ins_.settings(); }

  LaunchAccount run(const Launch& launch, LaunchTrace* trace, const CommandOrder* order);

  // Whether bytes that arrive or are moved are to be kept; says which ones are known from now on.
  bool keeps(AddressRange range) const { return range.bytes() <= kept_bytes_; }
  bool keeps_arriving(AddressRange range) const { return range.bytes() / 4 <= kept_bytes_; }
  void arrived(AddressRange range, bool kept) { kept ? known_.add(range) : known_.remove(range); }
  bool knows(AddressRange range) const { return known_.covers(range); }

  const Statistics& statistics() const { return statistics_; }
  void reset_statistics() { statistics_ = {}; }

 private:
  // Runs a launch of little memory; what it wrote is known where all that it read was. nullopt where it reads what is
  // not known and is to end there, or refuses it.
  std::optional<LaunchAccount> compute(const Launch& launch, bool ends_at_unknown, LaunchTrace* trace,
                                       const CommandOrder* order);
  LaunchAccount estimate(const Launch& launch, TimedLaunch& timed, LaunchTrace* trace);
  void count_stand_in(const LaunchAccount& account);
  void forget(AddressRange range);
  void forget_written(const std::vector<Window>& windows);
  void forget_unread(const Launch& launch);

  Emulator& emulator_;
  bool remembers_;
  uint64_t kept_bytes_;
  KnownMemory known_;
  StandIns stand_ins_{StandInSettings{}};
  RememberedLaunches remembered_;
  Statistics statistics_;
};

}  // namespace mtia::emulator
