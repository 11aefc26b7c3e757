// From fused instructions to machine code.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "host_math/fused_loop.h"

namespace mtia::host_math {

// The code of FusedLoop::Function; nothing where the values need more registers than AVX-512 has. `converts_bf16`: the
// host has AVX512-BF16.
std::optional<std::vector<uint8_t>> generate_fused_loop(std::span<const FusedInstruction> instructions,
                                                        bool converts_bf16);

}  // namespace mtia::host_math
