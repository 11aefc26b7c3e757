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
def lanes(ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr):
    """(row, column) of the elements of a tile that is reduced along AXIS: [ROWS, COLUMNS], or [COLUMNS, ROWS] for 0."""
    if AXIS == 1:
        return tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    else:
        return tl.arange(0, ROWS)[None, :], tl.arange(0, COLUMNS)[:, None]


@triton.jit
def reduced_tile(tile, row_tiles, batches, rows, x_batch, x_row, row, ROWS: tl.constexpr):
    """(split, batch, first row, where the rows begin in x, mask of the lanes `row`)."""
    first = tile % row_tiles * ROWS
    rest = tile // row_tiles
    batch = rest % batches * tl.full([], 1, tl.int64)
    base = batch * x_batch + first * tl.full([], 1, tl.int64) * x_row
    return rest // batches, batch, first, base, row < rows - first


@triton.jit
def step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS: tl.constexpr):
    """(how far behind the rows' begin a step's columns lie, mask of the lanes `column`)."""
    start = step % chunks * COLUMNS
    outer = step // chunks * tl.full([], 1, tl.int64)
    place = outer * x_outer + start * tl.full([], 1, tl.int64) * x_column
    return place, row_mask & (column < length - start)


@triton.jit
def reduced_place(split, batches, batch, rows, first):
    """Where the results of a tile begin in [splits, k0, k1]."""
    return (split * batches + batch) * rows + first * tl.full([], 1, tl.int64)


@triton.jit
def elements_of(begin, end, chunks, length, COLUMNS: tl.constexpr):
    """Elements a row of steps [begin, end): each is a full chunk but the last of each run of chunks."""
    return (end - begin) * COLUMNS - (end // chunks - begin // chunks) * (chunks * COLUMNS - length)


@triton.jit
def joined_moments(squares, means, counts, place, mask):
    """Of the columns of a tile of parts, by Chan's formula (1979): (elements, mean, sum of squared deviations)."""
    part = tl.load(squares + place, mask=mask, other=0.0)
    average = tl.load(means + place, mask=mask, other=0.0)
    count = tl.sum(counts, axis=0)
    whole = tl.sum(average * counts, axis=0) / count
    deviation = tl.where(mask, average - whole[None, :], 0.0)
    return count, whole, tl.sum(part + counts * deviation * deviation, axis=0)


def ordered(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """(k0, k1, r0, r1, x's strides of them), with what has size 1 in front: k1 and r1 are what a tile spans."""
    k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1 = sizes
    if r1 == 1:
        r0, r1, s_r0, s_r1 = r1, r0, s_r1, s_r0
    if k1 == 1:
        k0, k1, s_k0, s_k1 = k1, k0, s_k1, s_k0
    return k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1


def splits_of(tiles_everywhere: int, steps: int) -> tuple[int, int]:
    """(splits, steps of each) of tiles whose number does not depend on the chip."""
    splits = max(1, min(SPLITS // tiles_everywhere, steps // SPLIT_STEPS))
    split_steps = ceil_div(steps, splits)
    return ceil_div(steps, split_steps), split_steps


def split_of(k0: int, k1: int, columns: int, steps: int) -> tuple[int, int]:
    """(splits, steps of each): of the tensor and REDUCED_BLOCK alone, never of the chip."""
    return splits_of(k0 * ceil_div(k1 * columns, REDUCED_BLOCK), steps)


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
