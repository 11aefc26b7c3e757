// Element types of the chip: one numbering shared by the tile ISA, the serialiser, the runtime and python/mtia_core.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mtia {

// Integers carry no sign, as in MLIR: the operation says whether it reads them as signed. I1 is one byte holding 0
// or 1.
enum class DType : uint8_t {
  I1 = 0,
  I8 = 1,
  I16 = 2,
  I32 = 3,
  I64 = 4,
  F16 = 5,
  BF16 = 6,
  F32 = 7,
  F64 = 8,
  F8E4M3 = 9,
  F8E5M2 = 10
};

inline constexpr size_t dtype_count = 11;

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  uint8_t size;
  bool is_float;
};

inline constexpr std::array<DTypeInfo, dtype_count> dtype_table{{
    {DType::I1, "i1", 1, false},
    {DType::I8, "i8", 1, false},
    {DType::I16, "i16", 2, false},
    {DType::I32, "i32", 4, false},
    {DType::I64, "i64", 8, false},
    {DType::F16, "f16", 2, true},
    {DType::BF16, "bf16", 2, true},
    {DType::F32, "f32", 4, true},
    {DType::F64, "f64", 8, true},
    {DType::F8E4M3, "f8e4m3", 1, true},
    {DType::F8E5M2, "f8e5m2", 1, true},
}};

constexpr bool is_valid(DType dtype) { return static_cast<size_t>(dtype) < dtype_count; }

// The next four need a valid dtype; a reader of untrusted bytes asks is_valid first.
constexpr size_t size_of(DType dtype) { return dtype_table[static_cast<size_t>(dtype)].size; }
constexpr std::string_view name_of(DType dtype) { return dtype_table[static_cast<size_t>(dtype)].name; }
constexpr bool is_float(DType dtype) { return dtype_table[static_cast<size_t>(dtype)].is_float; }
constexpr bool is_integer(DType dtype) { return !is_float(dtype); }  // I1 counts as an integer
constexpr unsigned bits_of(DType dtype) { return dtype == DType::I1 ? 1U : 8U * static_cast<unsigned>(size_of(dtype)); }
// Float types that are computed in float32 and rounded once an operation.
constexpr bool is_narrow_float(DType dtype) { return is_float(dtype) && size_of(dtype) < 4; }

constexpr std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeInfo& info : dtype_table) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

}  // namespace mtia
