// The units of a processing element: every instruction runs on one of them (the `unit` column of instructions.def).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mtia {

enum class Unit : uint8_t { scalar, vector, simd, dot, reduce, layout, fabric, control };

inline constexpr size_t unit_count = 8;

// Names under which accounts report the units, in the order of Unit.
inline constexpr std::array<std::string_view, unit_count> unit_names{
    "scalar_core",      "vector_core",        "simd_engine",      "dot_product_engine",
    "reduction_engine", "memory_layout_unit", "fabric_interface", "command_processor"};

constexpr std::string_view name_of(Unit unit) { return unit_names[static_cast<size_t>(unit)]; }

}  // namespace mtia
