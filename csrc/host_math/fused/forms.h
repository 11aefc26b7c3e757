// The AVX-512 instructions of fused loops that have one encoding, and the registers that are not values'.
#pragma once

#include <cstdint>

#include "host_math/fused/assembler.h"

namespace mtia::host_math {

inline constexpr unsigned value_registers = 29;  // three more are scratch
inline constexpr unsigned scratch_2 = 29;
inline constexpr unsigned scratch_0 = 30;
inline constexpr unsigned scratch_1 = 31;
inline constexpr unsigned rest_mask = 1;
inline constexpr unsigned work_mask = 2;

inline constexpr Form move_f32{0x28};
inline constexpr Form move_i32{0x6F, 1, 1};
inline constexpr Form add_f32{0x58};
inline constexpr Form multiply_f32{0x59};
inline constexpr Form subtract_f32{0x5C};
inline constexpr Form divide_f32{0x5E};
inline constexpr Form root_f32{0x51};
// vmaxps and vminps give the second operand where either is NaN and where both are equal.
inline constexpr Form max_f32{0x5F};
inline constexpr Form min_f32{0x5D};
inline constexpr Form compare_f32{0xC2};                 // by an immediate
inline constexpr Form multiply_add_f32{0xA8, 2, 1};      // d = second * d + rm
inline constexpr Form subtract_product_f32{0xBC, 2, 1};  // d = d - second * rm
inline constexpr Form scale_f32{0x2C, 2, 1};             // second * 2^rm, for a whole rm
inline constexpr Form reduce_f32{0x56, 3, 1};            // rm - rm rounded, by an immediate
inline constexpr Form add_i32{0xFE, 1, 1};
inline constexpr Form and_i32{0xDB, 1, 1};
inline constexpr Form or_i32{0xEB, 1, 1};
inline constexpr Form xor_i32{0xEF, 1, 1};
inline constexpr Form shift_i32{0x72, 1, 1};  // by an immediate; /6 left, /2 right
inline constexpr Form test_i32{0x27, 2, 1};
inline constexpr Form blend_32{0x65, 2, 1};
inline constexpr Form blend_16{0x66, 2, 1, 1, 1};
inline constexpr Form widen_16{0x33, 2, 1};
inline constexpr Form widen_8{0x31, 2, 1};
inline constexpr Form narrow_16{0x33, 2, 2};
inline constexpr Form convert_to_bf16{0x72, 2, 2};        // reads subnormal numbers as zero
inline constexpr Form classify_f32{0x66, 3, 1};           // by an immediate
inline constexpr Form broadcast_from_scalar{0x7C, 2, 1};  // vpbroadcastd of a 32-bit register

// Immediates of compare_f32.
inline constexpr uint8_t unordered = 3;
inline constexpr uint8_t ordered = 7;
inline constexpr uint8_t less = 0x11;
inline constexpr uint8_t not_less_or_equal = 0x16;
// Of reduce_f32: to the nearest even whole number, noting nothing.
inline constexpr uint8_t to_nearest = 8;
// Of classify_f32.
inline constexpr uint8_t subnormal = 0x20;

}  // namespace mtia::host_math
