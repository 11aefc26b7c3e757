// A device in timing mode: what launches, copies and fills do to its accounts, without its data (docs/timing_mode.md).
//
// Small values whose inputs are known are computed as ever, so that token ids, positions, scales and flags stay what
// they are; the rest is only accounted for. Where an account depends on a value that is not known, something stands in
// for it.
#pragma once

#include <cstdint>
#include <optional>

#include "emulator/emulator.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/remembered_launches.h"
#include "emulator/timing_mode/stand_ins.h"

namespace mtia::emulator {

class TimingMode {
 public:
  // Values of more bytes than this are not kept.
  static constexpr uint64_t most_kept_bytes = uint64_t{4} << 20;
  static constexpr uint64_t most_arriving_bytes = uint64_t{16} << 20;  // from the host: token ids, tables of pointers

  struct Statistics {
    uint64_t launches = 0;
    uint64_t computed = 0;    // whose values were known, or decide what they do
    uint64_t remembered = 0;  // costed before
    uint64_t stood_in = 0;    // whose account rests on stand-ins
    double stand_in_seconds = 0;
    double stand_in_joules = 0;
  };

  // `remembers`: whether launches are costed once; it changes no number.
  TimingMode(Emulator& emulator, bool remembers) : emulator_(emulator), remembers_(remembers), remembered_(emulator) {}

  void set_stand_ins(const StandInSettings& settings) { stand_ins_ = StandIns(settings); }
  const StandInSettings& stand_ins() const { return stand_ins_.settings(); }

  LaunchAccount run(const Launch& launch, LaunchTrace* trace, const CommandOrder* order);

  // Whether bytes that arrive or are moved are to be kept; says which ones are known from now on.
  bool keeps(AddressRange range) const { return range.bytes() <= most_kept_bytes; }
  bool keeps_arriving(AddressRange range) const { return range.bytes() <= most_arriving_bytes; }
  void arrived(AddressRange range, bool kept) { kept ? known_.add(range) : known_.remove(range); }
  bool knows(AddressRange range) const { return known_.covers(range); }

  const Statistics& statistics() const { return statistics_; }
  void reset_statistics() { statistics_ = {}; }

 private:
  // A launch of little memory, all of whose reads are of known values: its account; nullopt where one is not.
  std::optional<LaunchAccount> compute_known(const Launch& launch, LaunchTrace* trace, const CommandOrder* order);
  LaunchAccount estimate(const Launch& launch, TimedLaunch& timed, LaunchTrace* trace);
  void forget_written();

  Emulator& emulator_;
  bool remembers_;
  KnownMemory known_;
  StandIns stand_ins_{StandInSettings{}};
  RememberedLaunches remembered_;
  Statistics statistics_;
};

}  // namespace mtia::emulator
