"""Products of floats, of dimensions or cumulative: mantissa and exponent apart, so that nothing overflows on its way.

A product is 0 where a factor is 0, NaN only where a factor is NaN or 0 meets an infinity, and else the rounded product
of all factors, in whatever order they are multiplied.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Plan,
    Tensor,
    Workspace,
    ceil_div,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_tile,
    tile_count,
)
from mtia_sim_kernels.triton.cumulative import parts_plan, row_part, scan_launch
from mtia_sim_kernels.triton.reduced_tiles import ordered, reduced_place, reduced_tile, split_of, step_of

EXPONENT = tl.constexpr(0x7FF0000000000000)
ONE = tl.constexpr(0x3FF0000000000000)


@triton.jit
def normalised(value, exponent):
    """value * 2^exponent with a value whose magnitude is in [1, 2), or 0, infinite or NaN."""
    bits = value.to(tl.int64, bitcast=True)
    field = bits & EXPONENT
    usual = (field != 0) & (field != EXPONENT)
    mantissa = ((bits & ~EXPONENT) | ONE).to(tl.float64, bitcast=True)
    shift = ((field >> 52) - 1023).to(tl.int32)
    return tl.where(usual, mantissa, value), exponent + tl.where(usual, shift, 0)


@triton.jit
def taken_apart(value):
    """Of numbers as loaded: float64's subnormal ones are scaled up first."""
    wide = value.to(tl.float64)
    small = tl.abs(wide) < 1e-290
    scaled = tl.where(small, wide * 1.8446744073709552e19, wide)
    return normalised(scaled, tl.where(small, -64, 0).to(tl.int32))


@triton.jit
def multiplied(x, x_exponent, y, y_exponent):
    return normalised(x * y, x_exponent + y_exponent)


