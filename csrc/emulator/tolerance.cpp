// Accesses outside of a launch's memory that are let pass: found, noted and told.
#include "emulator/tolerance.h"

#include <cstdio>
#include <mutex>
#include <set>

#include "base/error.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/pe_state.h"

namespace mtia::emulator {

std::byte* element_span(Frame& frame, uint64_t low, uint64_t high, Access access, uint32_t instruction) {
  PeState& pe = *frame.pe;
  if (frame.tolerated == nullptr || pe.reachable(low, high)) return pe.span(low, high, access);
  if (frame.tolerated->program == UINT64_MAX) {
    try {
      pe.span(low, high, access);
    } catch (const Error& error) {
      const uint64_t plane = frame.id[1] + uint64_t{frame.grid[1]} * frame.id[2];
      *frame.tolerated = {frame.id[0] + frame.grid[0] * plane, instruction, error.problem()};
    }
  }
  return nullptr;
}

void warn_of(const LoadedProgram& loaded, const Tolerated& first) {
  static std::mutex mutex;
  static std::set<std::string> told;
  const TileProgram& program = loaded.program;
  const std::string line = program.location_of(program.instructions[first.instruction]);
  {
    const std::lock_guard lock(mutex);
    if (!told.insert(concat(program.name, " ", line)).second) return;
  }
  const std::string text =
      concat("mtia_sim: warning: kernel ", program.name, line.empty() ? "" : ", ", line, ": ", first.problem,
             " (program ", first.program, "); MTIA_SIM_OUT_OF_BOUNDS=lenient lets it read 0 and write nothing\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace mtia::emulator
