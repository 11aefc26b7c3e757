// Stops programs of a launch at a line of their source.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "emulator/inspection/instruction_observer.h"
#include "emulator/inspection/live_names.h"

namespace mtia::emulator {

struct BreakpointPlace {
  std::string file;  // a path's end: "softmax.py", "kernels/softmax.py"
  uint32_t line = 0;
  std::optional<std::array<uint32_t, 3>> program;  // program id; every program without
};

// Whether a program of the grid can come to the place at all.
bool has_place(const TileProgram& program, const BreakpointPlace& place);

// What a stopped program shows.
struct Stop {
  const Step& step;
  const LiveNames& names;
  uint32_t line;  // about to run
  std::string file;
  uint64_t hit;  // the how manieth stop of the launch
};

enum class Resume : uint8_t {
  run,          // to the next time that the place is reached
  next_line,    // to the program's next line
  instruction,  // to the program's next instruction
  finish,       // without further stops in this launch
};

class Breakpoint : public InstructionObserver {
 public:
  // `stopped` may throw, which ends the launch.
  Breakpoint(BreakpointPlace place, std::function<Resume(const Stop&)> stopped)
      : place_(std::move(place)), stopped_(std::move(stopped)) {}

  void begin_launch(uint32_t pes) override;
  void before(const Step& step) override;
  void after(const Step& step) override;

 private:
  struct Running {
    std::array<uint32_t, 3> program{};
    std::optional<LiveNames> names;
    uint32_t line = 0;  // that ran last
    Resume resume = Resume::run;
  };

  BreakpointPlace place_;
  std::function<Resume(const Stop&)> stopped_;
  std::map<uint32_t, Running> running_;  // by PE
  uint64_t hits_ = 0;
  bool finished_ = false;
};

}  // namespace mtia::emulator
