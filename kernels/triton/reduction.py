"""Reductions to one value a position: sums, products, extrema, truth values, norms: their table and the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    REDUCED_BLOCK,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    Workspace,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_tile,
    scalar_dtype,
    tile_count,
)
from mtia_sim_kernels.triton.reduced_tiles import (
    lanes,
    least_of,
    most_of,
    ordered,
    reduced_place,
    reduced_tile,
    split_of,
    step_of,
)


@triton.jit
def keep(x, p):
    return x


@triton.jit
def nonzero(x, p):
    return (x != 0).to(x.dtype)


@triton.jit
def magnitude(x, p):
    return tl.abs(x)


@triton.jit
def squared(x, p):
    return x * x


@triton.jit
def magnitude_power(x, p):
    return libdevice.pow(tl.abs(x), p)


@triton.jit
def zero_for_nan(x, p):
    return tl.where(x == x, x, 0.0)


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def multiply(x, y):
    return x * y


@triton.jit
def larger(x, y):
    if x.dtype.is_floating():
        return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    else:
        return tl.maximum(x, y)


@triton.jit
def smaller(x, y):
    if x.dtype.is_floating():
        return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)
    else:
        return tl.minimum(x, y)


@triton.jit
def exclusive_or(x, y):
    return x ^ y


@triton.jit
def combine(x, y, COMBINE: tl.constexpr):
    if COMBINE == "add":
        return x + y
    elif COMBINE == "multiply":
        return x * y
    elif COMBINE == "xor":
        return exclusive_or(x, y)
    elif COMBINE == "larger":
        return larger(x, y)
    else:
        return smaller(x, y)


@triton.jit
def reduce_tile(tile, AXIS: tl.constexpr, COMBINE: tl.constexpr):
    if COMBINE == "add":
        return tl.reduce(tile, AXIS, add)
    elif COMBINE == "multiply":
        return tl.reduce(tile, AXIS, multiply)
    elif COMBINE == "xor":
        return tl.reduce(tile, AXIS, exclusive_or)
    elif COMBINE == "larger":
        return tl.reduce(tile, AXIS, larger)
    else:
        return tl.reduce(tile, AXIS, smaller)


@triton.jit
def as_it_is(x, count, p):
    return x


@triton.jit
def over_count(x, count, p):
    return x / count


@triton.jit
def square_root(x, count, p):
    return tl.sqrt(x)


@triton.jit
def root(x, count, p):
    return libdevice.pow(x, 1.0 / p)


@dataclass(frozen=True)
class Reduction:
    """One reduction, launched as "reduce.<name>": finish(combine of map(x) over the reduced dimensions, count, p).

    `combine` is "add", "multiply", "xor", "larger" or "smaller" (the latter two keep NaN).
    `padding` is what elements of a block outside the tensor hold before `map`: 0, 1, "least" or "most" of the dtype.
    `compute` is "output", "input" (the dtype that the arithmetic is in) or a dtype's name.
    """

    name: str
    map: Any
    combine: str
    finish: Any = as_it_is
    padding: int | str = 0
    compute: str = "output"


_TABLE = (
    Reduction("sum", keep, "add"),
    Reduction("nansum", zero_for_nan, "add"),
    Reduction("mean", keep, "add", over_count),
    Reduction("prod", keep, "multiply", padding=1),
    Reduction("amax", keep, "larger", padding="least", compute="input"),
    Reduction("amin", keep, "smaller", padding="most", compute="input"),
    Reduction("any", nonzero, "larger", compute="input"),
    Reduction("all", nonzero, "smaller", padding=1, compute="input"),
    Reduction("count_nonzero", nonzero, "add", compute="i64"),
    Reduction("norm_0", nonzero, "add"),
    Reduction("norm_1", magnitude, "add"),
    Reduction("norm_2", squared, "add", square_root),
    Reduction("norm_inf", magnitude, "larger"),
    Reduction("norm_negative_inf", magnitude, "smaller", padding="most"),
    Reduction("norm_p", magnitude_power, "add", root),
    Reduction("norm_negative_p", magnitude_power, "add", root, padding="most"),
    Reduction("sum_of_squares", squared, "add"),
    Reduction("xor", keep, "xor", compute="input"),
)


@triton.jit
def reduce(
    out, x, p, tiles, programs, batches, row_tiles, rows, length, chunks, steps, split_steps, count,
    x_batch, x_row, x_outer, x_column,
    MAP: tl.constexpr, COMBINE: tl.constexpr, FINISH: tl.constexpr, PADDING: tl.constexpr,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ONE_STEP: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr,
):  # fmt: skip
    """Reduces the columns of tiles: [ROWS, COLUMNS] for AXIS 1, [COLUMNS, ROWS] for AXIS 0; lanes meet at the end."""
    row, column = lanes(ROWS, COLUMNS, AXIS)
    offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        split, batch, first, base, row_mask = reduced_tile(tile, row_tiles, batches, rows, x_batch, x_row, row, ROWS)
        source = x + base
        if p is not None:
            power = tl.full([], p, COMPUTE)
        else:
            power = None
        if ONE_STEP:
            values = tl.load(source + offsets, mask=row_mask & (column < length), other=PADDING)
            accumulated = MAP(values.to(COMPUTE), power)
        else:
            padding = tl.full([ROWS, COLUMNS] if AXIS == 1 else [COLUMNS, ROWS], PADDING, COMPUTE)
            accumulated = MAP(padding, power)
            last = tl.minimum((split + 1) * split_steps, steps)
            for step in tl.range(split * split_steps, last, num_stages=2):
                place, mask = step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS)
                part = tl.load(source + place + offsets, mask=mask, other=PADDING)
                accumulated = combine(accumulated, MAP(part.to(COMPUTE), power), COMBINE)
        result = reduce_tile(accumulated, AXIS, COMBINE)
        result = FINISH(result, tl.full([], count, tl.int64).to(COMPUTE), power)
        lane = tl.arange(0, ROWS)
        target = reduced_place(split, batches, batch, rows, first)
        tl.store(out + target + lane, result.to(out.dtype.element_ty), mask=lane < rows - first)


def padding_of(row: Reduction, dtype: str) -> int | float:
    if not isinstance(row.padding, str):
        return row.padding
    return least_of(dtype) if row.padding == "least" else most_of(dtype)


def reduction(row: Reduction, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out, x); `sizes` = (k0, k1, r0, r1, x's strides of k0, k1, r0, r1), all sizes at least 1.

    x is seen as kept dimensions [k0, k1] and reduced dimensions [r0, r1] (1 where there are fewer; a tensor that needs
    more is made contiguous); out is contiguous [k0, k1]. `scalars` is (p,) for norm_p and norm_negative_p, else empty.
    """
    output, source = dtypes
    k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1 = ordered(sizes)
    compute = {"output": output, "input": source}.get(row.compute, row.compute)
    compute = "i8" if compute == "bool" else compute_dtype(compute)
    count = r0 * r1
    wide = max(4, DTYPE_BYTES[compute])
    element_bytes = 2 * DTYPE_BYTES[source] + 3 * wide
    axis = 0 if k1 > 1 and abs(s_k1) < abs(s_r1) else 1
    if axis == 0:
        columns = min(16, next_power_of_2(r1))
        block_rows = min(next_power_of_2(k1), REDUCED_BLOCK // 16 * 4 // wide)
    else:
        block_rows, columns = row_tile(chip, k0 * k1, r1, element_bytes, wide)
        block_rows = min(block_rows, next_power_of_2(k1))
    row_tiles, chunks = ceil_div(k1, block_rows), ceil_div(r1, columns)
    steps = r0 * chunks
    splits, split_steps = split_of(k0, k1, columns, steps)
    tiles = k0 * row_tiles * splits
    programs, _ = programs_for(chip, tiles)
    partial = Workspace(0, compute, splits * k0 * k1)
    has_p = row.name in ("norm_p", "norm_negative_p")
    arguments: dict[str, Argument] = {
        "out": Tensor(0) if splits == 1 else partial,
        "x": Tensor(1),
        "p": Scalar(0, scalar_dtype(compute)) if has_p else None,
        "tiles": tiles,
        "programs": programs,
        "batches": k0,
        "row_tiles": tile_count(row_tiles, block_rows),
        "rows": k1,
        "length": r1,
        "chunks": tile_count(chunks, columns),
        "steps": steps,
        "split_steps": split_steps,
        "count": count,
        "x_batch": s_k0,
        "x_row": s_k1,
        "x_outer": s_r0,
        "x_column": s_r1,
    }
    constexprs = {
        "MAP": row.map,
        "COMBINE": row.combine,
        "FINISH": row.finish if splits == 1 else as_it_is,
        "PADDING": padding_of(row, source),
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype([block_rows * s_k1 + columns * s_r1]),
        "ONE_STEP": steps == 1,
        "ROWS": block_rows,
        "COLUMNS": columns,
        "AXIS": axis,
    }
    first = Launch(reduce, (programs, 1, 1), arguments, constexprs)
    if splits == 1:
        return [first]
    # The partial results, contiguous [splits, k0 * k1], are reduced over the splits.
    columns = next_power_of_2(splits)
    block_rows = min(next_power_of_2(k0 * k1), max(1, REDUCED_BLOCK * 4 // wide // columns))
    row_tiles = ceil_div(k0 * k1, block_rows)
    programs, _ = programs_for(chip, row_tiles)
    arguments = arguments | {
        "out": Tensor(0),
        "x": partial,
        "tiles": row_tiles,
        "programs": programs,
        "batches": 1,
        "row_tiles": tile_count(row_tiles, block_rows),
        "rows": k0 * k1,
        "length": splits,
        "chunks": 1,
        "steps": 1,
        "split_steps": 1,
        "x_batch": 0,
        "x_row": 1,
        "x_outer": 0,
        "x_column": k0 * k1,
    }
    constexprs = constexprs | {
        "MAP": keep,
        "FINISH": row.finish,
        "PADDING": 0 if row.combine == "add" else padding_of(row, compute),
        "INDEX": index_dtype([columns * k0 * k1]),
        "ONE_STEP": True,
        "ROWS": block_rows,
        "COLUMNS": columns,
        "AXIS": 0 if k0 * k1 > 1 else 1,
    }
    return [first, Launch(reduce, (programs, 1, 1), arguments, constexprs)]


def register(row: Reduction) -> None:
    launch_shape(f"reduce.{row.name}")(lambda *call: reduction(row, *call))


for table_row in _TABLE:
    register(table_row)
