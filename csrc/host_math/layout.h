// Moves without arithmetic: strided copies, transposes, gathers and scatters of elements of 1, 2, 4 or 8 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "host_math/instruction_set.h"

namespace mtia::host_math {

// Copies `rows` runs of `row_bytes` bytes whose starts are the strides apart (bytes).
void copy_rows(void* dst, ptrdiff_t dst_stride, const void* src, ptrdiff_t src_stride, size_t rows, size_t row_bytes);

// dst[c][r] = src[r][c]; row strides in elements, element_size 1, 2, 4 or 8; dst and src do not overlap.
void transpose(size_t element_size, void* dst, size_t dst_row_stride, const void* src, size_t src_row_stride,
               size_t rows, size_t columns, HostIsa isa = selected_isa());
using TransposeLoop = void (*)(void* dst, size_t dst_row_stride, const void* src, size_t src_row_stride, size_t rows,
                               size_t columns);

// dst[i] = src[i * stride]; stride in elements, may be negative or 0.
void gather_strided(size_t element_size, void* dst, const void* src, ptrdiff_t stride, size_t n);
// dst[i * stride] = src[i].
void scatter_strided(size_t element_size, void* dst, ptrdiff_t stride, const void* src, size_t n);

// dst[i] = src[index[i]]; dst[index[i]] = src[i], later elements win. The caller has checked the bounds.
void gather(size_t element_size, void* dst, const void* src, const int64_t* index, size_t n);
void scatter(size_t element_size, void* dst, const int64_t* index, const void* src, size_t n);

// counts[b] += number of values[i] == b for 0 <= b < bins; values outside are ignored. Integer dtypes, read as signed.
void histogram(DType dtype, int32_t* counts, size_t bins, const void* values, size_t n);

}  // namespace mtia::host_math
