"""Kernels as a user of Triton writes them, to be timed on a device and under Triton's interpreter."""

import triton
import triton.language as tl


@triton.jit
def add_vectors(first, second, out, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < count
    tl.store(out + offsets, tl.load(first + offsets, mask=mask) + tl.load(second + offsets, mask=mask), mask=mask)


@triton.jit
def softmax_rows(out, x, x_stride, out_stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    inside = offsets < columns
    values = tl.load(x + row * x_stride + offsets, mask=inside, other=-float("inf"))
    exponentials = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * out_stride + offsets, exponentials / tl.sum(exponentials, axis=0), mask=inside)


@triton.jit
def matmul_tiles(
    a, b, c, rows, columns, depth, a_stride, b_stride, c_stride,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    inner = tl.arange(0, BLOCK_K)
    a_tile = a + row[:, None] * a_stride + inner[None, :]
    b_tile = b + inner[:, None] * b_stride + column[None, :]
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, depth, BLOCK_K):
        left = tl.load(a_tile, mask=(row[:, None] < rows) & (inner[None, :] < depth - start), other=0.0)
        right = tl.load(b_tile, mask=(inner[:, None] < depth - start) & (column[None, :] < columns), other=0.0)
        accumulator = tl.dot(left, right, accumulator, input_precision="ieee")
        a_tile += BLOCK_K
        b_tile += BLOCK_K * b_stride
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    tl.store(c + row[:, None] * c_stride + column[None, :], accumulator, mask=inside)


@triton.jit
def unrolled_series(x, out, TERMS: tl.constexpr, BLOCK: tl.constexpr):
    """A polynomial with a loaded coefficient and a correction a term: TTIR grows with TERMS."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    total = tl.zeros([BLOCK], tl.float32)
    for term in tl.static_range(TERMS):
        coefficient = tl.load(x + term)
        shifted = tl.load(x + offsets + term)
        total = total * values + tl.where(shifted > coefficient, shifted * 0.5, coefficient)
        total = tl.minimum(tl.maximum(total, -8.0), 8.0)
    tl.store(out + offsets, total)
