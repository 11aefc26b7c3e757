"""Scans with a memory: running extremes with their indices (cummax, cummin) and running log-sum-exp."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import TRITON_DTYPES, ChipLimits, Plan, launch_shape
from mtia_sim_kernels.triton.cumulative import parts_plan, row_part, scan_launch, scan_tile
from mtia_sim_kernels.triton.reduced_tiles import least_of, most_of


@triton.jit
def later_maximum(value, index, other, other_index):
    """Of equals the later one, and NaN before all: what CPU torch keeps."""
    later = other_index > index
    nan, other_nan = value != value, other != other
    take = (other > value) | ((other == value) & later) | (other_nan & ((nan == 0) | later))
    return tl.where(take, other, value), tl.where(take, other_index, index)


@triton.jit
def later_minimum(value, index, other, other_index):
    later = other_index > index
    nan, other_nan = value != value, other != other
    take = (other < value) | ((other == value) & later) | (other_nan & ((nan == 0) | later))
    return tl.where(take, other, value), tl.where(take, other_index, index)


@triton.jit
def log_add_exp(x, y):
    """log(exp(x) + exp(y)); equal infinities stay what they are, and NaN spreads."""
    larger = tl.where((x > y) | (x != x), x, y)
    smaller = tl.where((x > y) | (x != x), y, x)
    difference = tl.where(larger == smaller, 0.0, smaller - larger)
    total = larger + tl.log(1.0 + tl.exp(difference))
    total = tl.where((larger == smaller) & (tl.abs(larger) == float("inf")), larger, total)
    return tl.where(smaller != smaller, smaller, total)


@triton.jit
def running_extreme(
    out, indices, x, tiles, programs, row_tiles, rows, length, x_batch, x_row, x_column, out_batch, out_row, out_column,
    LARGEST: tl.constexpr, PADDING: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
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
        carry = tl.full([ROWS, 1], PADDING, COMPUTE)
        carry_index = tl.full([ROWS, 1], -1, tl.int64)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < length - start)
            source = x + batch * x_batch + wide * x_row + place * x_column
            value = tl.load(source + source_offsets, mask=mask, other=PADDING).to(COMPUTE)
            index = tl.broadcast_to((start + column).to(tl.int64), ROWS, COLUMNS)
            if LARGEST:
                value, index = tl.associative_scan((value, index), 1, later_maximum)
                value, index = later_maximum(carry, carry_index, value, index)
                carry, carry_index = tl.reduce((value, index), 1, later_maximum, keep_dims=True)
            else:
                value, index = tl.associative_scan((value, index), 1, later_minimum)
                value, index = later_minimum(carry, carry_index, value, index)
                carry, carry_index = tl.reduce((value, index), 1, later_minimum, keep_dims=True)
            target = batch * out_batch + wide * out_row + place * out_column
            tl.store(out + target + target_offsets, value.to(out.dtype.element_ty), mask=mask)
            tl.store(indices + target + target_offsets, index, mask=mask)


@triton.jit
def running_logsumexp(
    out, x, tiles, programs, row_tiles, rows, length, x_batch, x_row, x_column, out_batch, out_row, out_column,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
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
        carry = tl.full([ROWS, 1], float("-inf"), COMPUTE)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < length - start)
            source = x + batch * x_batch + wide * x_row + place * x_column
            value = tl.load(source + source_offsets, mask=mask, other=float("-inf")).to(COMPUTE)
            result = log_add_exp(carry, tl.associative_scan(value, 1, log_add_exp))
            carry = log_add_exp(carry, tl.reduce(value, 1, log_add_exp, keep_dims=True))
            target = out + batch * out_batch + wide * out_row + place * out_column
            tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def later(value, index, other, other_index, LARGEST: tl.constexpr):
    if LARGEST:
        return later_maximum(value, index, other, other_index)
    else:
        return later_minimum(value, index, other, other_index)


@triton.jit
def latest(value, index, LARGEST: tl.constexpr):
    """The extreme of each row, [ROWS, 1]."""
    if LARGEST:
        return tl.reduce((value, index), 1, later_maximum, keep_dims=True)
    else:
        return tl.reduce((value, index), 1, later_minimum, keep_dims=True)


@triton.jit
def running_extreme_parts(
    out, indices, x, extremes, places, tiles, programs, row_tiles, rows, length, parts, part_length,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    LARGEST: tl.constexpr, PADDING: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Of few long rows, cut in parts: without `out` the extreme of each part and its index, with it the scan."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    of_row = tl.arange(0, PARTS)[None, :]
    source_offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    target_offsets = row.to(INDEX) * out_row + column.to(INDEX) * out_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        outer, wide, row_mask, part, begin, end, of_part = row_part(
            tile, row, row_tiles, rows, length, parts, part_length, ROWS
        )
        carry = tl.full([ROWS, 1], PADDING, COMPUTE)
        carry_index = tl.full([ROWS, 1], -1, tl.int64)
        if out is not None:
            before = row_mask & (of_row < part)
            earlier = tl.load(extremes + of_part + of_row, mask=before, other=PADDING).to(COMPUTE)
            earlier_index = tl.load(places + of_part + of_row, mask=before, other=-1)
            carry, carry_index = latest(earlier, earlier_index, LARGEST)
        for start in tl.range(begin, end, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < end - start)
            source = x + outer * x_batch + wide * x_row + place * x_column
            value = tl.load(source + source_offsets, mask=mask, other=PADDING).to(COMPUTE)
            index = tl.broadcast_to((start + column).to(tl.int64), ROWS, COLUMNS)
            if out is None:
                # What pads the last block is no element.
                value, index = latest(value, tl.where(mask, index, -1), LARGEST)
                carry, carry_index = later(carry, carry_index, value, index, LARGEST)
            else:
                if LARGEST:
                    value, index = tl.associative_scan((value, index), 1, later_maximum)
                else:
                    value, index = tl.associative_scan((value, index), 1, later_minimum)
                value, index = later(carry, carry_index, value, index, LARGEST)
                carry, carry_index = latest(value, index, LARGEST)
                target = outer * out_batch + wide * out_row + place * out_column
                tl.store(out + target + target_offsets, value.to(out.dtype.element_ty), mask=mask)
                tl.store(indices + target + target_offsets, index, mask=mask)
        if out is None:
            tl.store(extremes + of_part + part, carry, mask=row_mask)
            tl.store(places + of_part + part, carry_index, mask=row_mask)


@triton.jit
def running_logsumexp_parts(
    out, x, totals, tiles, programs, row_tiles, rows, length, parts, part_length,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Of few long rows, cut in parts: without `out` the log-sum-exp of each part, with it the scan."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    of_row = tl.arange(0, PARTS)[None, :]
    source_offsets = row.to(INDEX) * x_row + column.to(INDEX) * x_column
    target_offsets = row.to(INDEX) * out_row + column.to(INDEX) * out_column
    for tile in tl.range(tl.program_id(0), tiles, programs):
        outer, wide, row_mask, part, begin, end, of_part = row_part(
            tile, row, row_tiles, rows, length, parts, part_length, ROWS
        )
        carry = tl.full([ROWS, 1], float("-inf"), COMPUTE)
        if out is not None:
            before = row_mask & (of_row < part)
            earlier = tl.load(totals + of_part + of_row, mask=before, other=float("-inf")).to(COMPUTE)
            carry = tl.reduce(earlier, 1, log_add_exp, keep_dims=True)
        for start in tl.range(begin, end, COLUMNS, num_stages=2):
            place = start * tl.full([], 1, tl.int64)
            mask = row_mask & (column < end - start)
            source = x + outer * x_batch + wide * x_row + place * x_column
            value = tl.load(source + source_offsets, mask=mask, other=float("-inf")).to(COMPUTE)
            if out is not None:
                result = log_add_exp(carry, tl.associative_scan(value, 1, log_add_exp))
                target = out + outer * out_batch + wide * out_row + place * out_column
                tl.store(target + target_offsets, result.to(out.dtype.element_ty), mask=mask)
            carry = log_add_exp(carry, tl.reduce(value, 1, log_add_exp, keep_dims=True))
        if out is None:
            tl.store(totals + of_part + part, carry, mask=row_mask)


def running_launch(
    dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits, largest: bool | None = None
) -> Plan:
    """tensors (out, indices, x) of one shape, without indices for log-sum-exp (`largest` None).

    `sizes` as scan_launch has them; indices lie as out does. Two launches where the PEs share few long rows.
    """
    compute, tile = scan_tile(dtypes, sizes, chip, 6, 256, more=0 if largest is None else 48)
    constexprs: dict[str, Any] = {"COMPUTE": TRITON_DTYPES[compute]}
    if largest is None:
        whole = scan_launch(running_logsumexp, ("out", "x"), sizes, chip, tile, constexprs)
        return parts_plan(whole, running_logsumexp_parts, ("out",), {"totals": compute}, sizes, chip)
    constexprs |= {"LARGEST": largest, "PADDING": least_of(compute) if largest else most_of(compute)}
    whole = scan_launch(running_extreme, ("out", "indices", "x"), sizes, chip, tile, constexprs)
    by_part = {"extremes": compute, "places": "i64"}
    return parts_plan(whole, running_extreme_parts, ("out", "indices"), by_part, sizes, chip)


@launch_shape("running_maximum")
def running_maximum_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """See running_launch."""
    return running_launch(dtypes, sizes, chip, largest=True)


@launch_shape("running_minimum")
def running_minimum_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """See running_launch."""
    return running_launch(dtypes, sizes, chip, largest=False)


@launch_shape("running_logsumexp")
def running_logsumexp_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """See running_launch."""
    return running_launch(dtypes, sizes, chip)
