// A loaded tile program as Python holds it.
#pragma once

#include <memory>

#include "emulator/emulator.h"

namespace mtia::bindings {

// LoadedProgram is opaque outside of the emulator, pybind11 wants a complete type.
struct ProgramHandle {
  std::shared_ptr<const emulator::LoadedProgram> program;
  // Wanted of the next launch; moved into it.
  mutable std::shared_ptr<emulator::LaunchProfile> profile;
};

}  // namespace mtia::bindings
