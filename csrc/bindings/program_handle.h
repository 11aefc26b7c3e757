// A loaded tile program as Python holds it.
#pragma once

#include <memory>

#include "emulator/emulator.h"

namespace mtia::bindings {

// LoadedProgram is opaque outside of the emulator, pybind11 wants a complete type.
struct ProgramHandle {
  std::shared_ptr<const emulator::LoadedProgram> program;
};

}  // namespace mtia::bindings
