"""Cumulative sums and products along one dimension: a scan of each chunk, carried on to the next."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Plan,
    Tensor,
    Workspace,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_parts,
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
def join(x, y, PRODUCT: tl.constexpr):
    if PRODUCT:
        return x * y
    else:
        return x + y


@triton.jit
def total_of(values, PRODUCT: tl.constexpr):
    if PRODUCT:
        return tl.reduce(values, 1, multiply, keep_dims=True)
    else:
        return tl.reduce(values, 1, add, keep_dims=True)


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
            else:
                result = tl.associative_scan(value, 1, add) + carry
            carry = join(carry, total_of(value, PRODUCT), PRODUCT)
            target = out + batch * out_batch + wide * out_row + place * out_column
            tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def row_part(tile, row, row_tiles, rows, length, parts, part_length, ROWS: tl.constexpr):
    """Of a tile of a scan by parts: its batch, its first row, which of `row` there are, its part, where that begins and
    ends, and the place of each row's parts in [rows, parts]."""
    batch, first, part = tile // parts // row_tiles, tile // parts % row_tiles * ROWS, tile % parts
    outer, wide = batch * tl.full([], 1, tl.int64), first * tl.full([], 1, tl.int64)
    begin = part * part_length
    end = tl.minimum(begin + part_length, length)
    return outer, wide, row < rows - first, part, begin, end, ((batch * rows + first) + row) * parts


