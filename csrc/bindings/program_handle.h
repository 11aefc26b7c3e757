// A loaded tile program as Python holds it.
#pragma once

#include <memory>

#include "emulator/emulator.h"

namespace mtia::bindings {

// LoadedProgram is opaque outside of the emulator, pybind11 wants a complete type.
struct ProgramHandle {
  std::shared_ptr<const emulator::LoadedProgram> program;
  // The same program for the next launch alone: one that is profiled.
  mutable std::shared_ptr<const emulator::LoadedProgram> next;

  std::shared_ptr<const emulator::LoadedProgram> take() const { return next ? std::move(next) : program; }
};

}  // namespace mtia::bindings
