// A line is reached when an instruction of it follows one of another line.
#include "emulator/inspection/breakpoint.h"

#include "program/tile_program.h"

namespace mtia::emulator {
namespace {

bool is_path_end(const std::string& path, const std::string& end) {
  if (path.size() < end.size() || path.compare(path.size() - end.size(), end.size(), end) != 0) return false;
  return path.size() == end.size() || end.front() == '/' || path[path.size() - end.size() - 1] == '/';
}

bool is_there(const TileProgram& program, const Instruction& instruction, const BreakpointPlace& place) {
  if (instruction.location >= program.locations.size()) return false;
  const Location& location = program.locations[instruction.location];
  return location.line == place.line && is_path_end(program.strings[location.file], place.file);
}

}  // namespace

bool has_place(const TileProgram& program, const BreakpointPlace& place) {
  for (const Instruction& instruction : program.instructions) {
    if (is_there(program, instruction, place)) return true;
  }
  return false;
}

void Breakpoint::begin_launch(uint32_t) {
  running_.clear();
  hits_ = 0;
  finished_ = false;
}

void Breakpoint::before(const Step& step) {
  if (finished_ || (place_.program && *place_.program != step.program_id())) return;
  Running& running = running_[step.pe()];
  const TileProgram& program = step.program();
  if (!running.names || running.program != step.program_id()) {
    running.program = step.program_id();
    running.names.emplace(program);
    running.line = 0;
    running.resume = Resume::run;
  }
  const Instruction& instruction = step.instruction();
  const bool located = instruction.location < program.locations.size();
  const uint32_t line = located ? program.locations[instruction.location].line : running.line;
  const bool new_line = line != running.line;
  running.line = line;
  const bool reached = new_line && is_there(program, instruction, place_);
  const bool stepped = running.resume == Resume::instruction || (running.resume == Resume::next_line && new_line);
  if (!reached && !stepped) return;
  const Stop stop{step, *running.names, line,
                  located ? program.strings[program.locations[instruction.location].file] : "", ++hits_};
  running.resume = stopped_(stop);
  finished_ = running.resume == Resume::finish;
}

void Breakpoint::after(const Step& step) {
  const auto running = running_.find(step.pe());
  if (running == running_.end() || !running->second.names || running->second.program != step.program_id()) return;
  running->second.names->advance(step.index());
}

}  // namespace mtia::emulator
