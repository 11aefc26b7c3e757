"""Tensors from numbers: ranges, and the triangles of matrices."""

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    FLOATS,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    block_limit,
    ceil_div,
    launch_shape,
    next_power_of_2,
    programs_for,
)


@triton.jit
def arange(out, start, step, count, tiles, BLOCK: tl.constexpr):
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        position = tile.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        value = start + position.to(start.dtype) * step
        tl.store(out + position, value.to(out.dtype.element_ty), mask=position < count)


@launch_shape("arange")
def arange_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out,), scalars (start, step): out[i] = start + i * step, floats in float64 as on the CPU; sizes: (elements,)."""
    (count,) = sizes
    block = min(block_limit(chip, 40, 4096), next_power_of_2(max(count, 16)))
    tiles = ceil_div(count, block)
    wide = "fp64" if dtypes[0] in FLOATS else "i64"
    arguments: dict[str, Argument] = {"out": Tensor(0), "start": Scalar(0, wide), "step": Scalar(1, wide), "count": count, "tiles": tiles}
    return Launch(arange, (programs_for(chip, tiles)[0], 1, 1), arguments, {"BLOCK": block})


@triton.jit
def triangle(
    out, x, diagonal, tiles, row_tiles, column_tiles, rows, columns,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    UPPER: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        first_column = tile % column_tiles * COLUMNS
        first_row = tile // column_tiles % row_tiles * ROWS
        batch = (tile // column_tiles // row_tiles).to(tl.int64)
        row = first_row + tl.arange(0, ROWS)[:, None]
        column = first_column + tl.arange(0, COLUMNS)[None, :]
        inside = (row < rows) & (column < columns)
        value = tl.load(x + batch * x_batch + row.to(tl.int64) * x_row + column.to(tl.int64) * x_column, mask=inside)
        if UPPER:
            kept = column - row >= diagonal
        else:
            kept = column - row <= diagonal
        value = tl.where(kept, value, tl.zeros_like(value))
        tl.store(out + batch * out_batch + row.to(tl.int64) * out_row + column.to(tl.int64) * out_column, value, mask=inside)


@launch_shape("triangle")
def triangle_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x); sizes: (upper, diagonal, batch, rows, columns, then the strides (batch, row, column) of x and of out)."""
    upper, diagonal, batch, rows, columns = sizes[:5]
    block_columns = min(next_power_of_2(max(columns, 16)), 128)
    block_rows = min(next_power_of_2(rows), max(1, block_limit(chip, 4 * DTYPE_BYTES[dtypes[0]] + 24, 8192) // block_columns))
    row_tiles, column_tiles = ceil_div(rows, block_rows), ceil_div(columns, block_columns)
    tiles = batch * row_tiles * column_tiles
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "diagonal": diagonal, "tiles": tiles}
    arguments |= {"row_tiles": row_tiles, "column_tiles": column_tiles, "rows": rows, "columns": columns}
    names = ("x_batch", "x_row", "x_column", "out_batch", "out_row", "out_column")
    arguments |= dict(zip(names, sizes[5:], strict=True))
    constexprs = {"UPPER": bool(upper), "ROWS": block_rows, "COLUMNS": block_columns}
    return Launch(triangle, (programs_for(chip, tiles)[0], 1, 1), arguments, constexprs)
