"""The lower or upper triangle of matrices: tril, triu."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    block_limit,
    ceil_div,
    index_dtype,
    launch_shape,
    programs_for,
    tile_count,
    tile_extent,
)


@triton.jit
def triangle(
    out, x, tiles, programs, row_tiles, column_tiles, rows, columns, diagonal, x_batch, x_row, x_column,
    UPPER: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first_column = tile % column_tiles * COLUMNS
        rest = tile // column_tiles
        first_row = rest % row_tiles * ROWS
        batch = rest // row_tiles * tl.full([], 1, tl.int64)
        inside = (row < rows - first_row) & (column < columns - first_column)
        wide_row = first_row * tl.full([], 1, tl.int64)
        source = x + batch * x_batch + wide_row * x_row + first_column * tl.full([], 1, tl.int64) * x_column
        value = tl.load(source + row.to(INDEX) * x_row + column.to(INDEX) * x_column, mask=inside)
        # How far right of the diagonal.
        distance = column - row + (first_column - first_row - diagonal)
        if UPPER:
            keep = distance >= 0
        else:
            keep = distance <= 0
        result = tl.where(keep, value, tl.zeros([1, 1], value.dtype))
        target = out + (batch * rows + wide_row) * columns + first_column
        tl.store(target + row.to(INDEX) * columns + column, result, mask=inside)


def triangle_launch(upper: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    batches, rows, columns, diagonal, x_batch, x_row, x_column = sizes
    limit = block_limit(chip, 4 * DTYPE_BYTES[dtypes[0]] + 16, 8192)
    block_columns = tile_extent(columns, limit)
    block_rows = tile_extent(rows, max(1, limit // block_columns))
    row_tiles, column_tiles = ceil_div(rows, block_rows), ceil_div(columns, block_columns)
    tiles = batches * row_tiles * column_tiles
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "tiles": tiles, "programs": programs}
    arguments |= {"row_tiles": tile_count(row_tiles, block_rows), "rows": rows}
    arguments |= {"column_tiles": tile_count(column_tiles, block_columns), "columns": columns}
    arguments |= {"diagonal": max(-rows, min(columns, diagonal)), "x_batch": x_batch, "x_row": x_row}
    arguments |= {"x_column": x_column}
    reach = [block_rows * x_row + block_columns * x_column, block_rows * columns]
    constexprs = {"UPPER": upper, "INDEX": index_dtype(reach), "ROWS": block_rows, "COLUMNS": block_columns}
    return Launch(triangle, (programs, 1, 1), arguments, constexprs)


@launch_shape("tril")
def tril_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out contiguous, x); `sizes` = (batches, rows, columns, diagonal, x's strides of batch, row, column)."""
    return triangle_launch(False, dtypes, sizes, chip)


@launch_shape("triu")
def triu_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors and sizes as for tril."""
    return triangle_launch(True, dtypes, sizes, chip)
