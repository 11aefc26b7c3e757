// Whoever looks on while a launch runs one instruction at a time: the profiler, the finder of NaNs, breakpoints.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "emulator/emulator.h"

namespace mtia {
struct Instruction;
struct TileProgram;
struct Value;
}  // namespace mtia

namespace mtia::emulator {

struct Frame;
struct PeState;

// One instruction of one program of the grid, just before or just after it runs. Valid for the call that it is
// passed to.
class Step {
 public:
  Step(const Frame& frame, uint32_t index) : frame_(frame), index_(index) {}

  const TileProgram& program() const;
  uint32_t index() const { return index_; }  // in the tile program
  const Instruction& instruction() const;
  const std::array<uint32_t, 3>& program_id() const;
  const std::array<uint32_t, 3>& grid() const;
  uint32_t pe() const;
  const PeState& state() const;

  // What a value holds now: a tile's elements, dense and row-major, or a scalar's slot of 8 bytes (its dtype's bits in
  // the low end).
  const std::byte* data(uint32_t value) const;

 private:
  const Frame& frame_;
  uint32_t index_;
};

// Calls come from the thread that runs the launch. What an observer throws ends the launch; an mtia::Error is told
// where.
class InstructionObserver {
 public:
  virtual ~InstructionObserver() = default;
  // Whether a program of the grid, x fastest, is to run at all.
  virtual bool wants(uint64_t program) const {
    (void)program;
    return true;
  }
  // `pes`: that run programs of the launch.
  virtual void begin_launch(uint32_t pes) { (void)pes; }
  virtual void before(const Step& step) { (void)step; }
  virtual void after(const Step& step) { (void)step; }
  // All programs have run; `pes` as before.
  virtual void end_launch(const PeState* pes, const LaunchAccount& account) {
    (void)pes;
    (void)account;
  }
};

// The same program for launches that show each instruction to `observer`: on one host thread, nothing fused, at the
// same cost on the chip. Programs that wait for others run beside them as in any launch.
std::shared_ptr<const LoadedProgram> observed(const LoadedProgram& program,
                                              std::shared_ptr<InstructionObserver> observer);

// The tile program that was loaded.
const TileProgram& source_of(const LoadedProgram& program);

}  // namespace mtia::emulator
