// Lines of the user's program and of C++ kernels as small numbers, so that a launch or an access carries four bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mtia::emulator {

// 0 is "unknown". `role`: of a line of a C++ kernel, the role that came to it; of a line that launched, the operator
// that it called. `file` may be empty where only that is known. Any thread.
uint32_t intern_location(std::string_view file, int line, std::string_view role = {});
// "train.py:12", or an empty string for 0.
std::string location_text(uint32_t location);
// The role that it was interned with.
std::string location_role(uint32_t location);

}  // namespace mtia::emulator
