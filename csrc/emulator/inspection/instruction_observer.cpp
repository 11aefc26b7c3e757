// Reads the frame of a running program for its observers.
#include "emulator/inspection/instruction_observer.h"

#include <utility>

#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"

namespace mtia::emulator {

const TileProgram& Step::program() const { return frame_.program->program; }
const Instruction& Step::instruction() const { return program().instructions[index_]; }
const std::array<uint32_t, 3>& Step::program_id() const { return frame_.id; }
const std::array<uint32_t, 3>& Step::grid() const { return frame_.grid; }
uint32_t Step::pe() const { return frame_.pe->pe; }
const PeState& Step::state() const { return *frame_.pe; }

const std::byte* Step::data(uint32_t value) const {
  const Value& v = program().values[value];
  if (v.is_tile()) return frame_.base[0] + program().slots[v.slot].offset;
  return frame_.base[1] + size_t{value} * 8;
}

std::shared_ptr<const LoadedProgram> observed(const LoadedProgram& program,
                                              std::shared_ptr<InstructionObserver> observer) {
  auto loaded = std::make_shared<LoadedProgram>(program.program, program.costs.chip());
  loaded->tolerates_out_of_bounds = program.tolerates_out_of_bounds;
  loaded->observer = std::move(observer);
  Decoder(*loaded).decode();
  return loaded;
}

const TileProgram& source_of(const LoadedProgram& program) { return program.program; }

}  // namespace mtia::emulator
