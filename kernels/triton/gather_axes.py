"""Results along up to two dimensions that are weighted sums of a few elements along the same ones, by tables of taps:
interpolation, padding, and their gradients, for which a program owns the elements that it writes."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    FLOATS,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    block_limit,
    ceil_div,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    tensor_arguments,
    tile_count,
    tile_extent,
)

#: Runs of neighbours that are shorter are no rows of their own.
LEAST_ROW = 16
#: Longer lines are not held in local memory; their elements are moved one by one.
LONGEST_LINE = 2048


@triton.jit
def tap_weight(table, cells, cell, inside, COMPUTE: tl.constexpr):
    bits = tl.load(table + cells + cell, mask=inside, other=0)
    return bits.to(tl.float64, bitcast=True).to(COMPUTE)


@triton.jit
def rounded(value, DTYPE: tl.constexpr):
    if tl.uint8 == DTYPE:
        value = tl.minimum(tl.maximum(tl.floor(value + 0.5), 0), 255)
    return value.to(DTYPE)


@triton.jit
def gather_axes(
    out, x, table_a, table_b, row_tiles, lane_tiles, programs, rows, lanes, in_a, out_a, taps_a, in_b, out_b, taps_b,
    inner,
    WEIGHTED: tl.constexpr, COPIES: tl.constexpr, B_BY_ROW: tl.constexpr, COMPUTE: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out [outer, out_a, out_b, inner] of x [outer, in_a, in_b, inner]; weights are those of b. B_BY_ROW: a row of a
    tile is one (outer, a, b) with all of inner, else one (outer, a) with all of (b, inner)."""
    for tile in tl.range(tl.program_id(0), row_tiles * lane_tiles, programs):
        row = tile // lane_tiles * ROWS + tl.arange(0, ROWS)
        lane = tile % lane_tiles * COLUMNS + tl.arange(0, COLUMNS)
        in_rows = row < rows
        in_lanes = lane < lanes
        if B_BY_ROW:
            place_b = row % out_b
            outer = row // out_b
            along = lane
            in_b_places = in_rows
        else:
            place_b = lane // inner
            outer = row
            along = lane % inner
            in_b_places = in_lanes
        place_a = outer % out_a
        outer = (outer // out_a).to(tl.int64) * in_a
        inside = in_rows[:, None] & in_lanes[None, :]
        target = out + row.to(tl.int64)[:, None] * lanes + lane[None, :]
        if not COPIES:
            total = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for tap_a in tl.range(0, taps_a):
            valid = inside
            a = outer
            if table_a is not None:
                from_a = tl.load(table_a + tap_a * out_a + place_a, mask=in_rows, other=-1)
                valid = valid & (from_a >= 0)[:, None]
                a += tl.maximum(from_a, 0)
            for tap_b in tl.range(0, taps_b):
                from_b = tl.load(table_b + tap_b * out_b + place_b, mask=in_b_places, other=-1)
                has_b = from_b >= 0
                from_b = tl.maximum(from_b, 0)
                if B_BY_ROW:
                    found = valid & has_b[:, None]
                    source = x + ((a * in_b + from_b) * inner)[:, None] + along[None, :]
                else:
                    found = valid & has_b[None, :]
                    source = x + (a * in_b * inner)[:, None] + (from_b * inner + along)[None, :]
                if COPIES:
                    tl.store(target, tl.load(source, mask=found, other=0), mask=inside)
                else:
                    value = tl.load(source, mask=found, other=0).to(COMPUTE)
                    if WEIGHTED:
                        weight = tap_weight(table_b, taps_b * out_b, tap_b * out_b + place_b, in_b_places, COMPUTE)
                        if B_BY_ROW:
                            value = value * weight[:, None]
                        else:
                            value = value * weight[None, :]
                    total += value
        if not COPIES:
            tl.store(target, rounded(total, out.dtype.element_ty), mask=inside)


@triton.jit
def gather_lines(
    out, x, table_a, table_b, row_tiles, lane_tiles, programs, rows, lanes, in_a, out_a, taps_a, in_b, out_b, taps_b,
    inner,
    WEIGHTED: tl.constexpr, COPIES: tl.constexpr, LINE: tl.constexpr, COMPUTE: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """As gather_axes where inner is short: a line of x, all of its (b, inner), is loaded once for all taps of b, which
    take from local memory."""
    along_line = tl.arange(0, LINE)[None, :]
    for tile in tl.range(tl.program_id(0), row_tiles * lane_tiles, programs):
        row = tile // lane_tiles * ROWS + tl.arange(0, ROWS)
        lane = tile % lane_tiles * COLUMNS + tl.arange(0, COLUMNS)
        in_rows = row < rows
        in_lanes = lane < lanes
        place_b = lane // inner
        along = lane % inner
        place_a = row % out_a
        outer = (row // out_a).to(tl.int64) * in_a
        target = out + row.to(tl.int64)[:, None] * lanes + lane[None, :]
        inside = in_rows[:, None] & in_lanes[None, :]
        if not COPIES:
            total = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for tap_a in tl.range(0, taps_a):
            a = outer
            has_a = in_rows
            if table_a is not None:
                from_a = tl.load(table_a + tap_a * out_a + place_a, mask=in_rows, other=-1)
                has_a = from_a >= 0
                a += tl.maximum(from_a, 0)
            in_line = has_a[:, None] & (along_line < in_b * inner)
            line = tl.load(x + (a * in_b * inner)[:, None] + along_line, mask=in_line, other=0)
            for tap_b in tl.range(0, taps_b):
                from_b = tl.load(table_b + tap_b * out_b + place_b, mask=in_lanes, other=-1)
                has_b = (from_b >= 0)[None, :]
                place = (tl.maximum(from_b, 0) * inner + along).to(tl.int32)
                place = tl.where(in_lanes, place, 0)[None, :]
                value = tl.gather(line, tl.broadcast_to(place, [ROWS, COLUMNS]), 1)
                value = tl.where(has_b, value, 0)
                if COPIES:
                    tl.store(target, value, mask=inside)
                else:
                    value = value.to(COMPUTE)
                    if WEIGHTED:
                        weight = tap_weight(table_b, taps_b * out_b, tap_b * out_b + place_b, in_lanes, COMPUTE)
                        value = value * weight[None, :]
                    total += value
        if not COPIES:
            tl.store(target, rounded(total, out.dtype.element_ty), mask=inside)


@launch_shape("gather_axes")
def gather_axes_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x, table of a or none, table of b), no scalars.

    `sizes` = (outer, in_a, out_a, taps_a, in_b, out_b, taps_b, inner, whether the tables have weights). out and x are
    dense; a table is int64 [taps, out], -1 for no tap, and behind it as many float64 weights.
    """
    outer, in_a, out_a, taps_a, in_b, out_b, taps_b, inner, weighted = sizes
    by_row = inner >= LEAST_ROW
    rows, lanes = (outer * out_a * out_b, inner) if by_row else (outer * out_a, out_b * inner)
    taps_a = max(taps_a, 1)
    copies = taps_a * taps_b == 1 and not weighted
    compute = compute_dtype(dtypes[1])
    if compute not in FLOATS:
        compute = "fp32"
    size = max(DTYPE_BYTES[name] for name in (dtypes[0], dtypes[1], compute))
    line = 0 if by_row or in_b * inner > LONGEST_LINE else max(16, next_power_of_2(in_b * inner))
    elements = block_limit(chip, 4 * size + 2 if by_row else 4 * size + 18, 8192 if by_row else 4096)
    columns = tile_extent(lanes, elements) if lanes > 16 else next_power_of_2(lanes)
    lane_tiles = ceil_div(lanes, columns)
    wanted = next_power_of_2(ceil_div(rows * lane_tiles, chip.processing_elements))
    block_rows = max(1, min(elements // max(columns, line), wanted, 1024))
    row_tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, row_tiles * lane_tiles)
    arguments: dict[str, Argument] = tensor_arguments(("out", "x", "table_a", "table_b"), dtypes)
    arguments |= {"row_tiles": tile_count(row_tiles, block_rows), "lane_tiles": tile_count(lane_tiles, columns)}
    arguments |= {"programs": programs, "rows": rows, "lanes": lanes, "in_a": in_a, "out_a": out_a, "taps_a": taps_a}
    arguments |= {"in_b": in_b, "out_b": out_b, "taps_b": taps_b, "inner": inner}
    constexprs: dict[str, Any] = {"WEIGHTED": bool(weighted), "COPIES": copies}
    constexprs |= {"LINE": line} if line else {"B_BY_ROW": by_row}
    constexprs |= {"COMPUTE": TRITON_DTYPES[compute], "ROWS": block_rows, "COLUMNS": columns}
    return Launch(gather_lines if line else gather_axes, (programs, 1, 1), arguments, constexprs)
