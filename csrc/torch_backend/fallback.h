// What happens to an operator without a kernel: it raises, or, where the user asked for it, runs on the CPU and is
// counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace mtia::torch_backend {

// Operators that ran on the CPU so far and how often. Empty unless MTIA_SIM_CPU_FALLBACK=1.
std::map<std::string, uint64_t> fallback_counts();
void reset_fallback_counts();

}  // namespace mtia::torch_backend
