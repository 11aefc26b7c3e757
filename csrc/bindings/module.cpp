// The extension module mtia_sim._C.
#include <pybind11/pybind11.h>

#include "bindings/bind_operators.h"
#include "bindings/bind_runtime.h"

PYBIND11_MODULE(_C, module) {
  module.doc() = "mtia_sim: device, runtime and emulator";
  mtia::bindings::bind_errors(module);
  mtia::bindings::bind_device(module);
  mtia::bindings::bind_memory(module);
  mtia::bindings::bind_program(module);
  mtia::bindings::bind_launcher(module);
  mtia::bindings::bind_tile_kernels(module);
  mtia::bindings::bind_checking(module);
  mtia::bindings::bind_timing(module);
  mtia::bindings::bind_trace(module);
  mtia::bindings::bind_inspection(module);
  mtia::bindings::bind_recording(module);
  mtia::bindings::bind_breakpoints(module);
  mtia::bindings::bind_operators(module);
  mtia::bindings::bind_distributed(module);
}
