// Values that stand in for those which timing mode does not know, where an account depends on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/dtype.h"

namespace mtia::emulator {

// How stand-ins are drawn; the same settings give the same ones in every run.
struct StandInSettings {
  enum class Indices : uint8_t { uniform, zipf, quantiles };
  Indices indices = Indices::uniform;
  double exponent = 1.0;          // of Zipf's law: index i (from 0) has the weight (i + 1) ** -exponent
  std::vector<double> quantiles;  // of the position in [0, 1], at equal steps of probability from 0 to 1
  double mask = 0.5;              // probability of a true
  uint64_t seed = 0;
};

class StandIns {
 public:
  explicit StandIns(const StandInSettings& settings) : settings_(settings) {}

  const StandInSettings& settings() const { return settings_; }

  // `count` elements of what an unknown load gives, by what it is needed for (bits of Need). `where`: what tells one
  // load from others.
  //
  // Trip counts and branches: 1, so that a loop runs once however many are added up; of floats 0, as the host is given,
  // since a flag that is a float tells of what is not finite. Conditions of whiles: floats drawn from an exponential
  // law of mean 2, of which a series takes as many terms as of usual arguments. Anything else: booleans by `mask`,
  // floats uniform in [0, 1), integers from 0 to 2^30 (of narrow ones the low bits that keep them positive), so that
  // they count as indices that are yet to be drawn.
  void fill(uint8_t needs, DType dtype, std::byte* to, uint64_t count, uint64_t where) const;

  // An index of [0, size) by `indices`. `where` as above.
  uint64_t index(uint64_t size, uint64_t where) const;

 private:
  uint64_t drawn(uint8_t needs, DType dtype, uint64_t where) const;

  StandInSettings settings_;
};

}  // namespace mtia::emulator
