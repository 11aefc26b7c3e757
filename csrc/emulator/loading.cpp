// Programs as launches take them: verified, decoded for a chip, and asked about.
#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/emulator.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/refusal.h"
#include "emulator/tolerance.h"
#include "program/disassemble.h"
#include "program/serialise.h"
#include "program/verify.h"

namespace mtia::emulator {

namespace {

std::shared_ptr<LoadedProgram> load(const TileProgram& program, const ChipSpec& chip) {
  verify(program);
  if (program.local_memory_bytes > chip.local_memory_bytes) {
    throw OutOfLocalMemory(concat("needs ", program.local_memory_bytes, " bytes of local memory, a PE of ", chip.name,
                                  " has ", chip.local_memory_bytes),
                           program.name, "use smaller blocks or fewer stages");
  }
  auto loaded = std::make_shared<LoadedProgram>(program, chip);
  Decoder(*loaded).decode();
  return loaded;
}

}  // namespace

std::shared_ptr<const LoadedProgram> load_program(const TileProgram& program, const ChipSpec& chip) {
  return load(program, chip);
}

std::shared_ptr<const LoadedProgram> load_program(std::span<const std::byte> bytes, const ChipSpec& chip) {
  return load(deserialise(bytes), chip);
}

std::shared_ptr<const LoadedProgram> load_tolerant_program(std::span<const std::byte> bytes, const ChipSpec& chip) {
  const std::shared_ptr<LoadedProgram> loaded = load(deserialise(bytes), chip);
  loaded->tolerates_out_of_bounds = true;
  return loaded;
}

std::string_view name_of(const LoadedProgram& program) { return program.program.name; }
const std::vector<ParameterInfo>& parameters_of(const LoadedProgram& program) { return program.parameters; }
std::string disassembly_of(const LoadedProgram& program) { return disassemble(program.program); }
bool checks_operands(const LoadedProgram& program) { return program.checks_operands; }

}  // namespace mtia::emulator
