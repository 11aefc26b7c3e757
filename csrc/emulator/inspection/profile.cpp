// The profiler: an observer that reads the scoreboard before and after each instruction.
#include "emulator/inspection/profile.h"

#include <utility>

#include "emulator/inspection/instruction_observer.h"
#include "emulator/pe/pe_state.h"
#include "program/tile_program.h"

namespace mtia::emulator {
namespace {

SubCycles busy_time(const PeState& pe) {
  SubCycles sum = 0;
  for (const SubCycles unit : pe.board.counters().busy) sum += unit;
  return sum;
}

uint64_t transferred(const PeState& pe) {
  uint64_t bytes = 0;
  for (const Window& window : pe.windows) bytes += window.bytes_read + window.bytes_written;
  return bytes;
}

class Profiler : public InstructionObserver {
 public:
  Profiler(size_t instructions, std::shared_ptr<LaunchProfile> profile)
      : instructions_(instructions), profile_(std::move(profile)) {}

  void begin_launch(uint32_t pes) override { pes_.assign(pes, {std::vector<InstructionTime>(instructions_), {}, 0}); }

  // A program that waits may let another one run meanwhile, on another PE: what stood before an instruction is kept a
  // PE.
  void before(const Step& step) override {
    const PeState& pe = step.state();
    pes_[pe.pe].start = {0, busy_time(pe), pe.board.finish(), transferred(pe)};
    if (step.program_id() != pes_[pe.pe].program || pes_[pe.pe].programs == 0) {
      pes_[pe.pe].program = step.program_id();
      ++pes_[pe.pe].programs;
    }
  }

  void after(const Step& step) override {
    const PeState& pe = step.state();
    const InstructionTime& start = pes_[pe.pe].start;
    InstructionTime& time = pes_[pe.pe].times[step.index()];
    ++time.count;
    time.busy += busy_time(pe) - start.busy;
    time.exposed += pe.board.finish() - start.exposed;
    time.transfers += transferred(pe) - start.transfers;
  }

  void end_launch(const PeState* pes, const LaunchAccount& account) override {
    LaunchProfile& profile = *profile_;
    for (uint32_t i = 0; i < pes_.size(); ++i) {
      if (i != 0 && pes[i].board.finish() <= pes[profile.pe].board.finish()) continue;
      profile.pe = i;
      profile.pe_cycles = (pes[i].board.finish() + cycle - 1) / cycle;
      profile.programs = pes_[i].programs;
      profile.instructions = pes_[i].times;
    }
    profile.account = account;
  }

 private:
  struct Pe {
    std::vector<InstructionTime> times;
    InstructionTime start;
    uint64_t programs = 0;
    std::array<uint32_t, 3> program{};
  };

  size_t instructions_;
  std::shared_ptr<LaunchProfile> profile_;
  std::vector<Pe> pes_;
};

}  // namespace

std::shared_ptr<const LoadedProgram> profiling(const LoadedProgram& program, std::shared_ptr<LaunchProfile> profile) {
  return observed(program, std::make_shared<Profiler>(source_of(program).instructions.size(), std::move(profile)));
}

}  // namespace mtia::emulator
