"""Softmax and log-softmax along one dimension, forward and backward: rows in one block, longer ones in chunks."""

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    ceil_div,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    row_tile,
    tile_count,
)


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
            largest = tl.full([ROWS, 1], -float("inf"), COMPUTE)
            total = tl.zeros([ROWS, 1], COMPUTE)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask & (column < length - start)
                offsets = row * x_row + column.to(INDEX) * x_column
                chunk = source + start * tl.full([], 1, tl.int64) * x_column
                values = tl.load(chunk + offsets, mask=mask, other=-float("inf")).to(COMPUTE)
                new_largest = tl.maximum(largest, tl.max(values, axis=1, keep_dims=True))
                # Where nothing above -inf was seen yet, -inf - -inf must not make a NaN.
                shift = tl.where(new_largest == -float("inf"), 0.0, new_largest)
                total = total * tl.exp(largest - shift) + tl.sum(tl.exp(values - shift), axis=1, keep_dims=True)
                largest = new_largest
            if LOG:
                largest += tl.log(total)
            else:
                total = 1.0 / total
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask & (column < length - start)
                offset = start * tl.full([], 1, tl.int64)
                chunk = source + offset * x_column
                values = tl.load(chunk + row * x_row + column.to(INDEX) * x_column, mask=mask, other=-float("inf")).to(
                    COMPUTE
                )
                if LOG:
                    result = values - largest
                else:
                    result = tl.exp(values - largest) * total
                chunk = target + offset * out_column
                tl.store(
                    chunk + row * out_row + column.to(INDEX) * out_column, result.to(out.dtype.element_ty), mask=mask
                )


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
            terms = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask & (column < length - start)
                offset = start * tl.full([], 1, tl.int64)
                chunk = gradient + offset * grad_column
                grad = tl.load(chunk + row * grad_row + column.to(INDEX) * grad_column, mask=mask, other=0.0).to(
                    COMPUTE
                )
                if LOG:
                    terms += grad
                else:
                    chunk = source + offset * out_column
                    output = tl.load(chunk + row * out_row + column.to(INDEX) * out_column, mask=mask, other=0.0).to(
                        COMPUTE
                    )
                    terms += grad * output
            total = tl.sum(terms, axis=1, keep_dims=True)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask & (column < length - start)
                offset = start * tl.full([], 1, tl.int64)
                chunk = gradient + offset * grad_column
                grad = tl.load(chunk + row * grad_row + column.to(INDEX) * grad_column, mask=mask, other=0.0).to(
                    COMPUTE
                )
                chunk = source + offset * out_column
                output = tl.load(chunk + row * out_row + column.to(INDEX) * out_column, mask=mask, other=0.0).to(
                    COMPUTE
                )
                result = softmax_backward_result(grad, output, total, LOG)
                chunk = target + offset * x_column
                tl.store(
                    chunk + row * x_row + column.to(INDEX) * x_column, result.to(grad_x.dtype.element_ty), mask=mask
                )


def softmax_launch(
    kernel: Any,
    names: tuple[str, ...],
    log: bool,
    dtypes: tuple[str, ...],
    sizes: tuple[int, ...],
    chip: ChipLimits,
) -> Launch:
    """The launch of a kernel on tensors that share the shape [outer, length, inner].

    `sizes` is (outer, length, inner, then the strides (outer, length, inner) of each tensor in the order of `names`).
    """
    outer, length, inner = sizes[:3]
    if len(sizes) != 3 + 3 * len(names):
        raise ValueError(f"softmax got {len(sizes)} sizes, wants the shape and the strides of {len(names)} tensors")
    strides = [sizes[3 + 3 * i : 6 + 3 * i] for i in range(len(names))]
    wide = 8 if "fp64" in dtypes else 4
    element_bytes = 2 * sum(DTYPE_BYTES[dtype] for dtype in dtypes) + 3 * wide
    # Rows of one tile lie along the inner dimension if there is one, else along the outer.
    batches, rows = (outer, inner) if inner > 1 else (1, outer)
    block_rows, block_columns = row_tile(chip, rows * batches, length, element_bytes, wide)
    block_rows = min(block_rows, next_power_of_2(rows))
    row_tiles = ceil_div(rows, block_rows)
    tiles = batches * row_tiles
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {
        "tiles": tiles,
        "programs": programs,
        "row_tiles": tile_count(row_tiles, block_rows),
    }
    arguments |= {"rows": rows, "length": length}
    for i, (pointer, prefix) in enumerate(zip(kernel.arg_names[: len(names)], names, strict=True)):
        arguments[pointer] = Tensor(i)
        of_outer, of_length, of_inner = strides[i]
        arguments[f"{prefix}_batch"], arguments[f"{prefix}_row"] = (of_outer, of_inner) if inner > 1 else (0, of_outer)
        arguments[f"{prefix}_column"] = of_length
    constexprs = {
        "LOG": log,
        "ONE_BLOCK": length <= block_columns,
        "COMPUTE": tl.float64 if wide == 8 else tl.float32,
        "INDEX": index_dtype(block_rows * max(s[0], s[2]) + block_columns * s[1] for s in strides),
        "ROWS": block_rows,
        "COLUMNS": block_columns,
    }
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)


@launch_shape("softmax_forward")
def softmax_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x); sizes: see softmax_launch."""
    return softmax_launch(softmax_forward, ("out", "x"), False, dtypes, sizes, chip)


@launch_shape("log_softmax_forward")
def log_softmax_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x); sizes: see softmax_launch."""
    return softmax_launch(softmax_forward, ("out", "x"), True, dtypes, sizes, chip)


@launch_shape("softmax_backward")
def softmax_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_x, grad_out, out); sizes: see softmax_launch."""
    return softmax_launch(softmax_backward, ("x", "grad", "out"), False, dtypes, sizes, chip)


@launch_shape("log_softmax_backward")
def log_softmax_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_x, grad_out, out), out the log-softmax; sizes: see softmax_launch."""
    return softmax_launch(softmax_backward, ("x", "grad", "out"), True, dtypes, sizes, chip)
