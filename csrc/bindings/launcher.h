// Who launched what a device runs now, for tools that name it.
#pragma once

#include <functional>
#include <string>

namespace mtia::bindings {

// "aten::exp at train.py:42". Follows operators as long as the function lives; call it on the dispatcher's thread.
std::function<std::string()> launcher(int device);

}  // namespace mtia::bindings
