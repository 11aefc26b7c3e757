"""Scans with a memory: running extremes with their indices (cummax, cummin) and running log-sum-exp."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import TRITON_DTYPES, ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.cumulative import scan_launch, scan_tile
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


def running_launch(
    dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits, largest: bool | None = None
) -> Launch:
    """tensors (out, indices, x) of one shape, without indices for log-sum-exp (`largest` None).

    `sizes` as scan_launch has them; indices lie as out does.
    """
    compute, tile = scan_tile(dtypes, sizes, chip, 6, 256, more=0 if largest is None else 48)
    constexprs: dict[str, Any] = {"COMPUTE": TRITON_DTYPES[compute]}
    if largest is None:
        return scan_launch(running_logsumexp, ("out", "x"), sizes, chip, tile, constexprs)
    constexprs |= {"LARGEST": largest, "PADDING": least_of(compute) if largest else most_of(compute)}
    return scan_launch(running_extreme, ("out", "indices", "x"), sizes, chip, tile, constexprs)


@launch_shape("running_maximum")
def running_maximum_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See running_launch."""
    return running_launch(dtypes, sizes, chip, largest=True)


@launch_shape("running_minimum")
def running_minimum_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See running_launch."""
    return running_launch(dtypes, sizes, chip, largest=False)


@launch_shape("running_logsumexp")
def running_logsumexp_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See running_launch."""
    return running_launch(dtypes, sizes, chip)
