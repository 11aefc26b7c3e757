"""Embedding: rows of a table by index, and the check of its gradient's indices (kernels/cpp/row_sums sums that)."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    block_limit,
    ceil_div,
    floor_power_of_2,
    index_dtype,
    launch_shape,
    next_power_of_2,
)
from mtia_sim_kernels.triton.checks import check_row


@triton.jit
def embedding_forward(
    out, weight, indices, count, rows_per_program, length, weight_row, rows,
    INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    begin = tl.program_id(0) * rows_per_program
    end = tl.minimum(begin + rows_per_program, count)
    row = tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    targets = row.to(INDEX)[:, None] * length + column[None, :]
    for start in tl.range(begin, end, ROWS, num_stages=2):
        wide = start * tl.full([], 1, tl.int64)
        inside = row < end - start
        index = tl.load(indices + wide + row, mask=inside, other=0).to(tl.int64)
        check_row(index, rows)
        sources = (index * weight_row)[:, None] + column[None, :]
        for first in tl.range(0, length, COLUMNS):
            mask = inside[:, None] & (column < length - first)[None, :]
            values = tl.load(weight + first + sources, mask=mask)
            tl.store(out + wide * length + first + targets, values, mask=mask)


@triton.jit
def check_embedding_rows(indices, padding, count, rows, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    pad = tl.full([], padding, tl.int64)
    for start in tl.range(0, count, BLOCK, num_stages=2):
        inside = lane < count - start
        index = tl.load(indices + start * tl.full([], 1, tl.int64) + lane, mask=inside, other=0).to(tl.int64)
        check_row(tl.where(index != pad, index, 0), rows)


@launch_shape("embedding_forward")
def embedding_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, weight, indices), no scalars.

    `sizes` = (count of indices, length of a row, weight's row stride, rows of weight: indices are refused beyond).

    out [count, length] and the indices (i32 or i64) are contiguous, weight's rows have stride 1.
    """
    count, length, weight_row, rows = sizes
    size = DTYPE_BYTES[dtypes[0]]
    # Two buffers of a block; a block that the host's cache holds until it is stored.
    fits = min(block_limit(chip, 4 * size), 65536 // size)
    columns = min(next_power_of_2(length), 4096, fits)
    rows_per_program = ceil_div(count, chip.processing_elements)
    block_rows = max(1, min(fits // columns, next_power_of_2(rows_per_program), 1024))
    arguments: dict[str, Argument] = {"out": Tensor(0), "weight": Tensor(1), "indices": Tensor(2), "count": count}
    arguments |= {"rows_per_program": rows_per_program, "length": length, "weight_row": weight_row, "rows": rows}
    constexprs = {"INDEX": index_dtype([block_rows * length]), "ROWS": block_rows, "COLUMNS": columns}
    return Launch(embedding_forward, (ceil_div(count, rows_per_program), 1, 1), arguments, constexprs)


@launch_shape("check_embedding_rows")
def check_embedding_rows_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (indices [count], i32 or i64), scalars (padding index, which passes): `sizes` = (count, rows)."""
    count, rows = sizes
    block = min(floor_power_of_2(block_limit(chip, 64)), max(16, next_power_of_2(count)))
    arguments: dict[str, Argument] = {"indices": Tensor(0), "padding": Scalar(0, "i64"), "count": count, "rows": rows}
    return Launch(check_embedding_rows, (1, 1, 1), arguments, {"BLOCK": block})
