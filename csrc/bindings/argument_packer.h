// Packs the Python arguments of one Triton launch into a Launch.
#pragma once

#include <Python.h>

#include <ATen/core/TensorBase.h>

#include <memory>

#include "bindings/argument_codes.h"
#include "emulator/checks/launch_notes.h"
#include "emulator/emulator.h"

namespace mtia::bindings {

class ArgumentPacker {
 public:
  ArgumentPacker(emulator::Launch& launch, int device, bool confined)
      : launch_(launch), device_(device), confined_(confined) {}

  // Throws InvalidArgument (a ValueError in Python) for a tensor of another device, pybind11::error_already_set for a
  // wrong type.
  void pack(const ArgumentCode& code, PyObject* argument);
  // After the last argument: without extents any live allocation may be reached.
  void finish();

 private:
  void pack_pointer(PyObject* argument);
  void pack_descriptor(const ArgumentCode& code, PyObject* descriptor);
  void add_note(const at::TensorBase& tensor);
  void push_address(uint64_t address) { launch_.arguments.push_back(address); }

  emulator::Launch& launch_;
  int device_;
  bool confined_;
  std::shared_ptr<emulator::LaunchNotes> notes_;  // in checked mode
  int place_ = -1;                                // of the argument being packed, for messages
};

}  // namespace mtia::bindings
