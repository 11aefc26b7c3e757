"""Distances of all pairs of two lists of points in any p-norm, and their gradient. The points come transposed, so that
the coordinates of neighbouring points are neighbours."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    ceil_div,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    scalar_dtype,
    tile_count,
)
from mtia_sim_kernels.triton.expressions.arithmetic import power

NORMS = ("zero", "one", "two", "infinity", "any")


@triton.jit
def distances(
    out, a, b, p, a_tiles, b_tiles, programs, batches, n, m, length,
    NORM: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out [batches, n, m] of a [batches, length, n] and b [batches, length, m]."""
    exponent = tl.full([1, 1], p, COMPUTE)
    for tile in tl.range(tl.program_id(0), batches * a_tiles * b_tiles, programs):
        batch = (tile // (a_tiles * b_tiles)).to(tl.int64)
        row = tile // b_tiles % a_tiles * ROWS + tl.arange(0, ROWS)
        column = tile % b_tiles * COLUMNS + tl.arange(0, COLUMNS)
        total = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for i in tl.range(0, length, num_stages=2):
            line = batch * length + i
            x = tl.load(a + line * n + row, mask=row < n, other=0).to(COMPUTE)
            y = tl.load(b + line * m + column, mask=column < m, other=0).to(COMPUTE)
            gap = tl.abs(x[:, None] - y[None, :])
            if NORM == "zero":
                total += tl.where(gap != gap, gap, (gap != 0).to(COMPUTE))
            elif NORM == "one":
                total += gap
            elif NORM == "two":
                total += gap * gap
            elif NORM == "infinity":
                total = tl.where(gap > total, gap, total)  # not that of NaN, as on CPU torch
            else:
                total += power(gap, exponent)
        if NORM == "two":
            total = tl.sqrt(total)
        elif NORM == "any":
            total = power(total, 1 / exponent)
        target = out + (batch * n + row)[:, None] * m + column[None, :]
        tl.store(target, total.to(out.dtype.element_ty), mask=(row < n)[:, None] & (column < m)[None, :])


@triton.jit
def distances_backward(
    grad_a, grad, a, b, found, p, row_tiles, column_tiles, programs, batches, n, m, length,
    NORM: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """grad_a [batches, n, length] of a as large, and b [batches, m, length]; grad and distances are [batches, m, n]."""
    exponent = tl.full([1, 1], p, COMPUTE) - 1
    for tile in tl.range(tl.program_id(0), batches * row_tiles * column_tiles, programs):
        batch = (tile // (row_tiles * column_tiles)).to(tl.int64)
        row = tile // column_tiles % row_tiles * ROWS + tl.arange(0, ROWS)
        column = tile % column_tiles * COLUMNS + tl.arange(0, COLUMNS)
        place = (batch * n + row)[:, None] * length + column[None, :]
        inside = (row < n)[:, None] & (column < length)[None, :]
        x = tl.load(a + place, mask=inside, other=0).to(COMPUTE)
        total = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for j in tl.range(0, m, num_stages=2):
            line = batch * m + j
            y = tl.load(b + line * length + column, mask=column < length, other=0).to(COMPUTE)
            pulled = tl.load(grad + line * n + row, mask=row < n, other=0).to(COMPUTE)[:, None]
            gap = x - y[None, :]
            sign = (gap > 0).to(COMPUTE) - (gap < 0).to(COMPUTE)
            if NORM == "one":
                total += sign * pulled
            else:
                distance = tl.load(found + line * n + row, mask=row < n, other=0).to(COMPUTE)[:, None]
                if NORM == "two":
                    total += gap * tl.where(distance == 0, 0, pulled / distance)
                elif NORM == "infinity":
                    total += tl.where(tl.abs(gap) == distance, sign * pulled, 0)
                else:
                    slope = sign * power(tl.abs(gap), exponent) * (pulled / power(distance, exponent))
                    total += tl.where((gap == 0) | (distance == 0), 0, slope)
        tl.store(grad_a + place, total.to(grad_a.dtype.element_ty), mask=inside)


def block_of(rows: int, columns: int, programs: int) -> tuple[int, int]:
    """(rows, columns) of a tile: at most 64 by 128, smaller where that occupies more PEs."""
    block_rows, block_columns = min(64, next_power_of_2(rows)), min(128, max(16, next_power_of_2(columns)))
    while block_rows > 8 and ceil_div(rows, block_rows) * ceil_div(columns, block_columns) < programs:
        block_rows //= 2
    return block_rows, block_columns


@launch_shape("distances")
def distances_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, a, b), scalars (p): `sizes` = (norm by its place in NORMS, batches, points of a, of b, length)."""
    norm, batches, n, m, length = sizes
    compute = compute_dtype(dtypes[0])
    rows, columns = block_of(n, m, ceil_div(chip.processing_elements, batches))
    a_tiles, b_tiles = ceil_div(n, rows), ceil_div(m, columns)
    programs, _ = programs_for(chip, batches * a_tiles * b_tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "a": Tensor(1), "b": Tensor(2)}
    arguments |= {"p": Scalar(0, scalar_dtype(compute)), "programs": programs, "batches": batches}
    arguments |= {"a_tiles": tile_count(a_tiles, rows), "b_tiles": tile_count(b_tiles, columns)}
    constexprs = {"NORM": NORMS[norm], "COMPUTE": TRITON_DTYPES[compute], "ROWS": rows, "COLUMNS": columns}
    return Launch(distances, (programs, 1, 1), arguments | {"n": n, "m": m, "length": length}, constexprs)


@launch_shape("distances_backward")
def distances_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad of a, grad, a, b, distances), scalars (p); `sizes` as of distances."""
    norm, batches, n, m, length = sizes
    compute = compute_dtype(dtypes[0])
    rows, columns = block_of(n, length, ceil_div(chip.processing_elements, batches))
    row_tiles, column_tiles = ceil_div(n, rows), ceil_div(length, columns)
    programs, _ = programs_for(chip, batches * row_tiles * column_tiles)
    names = ("grad_a", "grad", "a", "b", "found")
    arguments: dict[str, Argument] = {name: Tensor(i) for i, name in enumerate(names)}
    arguments |= {"p": Scalar(0, scalar_dtype(compute)), "programs": programs, "batches": batches}
    arguments |= {"row_tiles": tile_count(row_tiles, rows), "column_tiles": tile_count(column_tiles, columns)}
    constexprs = {"NORM": NORMS[norm], "COMPUTE": TRITON_DTYPES[compute], "ROWS": rows, "COLUMNS": columns}
    return Launch(distances_backward, (programs, 1, 1), arguments | {"n": n, "m": m, "length": length}, constexprs)
