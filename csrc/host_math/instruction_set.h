// Which instructions of the host the loops and matrix kernels use: a row of host_isas.def, chosen once from cpuid and
// from what the operating system grants, lowered by MTIA_SIM_HOST_ISA and MTIA_SIM_HOST_BITS.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mtia::host_math {

enum class HostIsa : uint8_t {
#define MTIA_HOST_ISA_ROW(name, loops, dots, bf16, i8, bits) name,
#include "host_math/host_isas.def"
#undef MTIA_HOST_ISA_ROW
};

std::string_view name_of(HostIsa isa);

// The loops of a row.
enum class LoopSet : uint8_t { plain, avx2, avx512 };
LoopSet loops_of(HostIsa isa);

// The order in which products of bf16 and f8 are summed.
enum class HostBits : uint8_t { portable, tiles };
HostBits bits_of(HostIsa isa);

// All rows this CPU can run, lowest first.
std::vector<HostIsa> available_isas();

// The highest available, or what MTIA_SIM_HOST_ISA names; with MTIA_SIM_HOST_BITS=portable only rows of portable bits.
// Throws InvalidArgument where a variable has an unknown value, names what this CPU lacks, or the two contradict each
// other.
HostIsa selected_isa();

// For tests: what selected_isa answers for given values of the variables (nullptr or "": unset).
HostIsa choose_isa(const char* isa, const char* bits);

}  // namespace mtia::host_math
