"""The walk of reductions that are split: x seen as kept dimensions [k0, k1] and reduced ones [r0, r1].

A tile has ROWS of the k1 positions of one k0 and one split's share of the steps; a step is COLUMNS elements of one r0.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    FLOATS,
    REDUCED_BLOCK,
    UNSIGNED,
    ceil_div,
)

# The programs that a long reduction of few positions is split into: a multiple of the PEs of every chip, and the same
# on all of them, so that no chip changes the order of a sum.
SPLITS = 576
SPLIT_STEPS = 4


@triton.jit
def reduced_tile(tile, row_tiles, batches, rows, x_batch, x_row, row, ROWS: tl.constexpr):
    """(split, batch, first row, where the rows begin in x, mask of the lanes `row` [ROWS, 1])."""
    first = tile % row_tiles * ROWS
    rest = tile // row_tiles
    batch = rest % batches * tl.full([], 1, tl.int64)
    base = batch * x_batch + first * tl.full([], 1, tl.int64) * x_row
    return rest // batches, batch, first, base, row < rows - first


@triton.jit
def step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS: tl.constexpr):
    """(r0, first column, how far behind the rows' begin it lies, mask of the lanes `column` [1, COLUMNS])."""
    outer = step // chunks * tl.full([], 1, tl.int64)
    start = step % chunks * COLUMNS
    return (
        outer,
        start,
        outer * x_outer + start * tl.full([], 1, tl.int64) * x_column,
        row_mask & (column < length - start),
    )


@triton.jit
def reduced_place(split, batches, batch, rows, first):
    """Where the results of a tile begin in [splits, k0, k1]."""
    return (split * batches + batch) * rows + first * tl.full([], 1, tl.int64)


def ordered(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """(k0, k1, r0, r1, x's strides of them), with what has size 1 in front: k1 and r1 are what a tile spans."""
    k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1 = sizes
    if r1 == 1:
        r0, r1, s_r0, s_r1 = r1, r0, s_r1, s_r0
    if k1 == 1:
        k0, k1, s_k0, s_k1 = k1, k0, s_k1, s_k0
    return k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1


def split_of(k0: int, k1: int, columns: int, steps: int) -> tuple[int, int]:
    """(splits, steps of each): of the tensor and REDUCED_BLOCK alone, never of the chip."""
    tiles_everywhere = k0 * ceil_div(k1 * columns, REDUCED_BLOCK)
    splits = max(1, min(SPLITS // tiles_everywhere, steps // SPLIT_STEPS))
    split_steps = ceil_div(steps, splits)
    return ceil_div(steps, split_steps), split_steps


def least_of(dtype: str) -> int | float:
    """What no number of the dtype is below."""
    if dtype in FLOATS:
        return float("-inf")
    return 0 if dtype == "bool" or dtype in UNSIGNED else -(1 << (8 * DTYPE_BYTES[dtype] - 1))


def most_of(dtype: str) -> int | float:
    """What no number of the dtype is above."""
    if dtype in FLOATS:
        return float("inf")
    if dtype == "bool":
        return 1
    return (1 << (8 * DTYPE_BYTES[dtype] - (dtype not in UNSIGNED))) - 1
