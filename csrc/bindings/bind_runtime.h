// Python's side of the runtime and the torch seam.
#pragma once

#include <pybind11/pybind11.h>

#include "base/error.h"

namespace mtia::bindings {

void bind_errors(pybind11::module_& module);
void bind_device(pybind11::module_& module);
void bind_memory(pybind11::module_& module);
void bind_program(pybind11::module_& module);
void bind_breakpoints(pybind11::module_& module);
void bind_recording(pybind11::module_& module);
void bind_inspection(pybind11::module_& module);
void bind_launcher(pybind11::module_& module);
void bind_tile_kernels(pybind11::module_& module);
void bind_checking(pybind11::module_& module);
void bind_timing(pybind11::module_& module);
void bind_trace(pybind11::module_& module);
void bind_distributed(pybind11::module_& module);

// Sets Python's error indicator to the exception of mtia_core.errors.
void set_python_error(const Error& error);

}  // namespace mtia::bindings