@triton.jit
def cumulative_parts(
    out, x, totals, tiles, programs, row_tiles, rows, length, parts, part_length,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    PRODUCT: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """Of few long rows, cut in parts: without `out` the total of each part, [rows, parts], with it the scan."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    of_row = tl.arange(0, PARTS)[None, :]
    IDENTITY: tl.constexpr = 1 if PRODUCT else 0
    source_offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    target_offsets = row.to(INDEX) * out_row + column.to(INDEX) * out_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        outer, wide, row_mask, part, begin, end, of_part = row_part(
            tile, row, row_tiles, rows, length, parts, part_length, ROWS
        )
        carry = tl.full([ROWS, 1], IDENTITY, COMPUTE)
        if out is not None:
            before = tl.load(totals + of_part + of_row, mask=row_mask & (of_row < part), other=IDENTITY).to(COMPUTE)
            carry = total_of(before, PRODUCT)
        for start in tl.range(begin, end, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < end - start)
            source = x + outer * x_batch + wide * x_row + place * x_column
            value = tl.load(source + source_offsets, mask=mask, other=IDENTITY).to(COMPUTE)
            if out is not None:
                if PRODUCT:
                    result = tl.associative_scan(value, 1, multiply) * carry
                else:
                    result = tl.associative_scan(value, 1, add) + carry
                target = out + outer * out_batch + wide * out_row + place * out_column
                tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)
            carry = join(carry, total_of(value, PRODUCT), PRODUCT)
        if out is None:
            tl.store(totals + of_part + part, carry, mask=row_mask)


def scan_tile(
    dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits, tiles: int, most: int, more: int = 0
) -> tuple[str, tuple[int, int]]:
    """The dtype that a scan of [outer, length, inner] computes in, and rows and (up to `most`) columns of its tiles.

    An element takes, beside two buffers of x, whose dtype is the last of `dtypes`, `tiles` numbers of that dtype and
    `more` bytes.
    """
    outer, length, inner = sizes[:3]
    compute = "i8" if dtypes[0] == "bool" else compute_dtype(dtypes[0])
    wide = max(4, DTYPE_BYTES[compute])
    element = 2 * DTYPE_BYTES[dtypes[-1]] + tiles * wide + more
    block_rows, columns = row_tile(chip, outer * inner, length, element, wide)
    return compute, (block_rows, min(columns, most))


def scan_launch(
    kernel: Any,
    tensors: tuple[str, ...],
    sizes: tuple[int, ...],
    chip: ChipLimits,
    tile: tuple[int, int],
    constexprs: dict[str, Any],
) -> Launch:
    """Launches `kernel` over rows of `tensors`, which are named in the order of the call.

    `sizes` = (outer, length, inner, x's strides (outer, length, inner), out's strides). Adds tiles, programs,
    row_tiles, rows, length and the strides of x and out to its arguments, INDEX, ROWS and COLUMNS to its constexprs.
    """
    if len(sizes) != 9:
        raise ValueError(f"a scan got {len(sizes)} sizes, wants 3 of the shape and 3 strides of x and out")
    outer, length, inner = sizes[:3]
    batches, rows = (outer, inner) if inner > 1 else (1, outer)
    block_rows, columns = min(tile[0], next_power_of_2(rows)), tile[1]
    row_tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, batches * row_tiles)
    arguments: dict[str, Argument] = {name: Tensor(place) for place, name in enumerate(tensors)}
    arguments |= {"tiles": batches * row_tiles, "programs": programs, "rows": rows, "length": length}
    arguments |= {"row_tiles": tile_count(row_tiles, block_rows)}
    reaches = []
    for name, (of_outer, of_length, of_inner) in (("x", sizes[3:6]), ("out", sizes[6:9])):
        of_batch, of_row = (of_outer, of_inner) if inner > 1 else (0, of_outer)
        arguments |= {f"{name}_batch": of_batch, f"{name}_row": of_row, f"{name}_column": of_length}
        reaches.append(block_rows * of_row + columns * of_length)
    shape = {"INDEX": index_dtype(reaches), "ROWS": block_rows, "COLUMNS": columns}
    return Launch(kernel, (programs, 1, 1), arguments, constexprs | shape)


def parts_plan(
    whole: Launch,
    kernel: Any,
    outputs: tuple[str, ...],
    by_part: dict[str, str],
    sizes: tuple[int, ...],
    chip: ChipLimits,
) -> Plan:
    """`whole`, a scan_launch, or, of few long rows, `kernel` twice over parts of them, which the PEs share.

    The first launch has no `outputs` and leaves what is carried out of each part, [rows, parts], in workspaces, by name
    and dtype in `by_part`. Adds parts and part_length to the arguments, PARTS to the constexprs.
    """
    rows = sizes[0] * sizes[2]
    # A part is a few blocks, so that what its total costs is little beside the launch that is saved.
    parts, part_length = row_parts(rows, sizes[1], 4 * whole.constexprs["COLUMNS"])
    if parts == 1:
        return whole
    tiles = whole.arguments["tiles"]
    assert isinstance(tiles, int)
    programs, _ = programs_for(chip, tiles * parts)
    arguments = {**whole.arguments, "tiles": tiles * parts, "programs": programs}
    arguments |= {"parts": parts, "part_length": part_length}
    arguments |= {name: Workspace(i, dtype, rows * parts) for i, (name, dtype) in enumerate(by_part.items())}
    shape = {**whole.constexprs, "PARTS": next_power_of_2(parts)}
    first: dict[str, Argument] = {**arguments, **dict.fromkeys(outputs)}
    return [Launch(kernel, (programs, 1, 1), given, shape) for given in (first, arguments)]


def cumulative_launch(product: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (out, x) of one shape; `sizes` as scan_launch has them. Computed in out's dtype, in two launches where
    the PEs share few long rows."""
    compute, tile = scan_tile(dtypes, sizes, chip, 4, 1024)
    constexprs = {"PRODUCT": product, "COMPUTE": TRITON_DTYPES[compute]}
    whole = scan_launch(cumulative, ("out", "x"), sizes, chip, tile, constexprs)
    return parts_plan(whole, cumulative_parts, ("out",), {"totals": compute}, sizes, chip)


@launch_shape("cumulative_sum")
def cumulative_sum_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """See cumulative_launch."""
    return cumulative_launch(False, dtypes, sizes, chip)


@launch_shape("cumulative_product")
def cumulative_product_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """See cumulative_launch."""
    return cumulative_launch(True, dtypes, sizes, chip)
