"""log(sum(exp(x))) along one dimension, online: no element overflows, whatever its size."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    ceil_div,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_tile,
    tile_count,
)


@triton.jit
def logsumexp(
    out, x, tiles, programs, row_tiles, rows, length, x_batch, x_row, x_column,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    offsets = row[:, None].to(INDEX) * x_row + column.to(INDEX) * x_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        batch = tile // row_tiles * tl.full([], 1, tl.int64)
        first = tile % row_tiles * ROWS
        wide = first * tl.full([], 1, tl.int64)
        row_mask = row < rows - first
        source = x + batch * x_batch + wide * x_row
        largest = tl.full([ROWS], -float("inf"), COMPUTE)
        total = tl.zeros([ROWS], COMPUTE)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            mask = row_mask[:, None] & (column < length - start)
            place = start * tl.full([], 1, tl.int64) * x_column
            values = tl.load(source + place + offsets, mask=mask, other=-float("inf")).to(COMPUTE)
            new_largest = tl.maximum(largest, tl.max(values, axis=1))
            # An infinite maximum is not subtracted: inf - inf would make a NaN of it.
            shift = tl.where(tl.abs(new_largest) == float("inf"), 0.0, new_largest)
            total = total * tl.exp(largest - shift) + tl.sum(tl.exp(values - shift[:, None]), axis=1)
            largest = new_largest
        shift = tl.where(tl.abs(largest) == float("inf"), 0.0, largest)
        result = (shift + tl.log(total)).to(out.dtype.element_ty)
        tl.store(out + batch * rows + wide + row, result, mask=row_mask)


@launch_shape("logsumexp")
def logsumexp_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x); `sizes` = (outer, length, inner, x's strides of them); out is contiguous [outer, inner]."""
    outer, length, inner, of_outer, of_length, of_inner = sizes
    wide = 8 if dtypes[1] == "fp64" else 4
    batches, rows = (outer, inner) if inner > 1 else (1, outer)
    of_batch, of_row = (of_outer, of_inner) if inner > 1 else (0, of_outer)
    block_rows, columns = row_tile(chip, rows * batches, length, 2 * DTYPE_BYTES[dtypes[1]] + 4 * wide, wide)
    block_rows = min(block_rows, next_power_of_2(rows))
    row_tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, batches * row_tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "tiles": batches * row_tiles}
    arguments |= {"programs": programs, "row_tiles": tile_count(row_tiles, block_rows), "rows": rows, "length": length}
    arguments |= {"x_batch": of_batch, "x_row": of_row, "x_column": of_length}
    constexprs = {
        "COMPUTE": tl.float64 if wide == 8 else tl.float32,
        "INDEX": index_dtype([block_rows * of_row + columns * of_length]),
        "ROWS": block_rows,
        "COLUMNS": columns,
    }
    return Launch(logsumexp, (programs, 1, 1), arguments, constexprs)
