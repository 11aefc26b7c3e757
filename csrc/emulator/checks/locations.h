// Lines of the user's program as small numbers, so that a launch or an allocation carries four bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mtia::emulator {

// 0 is "unknown". Any thread.
uint32_t intern_location(std::string_view file, int line);
// "train.py:12", or an empty string for 0.
std::string location_text(uint32_t location);

}  // namespace mtia::emulator
