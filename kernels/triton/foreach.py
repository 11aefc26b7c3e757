"""Rows of the element-wise table over lists of tensors, as one launch: torch's _foreach_* operators."""

from __future__ import annotations

from collections.abc import Callable

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    Workspace,
    ceil_div,
    compute_dtype,
    launch_shape,
    programs_for,
    tensor_arguments,
)
from mtia_sim_kernels.triton.chunks import CHUNK, chunk_number, chunk_pieces, chunk_pointer
from mtia_sim_kernels.triton.elementwise import evaluate
from mtia_sim_kernels.triton.elementwise_table import Elementwise, elementwise_table

MOST_OPERANDS = 4
#: How an operand comes: a list of tensors, a number for all, a number for each tuple, one number on the device.
LIST, NUMBER, NUMBERS, DEVICE_NUMBER, ABSENT = range(5)


@triton.jit
def foreach_operand(
    row, number, pointer, offsets, mask,
    KIND: tl.constexpr, COLUMN: tl.constexpr, ELEMENT: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    if KIND == 0:
        return tl.load(chunk_pointer(row, COLUMN, ELEMENT) + offsets, mask=mask).to(COMPUTE)
    elif KIND == 1:
        return tl.full([], number, COMPUTE)
    elif KIND == 2:
        return chunk_number(row, COLUMN, COMPUTE)
    elif KIND == 3:
        return tl.load(pointer).to(COMPUTE)
    else:
        return None


@triton.jit
def foreach_elementwise(
    table, pointer, number0, number1, number2, number3, chunks, programs,
    EXPRESSION: tl.constexpr, OPERANDS: tl.constexpr, COLUMNS: tl.constexpr,
    KIND0: tl.constexpr, KIND1: tl.constexpr, KIND2: tl.constexpr, KIND3: tl.constexpr,
    COLUMN0: tl.constexpr, COLUMN1: tl.constexpr, COLUMN2: tl.constexpr, COLUMN3: tl.constexpr,
    ELEMENT0: tl.constexpr, ELEMENT1: tl.constexpr, ELEMENT2: tl.constexpr, ELEMENT3: tl.constexpr,
    OUT: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    lane = tl.arange(0, BLOCK)
    for chunk in tl.range(tl.program_id(0), chunks, programs, num_stages=2):
        row = table + chunk * COLUMNS
        elements = tl.load(row).to(tl.int32)
        out = chunk_pointer(row, 1, OUT)
        for piece in tl.static_range(PIECES):
            offsets = piece * BLOCK + lane
            mask = offsets < elements
            a = foreach_operand(row, number0, pointer, offsets, mask, KIND0, COLUMN0, ELEMENT0, COMPUTE)
            b = foreach_operand(row, number1, pointer, offsets, mask, KIND1, COLUMN1, ELEMENT1, COMPUTE)
            c = foreach_operand(row, number2, pointer, offsets, mask, KIND2, COLUMN2, ELEMENT2, COMPUTE)
            d = foreach_operand(row, number3, pointer, offsets, mask, KIND3, COLUMN3, ELEMENT3, COMPUTE)
            result = evaluate(EXPRESSION, OPERANDS, a, b, c, d, None)
            tl.store(out + offsets, tl.broadcast_to(result.to(OUT), [BLOCK]), mask=mask)


def foreach(row: Elementwise, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (chunk table, a one-element operand or none), then the dtypes of (output, each operand); all floats.

    A row of the table: elements, the addresses of the chunk in the output and in each operand that is a list, then a
    number for each operand that has one for each tuple. `sizes` = (chunks, kind of each operand); scalars: the operands
    that are one number for all. Computes in the output's compute dtype.
    """
    chunks, *kinds = sizes
    output, *operands = dtypes[2:]
    if len(kinds) != len(row.operands) or len(operands) != len(kinds):
        raise ValueError(f"foreach.{row.name} takes the operands {row.operands}, got the kinds {kinds}")
    compute = compute_dtype(output)
    arguments = tensor_arguments(("table", "pointer"), dtypes)
    constexprs: dict[str, object] = {"EXPRESSION": row.expression, "OPERANDS": len(kinds), "OUT": TRITON_DTYPES[output]}
    lists = kinds.count(LIST)
    next_list, next_numbers, scalars = 2, 2 + lists, 0
    moved = 2 * DTYPE_BYTES[output]
    for position in range(MOST_OPERANDS):
        kind = kinds[position] if position < len(kinds) else ABSENT
        column, element = 0, None
        arguments[f"number{position}"] = None
        if kind == LIST:
            column, element = next_list, TRITON_DTYPES[operands[position]]
            next_list += 1
            moved += 2 * DTYPE_BYTES[operands[position]]
        elif kind == NUMBER:
            arguments[f"number{position}"] = Scalar(scalars, compute)
            scalars += 1
        elif kind == NUMBERS:
            column = next_numbers
            next_numbers += 1
        constexprs |= {f"KIND{position}": kind, f"COLUMN{position}": column, f"ELEMENT{position}": element}
    block, pieces = chunk_pieces(chip, moved + (lists + 4) * DTYPE_BYTES[compute])
    programs, _ = programs_for(chip, chunks)
    arguments |= {"chunks": chunks, "programs": programs}
    constexprs |= {"COLUMNS": next_numbers, "COMPUTE": TRITON_DTYPES[compute], "BLOCK": block, "PIECES": pieces}
    return Launch(foreach_elementwise, (programs, 1, 1), arguments, constexprs)


def register(row: Elementwise) -> None:
    shape: Callable[[tuple[str, ...], tuple[int, ...], ChipLimits], Launch] = lambda *call: foreach(row, *call)  # noqa: E731
    launch_shape(f"foreach.{row.name}")(shape)


for table_row in elementwise_table():
    if len(table_row.operands) <= MOST_OPERANDS and not table_row.unpromoted and table_row.result == "common":
        register(table_row)


@triton.jit
def foreach_norm_chunks(
    sums, table, chunks, programs,
    ORDER: tl.constexpr, ELEMENT: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """sums[chunk] = the sum of |x|, the sum of x^2 or the largest |x| of a chunk, for the orders 1, 2 and 0."""
    lane = tl.arange(0, BLOCK)
    for chunk in tl.range(tl.program_id(0), chunks, programs, num_stages=2):
        elements = tl.load(table + chunk * 2).to(tl.int32)
        source = chunk_pointer(table + chunk * 2, 1, ELEMENT)
        total = tl.full([], 0.0, COMPUTE)
        for piece in tl.static_range(PIECES):
            offsets = piece * BLOCK + lane
            value = tl.load(source + offsets, mask=offsets < elements, other=0.0).to(COMPUTE)
            if ORDER == 2:
                total += tl.sum(value * value, axis=0)
            elif ORDER == 1:
                total += tl.sum(tl.abs(value), axis=0)
            else:
                total = largest(total, tl.reduce(tl.abs(value), 0, largest))
        tl.store(sums + chunk, total)


@triton.jit
def largest(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def foreach_norm_tensors(
    out, sums, table, tensors, programs, ORDER: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """A row of the table: first chunk of a tensor, its chunks."""
    lane = tl.arange(0, BLOCK)
    for tensor in tl.range(tl.program_id(0), tensors, programs, num_stages=2):
        first = tl.load(table + tensor * 2)
        chunks = tl.load(table + tensor * 2 + 1)
        total = tl.full([], 0.0, COMPUTE)
        for start in tl.range(0, chunks.to(tl.int32), BLOCK):
            part = tl.load(sums + first + start + lane, mask=lane < chunks - start, other=0.0)
            if ORDER == 0:
                total = largest(total, tl.reduce(part, 0, largest))
            else:
                total += tl.sum(part, axis=0)
        if ORDER == 2:
            total = tl.sqrt(total)
        tl.store(out + tensor, total.to(out.dtype.element_ty))


@launch_shape("foreach_norm")
def foreach_norm_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out [tensors], chunk table, table of tensors), then the dtype of the list.

    Rows of the chunk table: elements, the chunk's address; of the other: first chunk, chunks. `sizes` = (tensors,
    chunks, order): the norms of order 1, 2, or 0 for infinity. Sums are taken by chunks, the same on every chip.
    """
    tensors, chunks, order = sizes
    element = dtypes[3]
    compute = compute_dtype(element)
    # The pieces of a chunk set the order of its sum, so they do not depend on the chip.
    block = min(CHUNK, 2048 * 4 // DTYPE_BYTES[compute])
    sums = Workspace(0, compute, chunks)
    programs, _ = programs_for(chip, chunks)
    shape = {"ORDER": order, "COMPUTE": TRITON_DTYPES[compute]}
    first = Launch(
        foreach_norm_chunks,
        (programs, 1, 1),
        {"sums": sums, "table": Tensor(1), "chunks": chunks, "programs": programs},
        {**shape, "ELEMENT": TRITON_DTYPES[element], "BLOCK": block, "PIECES": ceil_div(CHUNK, block)},
    )
    programs, _ = programs_for(chip, tensors)
    arguments: dict[str, Argument] = {"out": Tensor(0), "sums": sums, "table": Tensor(2)}
    arguments |= {"tensors": tensors, "programs": programs}
    return [first, Launch(foreach_norm_tensors, (programs, 1, 1), arguments, {**shape, "BLOCK": 128})]
