// The order in which checked mode runs roles, PEs and programs.
#pragma once

#include <cstdint>

namespace mtia::runtime {

// Other than 0: a random order that it chooses. From the next start_checking on.
void set_schedule_seed(uint64_t chosen_seed);
uint64_t schedule_seed() noexcept;

}  // namespace mtia::runtime
