// Vectorised loops over contiguous elements: the arithmetic of the emulator's units on tiles in local memory.
//
// A lookup returns nullptr where the operation is not defined for the dtype. Loops never throw, never trap (x / 0 is
// defined) and give the same bits on every instruction set. Pointers are aligned to their element; dst may be the very
// same address as a source of the same element size, other overlaps are not allowed. Numerics: docs/numerics.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bit_patterns.h"
#include "base/dtype.h"
#include "host_math/instruction_set.h"
#include "host_math/operations.h"

namespace mtia::host_math {

// dst[i] = op(src[i]); dst has dtype I1 for is_nan, is_inf and is_finite.
using UnaryLoop = void (*)(void* dst, const void* src, size_t n);
UnaryLoop unary_loop(UnaryOp op, DType dtype, HostIsa isa = selected_isa());

// Which operand is one element for all i.
enum class BinaryMode : uint8_t { vector_vector, scalar_vector, vector_scalar };

// dst[i] = op(a[i], b[i]).
using BinaryLoop = void (*)(void* dst, const void* a, const void* b, size_t n, BinaryMode mode);
BinaryLoop binary_loop(BinaryOp op, DType dtype, HostIsa isa = selected_isa());

// dst[i] = a[i] <predicate> b[i], dst is I1. always_false and always_true read no operand.
BinaryLoop compare_loop(IntegerCompare predicate, DType dtype, HostIsa isa = selected_isa());
BinaryLoop compare_loop(FloatCompare predicate, DType dtype, HostIsa isa = selected_isa());

// Bit k of `scalars` set: operand k is one element for all i.
enum ScalarOperands : unsigned { no_scalar = 0, scalar_a = 1, scalar_b = 2, scalar_c = 4 };

// dst[i] = op(a[i], b[i], c[i]): fma_f a * b + c; clamp_f(value, low, high).
using TernaryLoop = void (*)(void* dst, const void* a, const void* b, const void* c, size_t n, unsigned scalars);
TernaryLoop ternary_loop(TernaryOp op, DType dtype, HostIsa isa = selected_isa());

// dst[i] = condition[i] ? b[i] : c[i]; the condition is I1 and operand a.
TernaryLoop select_loop(DType dtype, HostIsa isa = selected_isa());

enum class Rounding : uint8_t { nearest_even, toward_zero };

struct ConvertMode {
  bool is_unsigned = false;  // reads an integer source, or writes an integer result of a float, as unsigned
  Rounding rounding = Rounding::nearest_even;  // of a float result; integers from floats always round toward zero
};

// dst[i] = src[i] in dtype `to`. Integers wrap to narrower ones (to I1: the lowest bit), are sign- or zero-extended
// (I1 reads as -1 or 1); floats saturate to integers, NaN gives 0; float to I1 is src != 0. dst must not be src unless
// the element sizes agree.
UnaryLoop convert_loop(DType from, DType to, ConvertMode mode = {}, HostIsa isa = selected_isa());

// dst[i] = *value, for elements of 1, 2, 4 or 8 bytes.
void fill(void* dst, const void* value, size_t element_size, size_t n);

// dst[i] = start + i, integers only, wrapping.
void iota(DType dtype, void* dst, int64_t start, size_t n);

}  // namespace mtia::host_math
