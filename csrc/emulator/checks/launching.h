// What the checker keeps while a launch runs.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "emulator/checks/checker.h"
#include "emulator/checks/clock_races.h"
#include "emulator/emulator.h"

namespace mtia::emulator {

struct Checker::Launching {
  static constexpr size_t history_records = size_t{1} << 14;
  static constexpr size_t timed_records = size_t{1} << 19;

  // A finished program's access, to be named when a later one conflicts with it.
  struct Past {
    uint64_t program;
    std::array<uint32_t, 3> id;
    uint32_t pe;
    AccessRecord record;
  };

  const Launch* launch = nullptr;
  const LaunchNotes* notes = nullptr;
  const std::vector<uint32_t>* origins = nullptr;  // of a tile program
  bool confined = false;                           // the launch may touch its tensors only
  std::atomic<bool> uses_clocks{false};            // its programs synchronise
  std::vector<bool> volatile_loads;                // by instruction; empty where there are none
  std::vector<Past> history;                       // a ring
  size_t next_past = 0;
  std::vector<TimedAccess> timed;
  bool timed_overflow = false;
  struct Reported {
    Check check;
    uint32_t instruction;
    uint64_t program;
    uint64_t finding;  // of all findings, from 1
  };
  std::vector<Reported> reported;
  uint64_t replaced = 0;  // the finding that the next one takes the place of

  // The tensor that an instruction addresses, or no_tensor.
  uint32_t tensor_of(uint32_t instruction) const {
    if (notes == nullptr || origins == nullptr || instruction >= origins->size()) return LaunchNotes::no_tensor;
    const uint32_t argument = (*origins)[instruction];
    return argument < notes->tensor_of_argument.size() ? notes->tensor_of_argument[argument] : LaunchNotes::no_tensor;
  }

  void remember(const AccessLog& log, const AccessRecord& record) {
    const Past past{log.number(), log.id(), log.pe(), record};
    if (history.size() < history_records) {
      history.push_back(past);
    } else {
      history[next_past++ % history_records] = past;
    }
  }
};

}  // namespace mtia::emulator
