"""Extrema with their indices: argmax, argmin, max, min along dimensions; NaN is the extremum, the first one wins."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    REDUCED_BLOCK,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    Workspace,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_tile,
    tensor_arguments,
    tile_count,
)
from mtia_sim_kernels.triton.reduced_tiles import (
    least_of,
    most_of,
    ordered,
    reduced_place,
    reduced_tile,
    split_of,
    step_of,
)

NO_INDEX = tl.constexpr(9223372036854775807)


@triton.jit
def extremum(tile, LARGEST: tl.constexpr):
    """Along the columns; NaN where there is one."""
    if LARGEST:
        best = tl.max(tile, axis=1, keep_dims=True)
    else:
        best = tl.min(tile, axis=1, keep_dims=True)
    if tile.dtype.is_floating():
        nans = tl.sum((tile != tile).to(tl.int32), axis=1, keep_dims=True)
        best = tl.where(nans > 0, float("nan"), best)
    return best


@triton.jit
def arg_reduce(
    out, indices, x, x_indices, tiles, programs, batches, row_tiles, rows, length, chunks, steps, split_steps,
    x_batch, x_row, x_outer, x_column,
    LARGEST: tl.constexpr, PADDING: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """x_indices, if present, holds the indices of x's elements (of a first stage) in the same places."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        split, batch, first, base, row_mask = reduced_tile(tile, row_tiles, batches, rows, x_batch, x_row, row, ROWS)
        best = tl.full([ROWS, COLUMNS], PADDING, COMPUTE)
        best_index = tl.full([ROWS, COLUMNS], NO_INDEX, tl.int64)
        for step in tl.range(split * split_steps, tl.minimum((split + 1) * split_steps, steps), num_stages=2):
            place, mask = step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS)
            value = tl.load(x + base + place + offsets, mask=mask, other=PADDING).to(COMPUTE)
            if x_indices is not None:
                index = tl.load(x_indices + base + place + offsets, mask=mask, other=NO_INDEX)
            else:
                before, _ = step_of(step, chunks, length, length, 1, row_mask, column, COLUMNS)
                index = before + column.to(tl.int64)
            if LARGEST:
                better = value > best
            else:
                better = value < best
            if COMPUTE.is_floating():
                better = (better | (value != value)) & (best == best)
            # The first element of a lane is taken whatever it is: the padding may equal it.
            better = (better | (best_index == NO_INDEX)) & mask
            best = tl.where(better, value, best)
            best_index = tl.where(better, index, best_index)
        result = extremum(best, LARGEST)
        same = best == result
        if COMPUTE.is_floating():
            same = same | ((best != best) & (result != result))
        result_index = tl.min(tl.where(same, best_index, NO_INDEX), axis=1)
        lane = tl.arange(0, ROWS)
        target = reduced_place(split, batches, batch, rows, first)
        inside = lane < rows - first
        if out is not None:
            result = tl.reshape(result, [ROWS])
            tl.store(out + target + lane, result.to(out.dtype.element_ty), mask=inside)
        if indices is not None:
            tl.store(indices + target + lane, result_index, mask=inside)


def arg_reduction(largest: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (values or none, indices i64 or none, x); `sizes` as for reduce.*: (k0, k1, r0, r1, x's strides of them).

    values and indices are contiguous [k0, k1]; an index counts within [r0, r1] in row-major order.
    """
    source = dtypes[2]
    k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1 = ordered(sizes)
    compute = "i8" if source == "bool" else compute_dtype(source)
    wide = max(4, DTYPE_BYTES[compute])
    block_rows, columns = row_tile(chip, k0 * k1, r1, 2 * DTYPE_BYTES[source] + 2 * wide + 3 * 8, 8)
    columns = min(columns, 1024)
    block_rows = min(block_rows, next_power_of_2(k1), REDUCED_BLOCK // columns)
    row_tiles, chunks = ceil_div(k1, block_rows), ceil_div(r1, columns)
    steps = r0 * chunks
    splits, split_steps = split_of(k0, k1, columns, steps)
    tiles = k0 * row_tiles * splits
    programs, _ = programs_for(chip, tiles)
    values, indices = Workspace(0, compute, splits * k0 * k1), Workspace(1, "i64", splits * k0 * k1)
    outputs = tensor_arguments(("out", "indices"), dtypes)
    arguments: dict[str, Argument] = {"x": Tensor(2), "x_indices": None, "tiles": tiles, "programs": programs}
    arguments |= outputs if splits == 1 else {"out": values, "indices": indices}
    arguments |= {"batches": k0, "row_tiles": tile_count(row_tiles, block_rows), "rows": k1, "length": r1}
    arguments |= {"chunks": tile_count(chunks, columns), "steps": steps}
    arguments |= {"split_steps": split_steps, "x_batch": s_k0, "x_row": s_k1, "x_outer": s_r0, "x_column": s_r1}
    constexprs = {
        "LARGEST": largest,
        "PADDING": least_of(source) if largest else most_of(source),
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype([block_rows * s_k1 + columns * s_r1]),
        "ROWS": block_rows,
        "COLUMNS": columns,
    }
    first = Launch(arg_reduce, (programs, 1, 1), arguments, constexprs)
    if splits == 1:
        return [first]
    kept = k0 * k1
    columns = min(1024, next_power_of_2(splits))
    block_rows = min(next_power_of_2(kept), REDUCED_BLOCK // columns)
    row_tiles = ceil_div(kept, block_rows)
    programs, _ = programs_for(chip, row_tiles)
    arguments = {"x": values, "x_indices": indices, "tiles": row_tiles, "programs": programs, **outputs}
    arguments |= {
        "batches": 1,
        "row_tiles": tile_count(row_tiles, block_rows),
        "rows": kept,
        "length": splits,
        "chunks": 1,
        "steps": 1,
    }
    arguments |= {"split_steps": 1, "x_batch": 0, "x_row": 1, "x_outer": 0, "x_column": kept}
    constexprs = constexprs | {
        "PADDING": least_of(compute) if largest else most_of(compute),
        "INDEX": index_dtype([columns * kept]),
        "ROWS": block_rows,
        "COLUMNS": columns,
    }
    return [first, Launch(arg_reduce, (programs, 1, 1), arguments, constexprs)]


@launch_shape("max_with_index")
def max_with_index(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """See arg_reduction."""
    return arg_reduction(True, dtypes, sizes, chip)


@launch_shape("min_with_index")
def min_with_index(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """See arg_reduction."""
    return arg_reduction(False, dtypes, sizes, chip)
