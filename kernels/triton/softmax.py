"""Softmax and log-softmax along one dimension, forward and backward: rows in one block, longer ones
in chunks, few long ones in parts that the PEs share."""

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
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_parts,
    row_tile,
    tile_count,
)


@triton.jit
def row_statistics(
    source, row, column, row_mask, begin, end, x_row, x_column,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """(the largest number of a run of each row, the sum of exponentials relative to it)."""
    largest = tl.full([ROWS, 1], -float("inf"), COMPUTE)
    total = tl.zeros([ROWS, 1], COMPUTE)
    for start in tl.range(begin, end, COLUMNS, num_stages=2):
        mask = row_mask & (column < end - start)
        offsets = row * x_row + column.to(INDEX) * x_column
        chunk = source + start * tl.full([], 1, tl.int64) * x_column
        values = tl.load(chunk + offsets, mask=mask, other=-float("inf")).to(COMPUTE)
        new_largest = tl.maximum(largest, tl.max(values, axis=1, keep_dims=True))
        # Where nothing above -inf was seen yet, -inf - -inf must not make a NaN.
        shift = tl.where(new_largest == -float("inf"), 0.0, new_largest)
        total = total * tl.exp(largest - shift) + tl.sum(tl.exp(values - shift), axis=1, keep_dims=True)
        largest = new_largest
    return largest, total


@triton.jit
def store_softmax(
    target, source, row, column, row_mask, begin, end, largest, total, x_row, x_column, out_row, out_column,
    LOG: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The results of a run of each row, whose statistics are those of the whole row."""
    if LOG:
        largest += tl.log(total)
    else:
        total = 1.0 / total
    for start in tl.range(begin, end, COLUMNS, num_stages=2):
        mask = row_mask & (column < end - start)
        offset = start * tl.full([], 1, tl.int64)
        chunk = source + offset * x_column
        values = tl.load(chunk + row * x_row + column.to(INDEX) * x_column, mask=mask, other=-float("inf")).to(COMPUTE)
        if LOG:
            result = values - largest
        else:
            result = tl.exp(values - largest) * total
        chunk = target + offset * out_column
        tl.store(chunk + row * out_row + column.to(INDEX) * out_column, result.to(target.dtype.element_ty), mask=mask)


@triton.jit
def softmax_forward(
    out, x, tiles, programs, row_tiles, rows, length,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    LOG: tl.constexpr, ONE_BLOCK: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        batch = tile // row_tiles * tl.full([], 1, tl.int64)
        first = tile % row_tiles * ROWS
        wide = first * tl.full([], 1, tl.int64)
        row = tl.arange(0, ROWS)[:, None]
        column = tl.arange(0, COLUMNS)[None, :]
        row_mask = row < rows - first
        row = row.to(INDEX)
        source = x + batch * x_batch + wide * x_row
        target = out + batch * out_batch + wide * out_row
        if ONE_BLOCK:
            mask = row_mask & (column < length)
            values = tl.load(source + row * x_row + column.to(INDEX) * x_column, mask=mask, other=-float("inf")).to(
                COMPUTE
            )
            shifted = values - tl.max(values, axis=1, keep_dims=True)
            exponential = tl.exp(shifted)
            total = tl.sum(exponential, axis=1, keep_dims=True)
            if LOG:
                result = shifted - tl.log(total)
            else:
                result = exponential * (1.0 / total)
            tl.store(target + row * out_row + column.to(INDEX) * out_column, result.to(out.dtype.element_ty), mask=mask)
        else:
            largest, total = row_statistics(
                source, row, column, row_mask, 0, length, x_row, x_column, COMPUTE, INDEX, ROWS, COLUMNS
            )
            store_softmax(
                target, source, row, column, row_mask, 0, length, largest, total, x_row, x_column, out_row, out_column,
                LOG, COMPUTE, INDEX, COLUMNS,
            )  # fmt: skip


@triton.jit
def softmax_forward_parts(
    out, x, largest_of, total_of, tiles, programs, row_tiles, rows, length, parts, part_length,
    x_batch, x_row, x_column, out_batch, out_row, out_column,
    LOG: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Of few long rows, cut in parts: without `out` the statistics of each part, [rows, parts], with it the results."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs):
        batch, first, part = tile // parts // row_tiles, tile // parts % row_tiles * ROWS, tile % parts
        row_mask = row < rows - first
        begin = part * part_length
        end = tl.minimum(begin + part_length, length)
        source = x + batch * tl.full([], 1, tl.int64) * x_batch + first * tl.full([], 1, tl.int64) * x_row
        place = ((batch * rows + first) + row) * parts
        if out is None:
            largest, total = row_statistics(
                source, row.to(INDEX), column, row_mask, begin, end, x_row, x_column, COMPUTE, INDEX, ROWS, COLUMNS
            )
            tl.store(largest_of + place + part, largest, mask=row_mask)
            tl.store(total_of + place + part, total, mask=row_mask)
        else:
            of_row = tl.arange(0, PARTS)[None, :]
            mask = row_mask & (of_row < parts)
            largest_parts = tl.load(largest_of + place + of_row, mask=mask, other=-float("inf"))
            total_parts = tl.load(total_of + place + of_row, mask=mask, other=0.0)
            largest = tl.max(largest_parts, axis=1, keep_dims=True)
            shift = tl.where(largest == -float("inf"), 0.0, largest)
            total = tl.sum(total_parts * tl.exp(largest_parts - shift), axis=1, keep_dims=True)
            target = out + batch * tl.full([], 1, tl.int64) * out_batch + first * tl.full([], 1, tl.int64) * out_row
            store_softmax(
                target, source, row.to(INDEX), column, row_mask, begin, end, largest, total,
                x_row, x_column, out_row, out_column, LOG, COMPUTE, INDEX, COLUMNS,
            )  # fmt: skip


@triton.jit
def softmax_backward_term(grad, output, LOG: tl.constexpr):
    if LOG:
        return grad
    else:
        return grad * output


@triton.jit
def softmax_backward_result(grad, output, total, LOG: tl.constexpr):
    if LOG:
        return grad - tl.exp(output) * total
    else:
        return output * (grad - total)


@triton.jit
def backward_total(
    gradient, source, row, column, row_mask, begin, end, grad_row, grad_column, out_row, out_column,
    LOG: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums of softmax_backward_term over a run of each row."""
    terms = tl.zeros([ROWS, COLUMNS], COMPUTE)
    for start in tl.range(begin, end, COLUMNS, num_stages=2):
        mask = row_mask & (column < end - start)
        offset = start * tl.full([], 1, tl.int64)
        chunk = gradient + offset * grad_column
        grad = tl.load(chunk + row * grad_row + column.to(INDEX) * grad_column, mask=mask, other=0.0).to(COMPUTE)
        if LOG:
            terms += grad
        else:
            chunk = source + offset * out_column
            output = tl.load(chunk + row * out_row + column.to(INDEX) * out_column, mask=mask, other=0.0).to(COMPUTE)
            terms += grad * output
    return tl.sum(terms, axis=1, keep_dims=True)


@triton.jit
def store_softmax_backward(
    target, gradient, source, row, column, row_mask, begin, end, total,
    x_row, x_column, grad_row, grad_column, out_row, out_column,
    LOG: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for start in tl.range(begin, end, COLUMNS, num_stages=2):
        mask = row_mask & (column < end - start)
        offset = start * tl.full([], 1, tl.int64)
        chunk = gradient + offset * grad_column
        grad = tl.load(chunk + row * grad_row + column.to(INDEX) * grad_column, mask=mask, other=0.0).to(COMPUTE)
        chunk = source + offset * out_column
        output = tl.load(chunk + row * out_row + column.to(INDEX) * out_column, mask=mask, other=0.0).to(COMPUTE)
        result = softmax_backward_result(grad, output, total, LOG)
        chunk = target + offset * x_column
        tl.store(chunk + row * x_row + column.to(INDEX) * x_column, result.to(target.dtype.element_ty), mask=mask)


@triton.jit
def softmax_backward(
    grad_x, grad_out, out, tiles, programs, row_tiles, rows, length,
    x_batch, x_row, x_column, grad_batch, grad_row, grad_column, out_batch, out_row, out_column,
    LOG: tl.constexpr, ONE_BLOCK: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        batch = tile // row_tiles * tl.full([], 1, tl.int64)
        first = tile % row_tiles * ROWS
        wide = first * tl.full([], 1, tl.int64)
        row = tl.arange(0, ROWS)[:, None]
        column = tl.arange(0, COLUMNS)[None, :]
        row_mask = row < rows - first
        row = row.to(INDEX)
        target = grad_x + batch * x_batch + wide * x_row
        gradient = grad_out + batch * grad_batch + wide * grad_row
        source = out + batch * out_batch + wide * out_row
        if ONE_BLOCK:
            mask = row_mask & (column < length)
            grad = tl.load(gradient + row * grad_row + column.to(INDEX) * grad_column, mask=mask, other=0.0).to(COMPUTE)
            output = tl.load(source + row * out_row + column.to(INDEX) * out_column, mask=mask, other=0.0).to(COMPUTE)
            total = tl.sum(softmax_backward_term(grad, output, LOG), axis=1, keep_dims=True)
            result = softmax_backward_result(grad, output, total, LOG)
            tl.store(target + row * x_row + column.to(INDEX) * x_column, result.to(grad_x.dtype.element_ty), mask=mask)
        else:
            total = backward_total(
                gradient, source, row, column, row_mask, 0, length, grad_row, grad_column, out_row, out_column,
                LOG, COMPUTE, INDEX, ROWS, COLUMNS,
            )  # fmt: skip
            store_softmax_backward(
                target, gradient, source, row, column, row_mask, 0, length, total,
                x_row, x_column, grad_row, grad_column, out_row, out_column, LOG, COMPUTE, INDEX, COLUMNS,
            )  # fmt: skip


@triton.jit
def softmax_backward_parts(
    grad_x, grad_out, out, total_of, tiles, programs, row_tiles, rows, length, parts, part_length,
    x_batch, x_row, x_column, grad_batch, grad_row, grad_column, out_batch, out_row, out_column,
    LOG: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Of few long rows, cut in parts: without `grad_x` the sum of each part, [rows, parts], with it the results."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs):
        batch, first, part = tile // parts // row_tiles, tile // parts % row_tiles * ROWS, tile % parts
        row_mask = row < rows - first
        begin = part * part_length
        end = tl.minimum(begin + part_length, length)
        outer, wide = batch * tl.full([], 1, tl.int64), first * tl.full([], 1, tl.int64)
        gradient = grad_out + outer * grad_batch + wide * grad_row
        source = out + outer * out_batch + wide * out_row
        place = ((batch * rows + first) + row) * parts
        if grad_x is None:
            total = backward_total(
                gradient, source, row.to(INDEX), column, row_mask, begin, end,
                grad_row, grad_column, out_row, out_column, LOG, COMPUTE, INDEX, ROWS, COLUMNS,
            )  # fmt: skip
            tl.store(total_of + place + part, total, mask=row_mask)
        else:
            of_row = tl.arange(0, PARTS)[None, :]
            totals = tl.load(total_of + place + of_row, mask=row_mask & (of_row < parts), other=0.0)
            target = grad_x + outer * x_batch + wide * x_row
            store_softmax_backward(
                target, gradient, source, row.to(INDEX), column, row_mask, begin, end,
                tl.sum(totals, axis=1, keep_dims=True), x_row, x_column, grad_row, grad_column, out_row, out_column,
                LOG, COMPUTE, INDEX, COLUMNS,
            )  # fmt: skip


# By kernel: the one of few long rows, and the numbers by part that it keeps between its two launches.
IN_PARTS = {
    softmax_forward: (softmax_forward_parts, ("largest_of", "total_of")),
    softmax_backward: (softmax_backward_parts, ("total_of",)),
}


def softmax_launch(
    kernel: Any,
    names: tuple[str, ...],
    log: bool,
    dtypes: tuple[str, ...],
    sizes: tuple[int, ...],
    chip: ChipLimits,
) -> Plan:
    """The launch of a kernel on tensors that share the shape [outer, length, inner]; two of few long rows.

    `sizes` is (outer, length, inner, then the strides (outer, length, inner) of each tensor in the order of `names`).
    """
    outer, length, inner = sizes[:3]
    if len(sizes) != 3 + 3 * len(names):
        raise ValueError(f"softmax got {len(sizes)} sizes, wants the shape and the strides of {len(names)} tensors")
    strides = [sizes[3 + 3 * i : 6 + 3 * i] for i in range(len(names))]
    compute = "fp64" if "fp64" in dtypes else "fp32"
    wide = DTYPE_BYTES[compute]
    element_bytes = 2 * sum(DTYPE_BYTES[dtype] for dtype in dtypes) + 3 * wide
    # Rows of one tile lie along the inner dimension if there is one, else along the outer.
    batches, rows = (outer, inner) if inner > 1 else (1, outer)
    block_rows, block_columns = row_tile(chip, rows * batches, length, element_bytes, wide)
    block_rows = min(block_rows, next_power_of_2(rows))
    row_tiles = ceil_div(rows, block_rows)
    parts, part_length = row_parts(rows * batches, length, block_columns)
    tiles = batches * row_tiles * parts
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {
        "tiles": tiles,
        "programs": programs,
        "row_tiles": tile_count(row_tiles, block_rows),
    }
    arguments |= {"rows": rows, "length": length}
    pointers = kernel.arg_names[: len(names)]
    for i, (pointer, prefix) in enumerate(zip(pointers, names, strict=True)):
        arguments[pointer] = Tensor(i)
        of_outer, of_length, of_inner = strides[i]
        arguments[f"{prefix}_batch"], arguments[f"{prefix}_row"] = (of_outer, of_inner) if inner > 1 else (0, of_outer)
        arguments[f"{prefix}_column"] = of_length
    constexprs = {
        "LOG": log,
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype(block_rows * max(s[0], s[2]) + block_columns * s[1] for s in strides),
        "ROWS": block_rows,
        "COLUMNS": block_columns,
    }
    if parts == 1:
        return Launch(kernel, (programs, 1, 1), arguments, constexprs | {"ONE_BLOCK": length <= block_columns})
    kernel, by_part = IN_PARTS[kernel]
    arguments |= {name: Workspace(i, compute, rows * batches * parts) for i, name in enumerate(by_part)}
    arguments |= {"row_tiles": row_tiles, "parts": parts, "part_length": part_length}
    constexprs["PARTS"] = next_power_of_2(parts)
    return [
        Launch(kernel, (programs, 1, 1), given, constexprs) for given in (arguments | {pointers[0]: None}, arguments)
    ]


@launch_shape("softmax_forward")
def softmax_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (out, x); sizes: see softmax_launch."""
    return softmax_launch(softmax_forward, ("out", "x"), False, dtypes, sizes, chip)


@launch_shape("log_softmax_forward")
def log_softmax_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (out, x); sizes: see softmax_launch."""
    return softmax_launch(softmax_forward, ("out", "x"), True, dtypes, sizes, chip)


@launch_shape("softmax_backward")
def softmax_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (grad_x, grad_out, out); sizes: see softmax_launch."""
    return softmax_launch(softmax_backward, ("x", "grad", "out"), False, dtypes, sizes, chip)


@launch_shape("log_softmax_backward")
def log_softmax_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (grad_x, grad_out, out), out the log-softmax; sizes: see softmax_launch."""
    return softmax_launch(softmax_backward, ("x", "grad", "out"), True, dtypes, sizes, chip)
