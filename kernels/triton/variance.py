"""Variance and standard deviation with the mean, in two passes; long ones in parts that Chan's formula (1979) joins."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
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
    tensor_arguments,
    tile_count,
)
from mtia_sim_kernels.triton.reduced_tiles import (
    elements_of,
    joined_moments,
    ordered,
    reduced_place,
    reduced_tile,
    split_of,
    step_of,
)


@triton.jit
def finish_variance(squares, count, correction, ROOT: tl.constexpr):
    """The sum of squared deviations over the degrees of freedom; torch's answer to none is infinity or NaN."""
    freedom = tl.maximum(count - correction, 0.0)
    result = squares / freedom
    if ROOT:
        result = tl.sqrt(result)
    return result


@triton.jit
def variance(
    out, mean, x, correction, tiles, programs, batches, row_tiles, rows, length, chunks, steps, split_steps,
    x_batch, x_row, x_outer, x_column,
    ROOT: tl.constexpr, FINISH: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Without FINISH, out and mean take each split's sum of squared deviations from its own mean, and that mean."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    lane = tl.arange(0, ROWS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        split, batch, first, base, row_mask = reduced_tile(tile, row_tiles, batches, rows, x_batch, x_row, row, ROWS)
        source = x + base
        begin = split * split_steps
        end = tl.minimum(begin + split_steps, steps)
        count = elements_of(begin, end, chunks, length, COLUMNS).to(COMPUTE)
        sums = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for step in tl.range(begin, end, num_stages=2):
            place, mask = step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS)
            sums += tl.load(source + place + offsets, mask=mask, other=0.0).to(COMPUTE)
        average = tl.sum(sums, axis=1) / count
        squares = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for step in tl.range(begin, end, num_stages=2):
            place, mask = step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS)
            value = tl.load(source + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            deviation = tl.where(mask, value - average[:, None], 0.0)
            squares += deviation * deviation
        result = tl.sum(squares, axis=1)
        if FINISH:
            result = finish_variance(result, count, tl.full([], correction, COMPUTE), ROOT)
        target = reduced_place(split, batches, batch, rows, first)
        inside = lane < rows - first
        tl.store(out + target + lane, result.to(out.dtype.element_ty), mask=inside)
        if mean is not None:
            tl.store(mean + target + lane, average.to(mean.dtype.element_ty), mask=inside)


@triton.jit
def join_variances(
    out, mean, squares, means, correction, tiles, programs, kept, splits, split_count, last_count,
    ROOT: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Joins [splits, kept] partial results; all splits have split_count elements but the last."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], COLUMNS, tl.int64)
        inside = column < tl.minimum(kept - first, COLUMNS).to(tl.int32)
        mask = (row < splits) & inside[None, :]
        place = first + row.to(tl.int64) * kept + column[None, :]
        counts = tl.where(row < splits - 1, split_count, tl.where(row < splits, last_count, 0)).to(COMPUTE)
        count, whole, result = joined_moments(squares, means, counts, place, mask)
        result = finish_variance(result, count, tl.full([], correction, COMPUTE), ROOT)
        tl.store(out + first + column, result.to(out.dtype.element_ty), mask=inside)
        if mean is not None:
            tl.store(mean + first + column, whole.to(mean.dtype.element_ty), mask=inside)


def variance_launch(root: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out, mean or none, x), scalars (correction,); `sizes` as for reduce.*: (k0, k1, r0, r1, x's strides).

    out and mean are contiguous [k0, k1].
    """
    k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1 = ordered(sizes)
    compute = compute_dtype(dtypes[2])
    wide = DTYPE_BYTES[compute]
    block_rows, columns = row_tile(chip, k0 * k1, r1, 2 * DTYPE_BYTES[dtypes[2]] + 5 * wide, wide)
    block_rows = min(block_rows, next_power_of_2(k1))
    row_tiles, chunks = ceil_div(k1, block_rows), ceil_div(r1, columns)
    steps = r0 * chunks
    # Only one run of chunks is split, so that all parts but the last have the same count.
    splits, split_steps = split_of(k0, k1, columns, steps) if r0 == 1 else (1, steps)
    tiles = k0 * row_tiles * splits
    programs, _ = programs_for(chip, tiles)
    kept = k0 * k1
    squares, means = Workspace(0, compute, splits * kept), Workspace(1, compute, splits * kept)
    outputs = tensor_arguments(("out", "mean"), dtypes)
    arguments: dict[str, Argument] = {"x": Tensor(2), "correction": Scalar(0, compute)}
    arguments |= outputs if splits == 1 else {"out": squares, "mean": means}
    arguments |= {"tiles": tiles, "programs": programs, "batches": k0, "rows": k1}
    arguments |= {"row_tiles": tile_count(row_tiles, block_rows), "chunks": tile_count(chunks, columns)}
    arguments |= {"length": r1, "steps": tile_count(steps, columns), "split_steps": split_steps}
    arguments |= {"x_batch": s_k0, "x_row": s_k1, "x_outer": s_r0, "x_column": s_r1}
    constexprs = {
        "ROOT": root,
        "FINISH": splits == 1,
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype([block_rows * s_k1 + columns * s_r1]),
        "ROWS": block_rows,
        "COLUMNS": columns,
    }
    launches = [Launch(variance, (programs, 1, 1), arguments, constexprs)]
    if splits > 1:
        rows = next_power_of_2(splits)
        columns = max(1, min(next_power_of_2(kept), 2048 // rows))
        tiles = ceil_div(kept, columns)
        programs, _ = programs_for(chip, tiles)
        split_count = split_steps * constexprs["COLUMNS"]
        arguments = {**outputs, "squares": squares, "means": means, "correction": Scalar(0, compute), "tiles": tiles}
        arguments |= {"programs": programs, "kept": kept, "splits": splits, "split_count": split_count}
        arguments |= {"last_count": r1 - split_count * (splits - 1)}
        joined = {"ROOT": root, "COMPUTE": TRITON_DTYPES[compute], "ROWS": rows, "COLUMNS": columns}
        launches.append(Launch(join_variances, (programs, 1, 1), arguments, joined))
    return launches


@launch_shape("variance")
def variance_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """See variance_launch."""
    return variance_launch(False, dtypes, sizes, chip)


@launch_shape("standard_deviation")
def standard_deviation_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """See variance_launch."""
    return variance_launch(True, dtypes, sizes, chip)
