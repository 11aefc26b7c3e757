"""Cumulative sums and products along one dimension: a scan of each chunk, carried on to the next."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_tile,
    tile_count,
)


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def multiply(x, y):
    return x * y


@triton.jit
def cumulative(
    out, x, tiles, programs, row_tiles, rows, length, x_batch, x_row, x_column, out_batch, out_row, out_column,
    PRODUCT: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    source_offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    target_offsets = row.to(INDEX) * out_row + column.to(INDEX) * out_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        batch = tile // row_tiles * tl.full([], 1, tl.int64)
        first = tile % row_tiles * ROWS
        wide = first * tl.full([], 1, tl.int64)
        row_mask = row < rows - first
        carry = tl.full([ROWS, 1], 1 if PRODUCT else 0, COMPUTE)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < length - start)
            source = x + batch * x_batch + wide * x_row + place * x_column
            value = tl.load(source + source_offsets, mask=mask, other=1 if PRODUCT else 0).to(COMPUTE)
            if PRODUCT:
                result = tl.associative_scan(value, 1, multiply) * carry
                carry = carry * tl.reduce(value, 1, multiply, keep_dims=True)
            else:
                result = tl.associative_scan(value, 1, add) + carry
                carry = carry + tl.reduce(value, 1, add, keep_dims=True)
            target = out + batch * out_batch + wide * out_row + place * out_column
            tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)


def cumulative_launch(product: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x) of one shape [outer, length, inner].

    `sizes` = (outer, length, inner, x's strides (outer, length, inner), out's strides). Computed in out's dtype.
    """
    if len(sizes) != 9:
        raise ValueError(f"a cumulative kernel got {len(sizes)} sizes, wants 3 of the shape and 3 strides of x and out")
    outer, length, inner = sizes[:3]
    compute = "i8" if dtypes[0] == "bool" else compute_dtype(dtypes[0])
    wide = max(4, DTYPE_BYTES[compute])
    batches, rows = (outer, inner) if inner > 1 else (1, outer)
    block_rows, columns = row_tile(chip, rows * batches, length, 2 * DTYPE_BYTES[dtypes[1]] + 4 * wide, wide)
    columns = min(columns, 1024)
    block_rows = min(block_rows, next_power_of_2(rows))
    row_tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, batches * row_tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "tiles": batches * row_tiles}
    arguments |= {"programs": programs, "row_tiles": tile_count(row_tiles, block_rows), "rows": rows, "length": length}
    reaches = []
    for name, (of_outer, of_length, of_inner) in (("x", sizes[3:6]), ("out", sizes[6:9])):
        of_batch, of_row = (of_outer, of_inner) if inner > 1 else (0, of_outer)
        arguments |= {f"{name}_batch": of_batch, f"{name}_row": of_row, f"{name}_column": of_length}
        reaches.append(block_rows * of_row + columns * of_length)
    constexprs = {
        "PRODUCT": product,
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype(reaches),
        "ROWS": block_rows,
        "COLUMNS": columns,
    }
    return Launch(cumulative, (programs, 1, 1), arguments, constexprs)


@launch_shape("cumulative_sum")
def cumulative_sum_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See cumulative_launch."""
    return cumulative_launch(False, dtypes, sizes, chip)


@launch_shape("cumulative_product")
def cumulative_product_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See cumulative_launch."""
    return cumulative_launch(True, dtypes, sizes, chip)
