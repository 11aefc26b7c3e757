// What checked mode is told of a launch's tensors. Called only where runtime::is_checking().
#pragma once

#include <ATen/core/TensorBase.h>

#include <memory>
#include <string>

#include "emulator/checks/launch_notes.h"
#include "emulator/emulator.h"

namespace mtia::torch_backend {

emulator::TensorNote note_of(const at::TensorBase& tensor, std::string name = {});
// `bytes` of memory that is no tensor.
emulator::TensorNote note_of_memory(uint64_t address, size_t bytes, std::string name);

// The tensors of a C++ kernel's launch, under these names.
template <typename... Pairs>
void set_notes(emulator::Launch& launch, bool moves, const Pairs&... named) {
  auto notes = std::make_shared<emulator::LaunchNotes>();
  notes->moves = moves;
  (notes->tensors.push_back(note_of(named.second, named.first)), ...);
  launch.notes = std::move(notes);
}

}  // namespace mtia::torch_backend
