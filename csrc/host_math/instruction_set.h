// Which vector instructions of the host the loops use: chosen once from cpuid, lowered by MTIA_SIM_HOST_ISA.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mtia::host_math {

enum class HostIsa : uint8_t { plain, avx2, avx512, avx512_bf16 };

std::string_view name_of(HostIsa isa);

// All variants this CPU can run, lowest first.
std::vector<HostIsa> available_isas();

// The highest available, or what MTIA_SIM_HOST_ISA names; throws InvalidArgument where that is unknown or unavailable.
HostIsa selected_isa();

}  // namespace mtia::host_math
