// Matrix products of tiles: the arithmetic of the dot product engine, on register-blocked micro-kernels of the host.
//
// c[i][j] (+)= sum over p of a[i][p] * b[p][j]. An element of F32 and F16 is a chain of fused multiply-adds in float32
// over ascending p, F64 one in float64, I8 a sum in int32, wrapping: the same on every instruction set, however a
// product is cut along m, n or k. BF16 and F8, which is converted to it, follow the host's instruction for BF16, with
// subnormal numbers read and written as zero (docs/numerics.md):
//   HostBits::portable  a chain of fused multiply-adds that takes p in pairs, the odd one first, however it is cut
//   along even p HostBits::tiles     32 values of p at a time: even and odd ones in two chains from 0, which are added,
//   and then added to
//                       the sum, however it is cut along multiples of 32
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "host_math/instruction_set.h"

namespace mtia::host_math {

// Element (i, j) is data[i * row_stride + j * column_stride]; strides are elements.
struct ConstMatrix {
  const void* data;
  ptrdiff_t row_stride;
  ptrdiff_t column_stride;
};

struct Matrix {
  void* data;
  ptrdiff_t row_stride;
  ptrdiff_t column_stride;
};

// The type that products of `dtype` accumulate in, which is c's: F32 for F32, F16, BF16, F8E4M3 and F8E5M2; F64; I32
// for I8. Throws Unsupported for other dtypes.
DType accumulator_of(DType dtype);

// c (m x n) = a (m x k) * b (k x n), plus c where `accumulate`. a and b have `dtype`. c overlaps neither.
void dot(DType dtype, const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, size_t m, size_t n, size_t k,
         bool accumulate, HostIsa isa = selected_isa());

// a and b in the layout of the micro-kernels, for use in many products. Bytes, 64-byte aligned.
size_t packed_a_bytes(DType dtype, size_t m, size_t k, HostIsa isa = selected_isa());
void pack_a(DType dtype, void* packed, const ConstMatrix& a, size_t m, size_t k, HostIsa isa = selected_isa());
size_t packed_b_bytes(DType dtype, size_t k, size_t n, HostIsa isa = selected_isa());
void pack_b(DType dtype, void* packed, const ConstMatrix& b, size_t k, size_t n, HostIsa isa = selected_isa());

// pack_a and pack_b in parts 0, 1, ..., which threads may share, in any order: they write different bytes.
size_t parts_of_a(DType dtype, const ConstMatrix& a, size_t m, size_t k, HostIsa isa = selected_isa());
void pack_part_of_a(DType dtype, void* packed, const ConstMatrix& a, size_t m, size_t k, size_t part,
                    HostIsa isa = selected_isa());
size_t parts_of_b(DType dtype, const ConstMatrix& b, size_t k, size_t n, HostIsa isa = selected_isa());
void pack_part_of_b(DType dtype, void* packed, const ConstMatrix& b, size_t k, size_t n, size_t part,
                    HostIsa isa = selected_isa());

// Whether a, which products multiply by n columns in all, is better read where it lies than packed for them:
// dot_packed then takes no packed form of it.
bool reads_rows_in_place(DType dtype, const ConstMatrix& a, size_t n, size_t k, HostIsa isa = selected_isa());

// As dot, with b packed by pack_b(dtype, packed_b, b, k, n), and a by pack_a unless packed_a is nullptr. c's columns
// must be adjacent (column_stride 1).
void dot_packed(DType dtype, const Matrix& c, const ConstMatrix& a, const void* packed_a, const void* packed_b,
                size_t m, size_t n, size_t k, bool accumulate, HostIsa isa = selected_isa());

}  // namespace mtia::host_math
