// Launches that were costed before: the same program on the same grid with the same sizes does the same wherever its
// tensors lie, as long as they lie alike and the SRAM holds the same of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/timing/launch_totals.h"

namespace mtia::emulator {

// How much of a range holds known values.
enum class Knowledge : uint8_t { none, part, whole };

// Whether a launch's extents are the same or apart, so that each address belongs to one of them.
bool are_apart(const Launch& launch);

class RememberedLaunches {
 public:
  explicit RememberedLaunches(const Emulator& emulator) : emulator_(emulator) {}

  // What tells a launch from others; empty where it names no memory. `known`: of each extent.
  std::string key_of(const Launch& launch, const std::vector<Knowledge>& known) const;

  // What a launch of this key did, at the addresses of `launch`; nullopt where none was kept.
  std::optional<LaunchTotals> find(const std::string& key, const Launch& launch) const;
  void keep(const std::string& key, const Launch& launch, const LaunchTotals& totals);

  uint64_t size() const { return kept_.size(); }

 private:
  struct Kept {
    LaunchTotals totals;
    std::vector<uint32_t> extents;                 // of each window
    std::shared_ptr<const LoadedProgram> program;  // keeps the address that the key has
  };
  const Emulator& emulator_;
  std::unordered_map<std::string, Kept> kept_;
};

}  // namespace mtia::emulator
