// The extension module mtia_sim._C.
#include <pybind11/pybind11.h>

PYBIND11_MODULE(_C, module) { module.doc() = "mtia_sim: device, runtime and emulator"; }