@triton.jit
def power_of_two(exponent):
    return ((exponent.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def put_together(value, exponent):
    """Rounded once: the first factor of two is exact."""
    bounded = tl.minimum(tl.maximum(exponent, -1150), 1150)
    half = bounded >> 1
    return value * power_of_two(half) * power_of_two(bounded - half)


@triton.jit
def scaled_product(
    out, exponents, x, x_exponents, tiles, programs, batches, row_tiles, rows, length, chunks, steps, split_steps,
    x_batch, x_row, x_outer, x_column,
    INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """`exponents` of a first stage's out, `x_exponents` of a second one's x; else absent."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    lane = tl.arange(0, ROWS)
    offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        split, batch, first, base, row_mask = reduced_tile(tile, row_tiles, batches, rows, x_batch, x_row, row, ROWS)
        product = tl.full([ROWS, COLUMNS], 1.0, tl.float64)
        exponent = tl.zeros([ROWS, COLUMNS], tl.int32)
        for step in tl.range(split * split_steps, tl.minimum((split + 1) * split_steps, steps), num_stages=2):
            place, mask = step_of(step, chunks, length, x_outer, x_column, row_mask, column, COLUMNS)
            factor, shift = taken_apart(tl.load(x + base + place + offsets, mask=mask, other=1.0))
            if x_exponents is not None:
                shift += tl.load(x_exponents + base + place + offsets, mask=mask, other=0)
            product, exponent = multiplied(product, exponent, factor, shift)
        result, result_exponent = tl.reduce((product, exponent), 1, multiplied)
        target = reduced_place(split, batches, batch, rows, first) + lane
        inside = lane < rows - first
        if exponents is not None:
            tl.store(out + target, result, mask=inside)
            tl.store(exponents + target, result_exponent, mask=inside)
        else:
            tl.store(out + target, put_together(result, result_exponent).to(out.dtype.element_ty), mask=inside)


# Bytes of local memory an element of a block: the value as loaded, products, exponents and what normalising them takes.
ELEMENT_BYTES = 96


@launch_shape("scaled_product")
def scaled_product_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out, x), floats; `sizes` as for reduce.*: (k0, k1, r0, r1, x's strides of them). Computed in float64."""
    k0, k1, r0, r1, s_k0, s_k1, s_r0, s_r1 = ordered(sizes)
    block_rows, columns = row_tile(chip, k0 * k1, min(r1, 256), ELEMENT_BYTES + DTYPE_BYTES[dtypes[1]], 8)
    block_rows = min(block_rows, next_power_of_2(k1))
    row_tiles, chunks = ceil_div(k1, block_rows), ceil_div(r1, columns)
    steps = r0 * chunks
    splits, split_steps = split_of(k0, k1, columns, steps)
    tiles = k0 * row_tiles * splits
    programs, _ = programs_for(chip, tiles)
    kept = k0 * k1
    values, exponents = Workspace(0, "fp64", splits * kept), Workspace(1, "i32", splits * kept)
    is_split = splits > 1
    arguments: dict[str, Argument] = {"out": values if is_split else Tensor(0), "x": Tensor(1), "x_exponents": None}
    arguments |= {"exponents": exponents if is_split else None, "tiles": tiles, "programs": programs}
    arguments |= {"batches": k0, "row_tiles": tile_count(row_tiles, block_rows), "rows": k1, "length": r1}
    arguments |= {"chunks": tile_count(chunks, columns), "steps": steps}
    arguments |= {"split_steps": split_steps, "x_batch": s_k0, "x_row": s_k1, "x_outer": s_r0, "x_column": s_r1}
    index = index_dtype([block_rows * s_k1 + columns * s_r1])
    constexprs = {"INDEX": index, "ROWS": block_rows, "COLUMNS": columns}
    first = Launch(scaled_product, (programs, 1, 1), arguments, constexprs)
    if not is_split:
        return [first]
    block_rows, columns = row_tile(chip, kept, min(splits, 256), ELEMENT_BYTES + 8, 8)
    block_rows = min(block_rows, next_power_of_2(kept))
    row_tiles = ceil_div(kept, block_rows)
    programs, _ = programs_for(chip, row_tiles)
    chunks = ceil_div(splits, columns)
    arguments = {"out": Tensor(0), "exponents": None, "x": values, "x_exponents": exponents, "tiles": row_tiles}
    arguments |= {"programs": programs, "batches": 1, "row_tiles": tile_count(row_tiles, block_rows), "rows": kept}
    arguments |= {
        "length": splits,
        "chunks": chunks,
        "steps": chunks,
        "split_steps": chunks,
        "x_batch": 0,
        "x_row": 1,
        "x_outer": 0,
    }
    arguments |= {"x_column": kept}
    constexprs = {"INDEX": index_dtype([block_rows + columns * kept]), "ROWS": block_rows, "COLUMNS": columns}
    return [first, Launch(scaled_product, (programs, 1, 1), arguments, constexprs)]


@triton.jit
def scaled_cumulative_product(
    out, x, tiles, programs, row_tiles, rows, length, x_batch, x_row, x_column, out_batch, out_row, out_column,
    INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
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
        carry = tl.full([ROWS, 1], 1.0, tl.float64)
        carry_exponent = tl.zeros([ROWS, 1], tl.int32)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < length - start)
            source = x + batch * x_batch + wide * x_row + place * x_column
            factor, shift = taken_apart(tl.load(source + source_offsets, mask=mask, other=1.0))
            product, exponent = tl.associative_scan((factor, shift), 1, multiplied)
            product, exponent = multiplied(product, exponent, carry, carry_exponent)
            target = out + batch * out_batch + wide * out_row + place * out_column
            result = put_together(product, exponent)
            tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)
            last = column == COLUMNS - 1
            carry = tl.sum(tl.where(last, product, 0.0), 1, keep_dims=True)
            carry_exponent = tl.sum(tl.where(last, exponent, 0), 1, keep_dims=True)


@triton.jit
def scaled_cumulative_product_parts(
    out, x, products, exponents, tiles, programs, row_tiles, rows, length, parts, part_length,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Of few long rows, cut in parts: without `out` the product of each part, taken apart, with it the scan."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    of_row = tl.arange(0, PARTS)[None, :]
    source_offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    target_offsets = row.to(INDEX) * out_row + column.to(INDEX) * out_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        outer, wide, row_mask, part, begin, end, of_part = row_part(
            tile, row, row_tiles, rows, length, parts, part_length, ROWS
        )
        carry = tl.full([ROWS, 1], 1.0, tl.float64)
        carry_exponent = tl.zeros([ROWS, 1], tl.int32)
        if out is not None:
            before = row_mask & (of_row < part)
            earlier = tl.load(products + of_part + of_row, mask=before, other=1.0)
            earlier_exponent = tl.load(exponents + of_part + of_row, mask=before, other=0)
            carry, carry_exponent = tl.reduce((earlier, earlier_exponent), 1, multiplied, keep_dims=True)
        for start in tl.range(begin, end, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < end - start)
            source = x + outer * x_batch + wide * x_row + place * x_column
            factor, shift = taken_apart(tl.load(source + source_offsets, mask=mask, other=1.0))
            if out is not None:
                product, exponent = tl.associative_scan((factor, shift), 1, multiplied)
                product, exponent = multiplied(product, exponent, carry, carry_exponent)
                target = out + outer * out_batch + wide * out_row + place * out_column
                result = put_together(product, exponent)
                tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)
            block, block_exponent = tl.reduce((factor, shift), 1, multiplied, keep_dims=True)
            carry, carry_exponent = multiplied(carry, carry_exponent, block, block_exponent)
        if out is None:
            tl.store(products + of_part + part, carry, mask=row_mask)
            tl.store(exponents + of_part + part, carry_exponent, mask=row_mask)


@launch_shape("scaled_cumulative_product")
def scaled_cumulative_product_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (out, x), floats, of one shape; `sizes` as scan_launch has them. Two launches where the PEs share few
    long rows."""
    outer, length, inner = sizes[:3]
    bytes_each = ELEMENT_BYTES + DTYPE_BYTES[dtypes[1]]
    tile = row_tile(chip, outer * inner, min(length, 256), bytes_each, 8)
    whole = scan_launch(scaled_cumulative_product, ("out", "x"), sizes, chip, tile, {})
    by_part = {"products": "fp64", "exponents": "i32"}
    return parts_plan(whole, scaled_cumulative_product_parts, ("out",), by_part, sizes, chip)
