// Reductions, scans and arg-reductions over matrices in local memory: rows of `length` contiguous elements whose starts
// are `row_stride` elements apart. The order of operations is part of the definition (docs/numerics.md): a row is
// reduced in 16 interleaved lanes joined as a binary tree, columns and scans run in ascending order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "host_math/instruction_set.h"
#include "host_math/operations.h"

namespace mtia::host_math {

// dst[r] = op over src[r][0 .. length). length 0 gives the identity. Narrow floats accumulate in f32, rounded once.
using ReduceLoop = void (*)(void* dst, const void* src, size_t rows, size_t length, size_t row_stride);
ReduceLoop reduce_rows_loop(ReduceOp op, DType dtype, HostIsa isa = selected_isa());

// dst[c] = op over src[0 .. rows)[c]; here `length` is the number of columns.
ReduceLoop reduce_columns_loop(ReduceOp op, DType dtype, HostIsa isa = selected_isa());

// Inclusive scan: dst[r][i] = op(dst[r][i - 1], src[r][i]), from the other end where `reverse`. dst may be src.
using ScanLoop = void (*)(void* dst, size_t dst_row_stride, const void* src, size_t src_row_stride, size_t rows,
                          size_t length, bool reverse);
ScanLoop scan_rows_loop(ReduceOp op, DType dtype, HostIsa isa = selected_isa());
// The same down the columns: dst[r][c] = op(dst[r - 1][c], src[r][c]).
ScanLoop scan_columns_loop(ReduceOp op, DType dtype, HostIsa isa = selected_isa());

// The index of the extreme element, and its value. positions[r][i] are the candidates' indices, laid out as src
// (nullptr: i). Among equal values the lower index wins. op: max_f, min_f (a NaN loses), maximum_f, minimum_f (the NaN
// of lowest index wins), max_s, max_u, min_s, min_u. length is at least 1.
using ReduceIndexLoop = void (*)(void* value, int32_t* index, const void* src, const int32_t* positions, size_t rows,
                                 size_t length, size_t row_stride);
ReduceIndexLoop reduce_index_rows_loop(ReduceOp op, DType dtype, HostIsa isa = selected_isa());

}  // namespace mtia::host_math
