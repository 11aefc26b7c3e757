// Python's side of operators: the plan compiler, the element-wise table, fallback counts.
#pragma once

#include <pybind11/pybind11.h>

namespace mtia::bindings {

void bind_operators(pybind11::module_& module);

}  // namespace mtia::bindings
