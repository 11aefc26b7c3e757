"""Embedding: rows of a table by index, and the dense gradient of the table, each of whose rows one program owns."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    Workspace,
    ceil_div,
    compute_dtype,
    floor_power_of_2,
    launch_shape,
    next_power_of_2,
    plan,
)
from mtia_sim_kernels.triton.checks import check_row

# Rows whose indices are asked for before the first of them is needed: an address waits for its index to arrive.
AHEAD = tl.constexpr(8)


@triton.jit
def index_ahead(indices, position, end):
    """An index, or 0 from `end` on."""
    return tl.load(indices + position * tl.full([], 1, tl.int64), mask=position < end, other=0).to(tl.int64)


@triton.jit
def copy_row(out, weight, index, position, end, column, length, weight_row):
    mask = (column < length) & (position < end)
    row = tl.load(weight + index * weight_row + column, mask=mask)
    tl.store(out + position * tl.full([], 1, tl.int64) * length + column, row, mask=mask)


@triton.jit
def embedding_forward(
    out, weight, indices, count, rows_per_program, length, weight_row, rows,
    ONE_BLOCK: tl.constexpr, COLUMNS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    begin = tl.program_id(0) * rows_per_program
    end = tl.minimum(begin + rows_per_program, count)
    column = tl.arange(0, COLUMNS)
    lane = tl.arange(0, LANES)
    for start in tl.range(begin, end, LANES):
        places = indices + start * tl.full([], 1, tl.int64) + lane
        check_row(tl.load(places, mask=lane < end - start, other=0).to(tl.int64), rows)
    if ONE_BLOCK:
        for first in tl.range(begin, end, AHEAD, num_stages=2):
            index0 = index_ahead(indices, first, end)
            index1 = index_ahead(indices, first + 1, end)
            index2 = index_ahead(indices, first + 2, end)
            index3 = index_ahead(indices, first + 3, end)
            index4 = index_ahead(indices, first + 4, end)
            index5 = index_ahead(indices, first + 5, end)
            index6 = index_ahead(indices, first + 6, end)
            index7 = index_ahead(indices, first + 7, end)
            copy_row(out, weight, index0, first, end, column, length, weight_row)
            copy_row(out, weight, index1, first + 1, end, column, length, weight_row)
            copy_row(out, weight, index2, first + 2, end, column, length, weight_row)
            copy_row(out, weight, index3, first + 3, end, column, length, weight_row)
            copy_row(out, weight, index4, first + 4, end, column, length, weight_row)
            copy_row(out, weight, index5, first + 5, end, column, length, weight_row)
            copy_row(out, weight, index6, first + 6, end, column, length, weight_row)
            copy_row(out, weight, index7, first + 7, end, column, length, weight_row)
    else:
        for position in tl.range(begin, end, num_stages=2):
            place = position * tl.full([], 1, tl.int64)
            source = weight + tl.load(indices + place).to(tl.int64) * weight_row
            target = out + place * length
            for start in tl.range(0, length, COLUMNS):
                mask = column < length - start
                tl.store(target + start + column, tl.load(source + start + column, mask=mask), mask=mask)


@triton.jit
def embedding_backward(
    grad_weight, grad_out, indices, padding, count, length, grad_row, programs, rows,
    COMPUTE: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Adds the rows of grad_out to the zeroed table; a program owns the rows of its id modulo `programs`, a power of 2.

    Every program reads all indices, so each of the table's rows is summed by one program, in the order of the indices.
    """
    program = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    pad = tl.full([], padding, tl.int64)
    for start in tl.range(0, count, BLOCK, num_stages=2):
        wide = start * tl.full([], 1, tl.int64)
        index = tl.load(indices + wide + lane, mask=lane < count - start, other=-1).to(tl.int64)
        if program == 0:
            check_row(tl.where((lane < count - start) & (index != pad), index, 0), rows)
        owned = (index >= 0) & ((index & (programs - 1)) == program) & (index != pad)
        hits = tl.sum(owned.to(tl.int32), axis=0)
        waiting = tl.where(owned, lane, BLOCK)
        for _ in range(hits):
            position = tl.min(waiting, axis=0)
            waiting = tl.where(waiting == position, BLOCK, waiting)
            place = wide + position
            target = grad_weight + tl.load(indices + place).to(tl.int64) * length
            source = grad_out + place * grad_row
            for begin in range(0, length, COLUMNS):
                mask = column < length - begin
                grad = tl.load(source + begin + column, mask=mask, other=0.0).to(COMPUTE)
                total = tl.load(target + begin + column, mask=mask, other=0.0) + grad
                tl.store(target + begin + column, total, mask=mask)


@launch_shape("embedding_forward")
def embedding_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, weight, indices), no scalars.

    `sizes` = (count of indices, length of a row, weight's row stride, rows of weight: indices are refused beyond).

    out [count, length] and the indices (i32 or i64) are contiguous, weight's rows have stride 1.
    """
    count, length, weight_row, rows = sizes
    columns = min(next_power_of_2(length), 4096)
    rows_per_program = ceil_div(count, chip.processing_elements)
    arguments: dict[str, Argument] = {"out": Tensor(0), "weight": Tensor(1), "indices": Tensor(2), "count": count}
    arguments |= {"rows_per_program": rows_per_program, "length": length, "weight_row": weight_row, "rows": rows}
    lanes = min(1024, next_power_of_2(max(rows_per_program, 16)))
    constexprs = {"ONE_BLOCK": length <= columns, "COLUMNS": columns, "LANES": lanes}
    return Launch(embedding_forward, (ceil_div(count, rows_per_program), 1, 1), arguments, constexprs)


@launch_shape("embedding_backward")
def embedding_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (grad_weight, grad_out, indices), scalars (padding index, negative for none).

    `sizes` = (count of indices, length, rows of the table, grad_out's stride of a row). grad_weight [rows, length] is
    contiguous and wholly written. A half-precision table is summed in float32.
    """
    count, length, rows, grad_row = sizes
    compute = compute_dtype(dtypes[0])
    summed = Tensor(0) if compute == dtypes[0] else Workspace(0, compute, rows * length)
    elements = rows * length
    (clear,) = plan("elementwise.fill", (compute, "scalar", compute), (1, elements, 1), chip)
    clear = Launch(clear.kernel, clear.grid, {**clear.arguments, "out": summed, "scalar0": 0.0}, clear.constexprs)
    programs = floor_power_of_2(min(chip.processing_elements, rows))
    arguments: dict[str, Argument] = {"grad_weight": summed, "grad_out": Tensor(1), "indices": Tensor(2)}
    arguments |= {"padding": Scalar(0, "i64"), "count": count, "length": length, "grad_row": grad_row}
    arguments |= {"programs": programs, "rows": rows}
    constexprs = {
        "COMPUTE": TRITON_DTYPES[compute],
        "BLOCK": min(256, max(16, next_power_of_2(count))),
        "COLUMNS": min(next_power_of_2(length), 4096),
    }
    launches = [clear, Launch(embedding_backward, (programs, 1, 1), arguments, constexprs)]
    if summed != Tensor(0):
        (cast,) = plan("elementwise.copy", (dtypes[0], compute, compute), (1, elements, 1, 1), chip)
        cast = Launch(cast.kernel, cast.grid, {**cast.arguments, "in0": summed}, cast.constexprs)
        launches.append(cast)
    return launches
