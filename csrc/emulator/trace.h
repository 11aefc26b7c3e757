// What the instructions of one launch did on the units of its PEs, in chip time. The scoreboards record it through one
// nullable pointer each, while the launch runs as it always runs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "emulator/timing/scoreboard.h"
#include "isa/opcode.h"

namespace mtia::emulator {

// One instruction on its unit. Times are sub-cycles (1/256 chip cycle) from the start of the launch's work.
struct TracedInstruction {
  SubCycles start = 0;
  SubCycles end = 0;     // the unit is free again
  SubCycles ready = 0;   // the result is in local memory
  uint64_t program = 0;  // number of the program in the grid; of a C++ kernel: of the PE
  uint64_t bytes = 0;    // read and written in local memory
  uint64_t flops = 0;
  uint32_t instruction = Tick::no_instruction;  // index in the tile program, or among the PE's calls
  uint32_t repeats = 1;                         // instructions of the scalar core in a row are one entry
  Opcode opcode{};
  Unit unit = Unit::scalar;
  uint8_t queue = 0;
};

// Pages of a circular buffer of a C++ kernel that are full from a time on, or no longer.
struct TracedOccupancy {
  SubCycles time = 0;
  uint32_t buffer = 0;
  int32_t change = 0;
};

// A call of a C++ kernel: which, and where in the source.
struct TracedCall {
  const char* operation = nullptr;
  std::string line;  // "gemm.cpp:42"
};

// Of one PE; written by the host thread that runs the PE.
class PeTrace {
 public:
  PeTrace(uint32_t pe, uint64_t limit) : pe_(pe), limit_(limit) {}

  void begin_program(uint64_t program) { program_ = program; }
  void record(const Tick& tick, SubCycles start, SubCycles end, SubCycles ready);
  void record_scalar(SubCycles start, SubCycles end, uint64_t count);

  // Of C++ kernels: the call that the next instructions belong to, known by its address and line number; buffers in the
  // order of their numbers; and changes of what they hold.
  void begin_call(const char* operation, const char* file, uint32_t line);
  void add_buffer(std::string title) { buffers_.push_back(std::move(title)); }
  void record_occupancy(SubCycles time, uint32_t buffer, int32_t change);

  uint32_t pe() const { return pe_; }
  const std::vector<TracedInstruction>& instructions() const { return instructions_; }
  const std::vector<TracedOccupancy>& occupancies() const { return occupancies_; }
  const std::vector<TracedCall>& calls() const { return calls_; }
  const std::vector<std::string>& buffers() const { return buffers_; }
  uint64_t dropped() const { return dropped_; }

 private:
  bool has_room() {
    if (instructions_.size() + occupancies_.size() < limit_) return true;
    ++dropped_;
    return false;
  }

  uint32_t pe_;
  uint64_t limit_;
  uint64_t program_ = 0;
  uint64_t dropped_ = 0;
  size_t last_scalar_ = SIZE_MAX;
  std::vector<TracedInstruction> instructions_;
  std::vector<TracedOccupancy> occupancies_;
  std::vector<std::string> buffers_;
  std::vector<TracedCall> calls_;
  std::map<std::tuple<const char*, const char*, uint32_t>, uint32_t> call_numbers_;
  uint32_t call_ = Tick::no_instruction;
};

// Of the chosen PEs of one launch. Each may record `limit` entries; what comes later is counted as dropped, so that the
// same launch gives the same trace with any number of host threads.
class LaunchTrace {
 public:
  LaunchTrace(const std::vector<uint32_t>& pes, uint64_t limit);

  // nullptr: nobody asked for this PE.
  PeTrace* of(uint32_t pe) { return pe < by_pe_.size() && by_pe_[pe] >= 0 ? &traces_[by_pe_[pe]] : nullptr; }
  // For when the launch has run.
  std::vector<PeTrace> take() { return std::move(traces_); }

 private:
  std::vector<PeTrace> traces_;
  std::vector<int32_t> by_pe_;
};

// Of one instruction of a tile program.
struct InstructionLabel {
  std::string mnemonic;
  std::string line;  // "softmax.py:42", or empty
  std::string text;  // as the disassembler writes it
};

class LoadedProgram;
std::vector<InstructionLabel> instruction_labels(const LoadedProgram& program);

}  // namespace mtia::emulator
