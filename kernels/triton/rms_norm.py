"""RMSNorm over the last dimension (Zhang and Sennrich 2019): forward and backward, sums over rows in two stages."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    Workspace,
    compute_dtype,
    launch_shape,
    row_group,
    row_groups_launch,
    rows_launch,
    tensor_arguments,
)
from mtia_sim_kernels.triton.column_sum import column_sum_launch


@triton.jit
def rms_norm_forward(
    out, rstd, x, weight, eps, tiles, programs, rows, length, x_row,
    ONE_BLOCK: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    size = tl.full([], length, tl.int32).to(COMPUTE)
    epsilon = tl.full([], eps, COMPUTE)
    if weight is not None and ONE_BLOCK:
        scale = tl.load(weight + column, mask=column < length, other=0.0).to(COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        source = x + first * x_row
        target = out + first * length
        if ONE_BLOCK:
            mask = row_mask[:, None] & (column < length)
            values = tl.load(source + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
            inverse = tl.rsqrt(tl.sum(values * values, axis=1) / size + epsilon)
            result = values * inverse[:, None]
            if weight is not None:
                result = result * scale
            tl.store(target + row[:, None] * length + column, result.to(out.dtype.element_ty), mask=mask)
        else:
            squares = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask[:, None] & (column < length - start)
                values = tl.load(source + start + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
                squares += values * values
            inverse = tl.rsqrt(tl.sum(squares, axis=1) / size + epsilon)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask[:, None] & (column < length - start)
                values = tl.load(source + start + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
                result = values * inverse[:, None]
                if weight is not None:
                    result *= tl.load(weight + start + column, mask=column < length - start, other=0.0).to(COMPUTE)
                result = result.to(out.dtype.element_ty)
                tl.store(target + start + row[:, None] * length + column, result, mask=mask)
        if rstd is not None:
            tl.store(rstd + first + row, inverse.to(rstd.dtype.element_ty), mask=row_mask)


@triton.jit
def rms_norm_backward(
    grad_x, partial_weight, grad_out, x, rstd, weight, groups, programs, group_rows, rows, length, x_row, grad_row,
    ONE_BLOCK: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and for each group of rows the sum of their gradients of the weight."""
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    size = tl.full([], length, tl.int32).to(COMPUTE)
    if weight is not None and ONE_BLOCK:
        scale = tl.load(weight + column, mask=column < length, other=0.0).to(COMPUTE)
    for group in tl.range(tl.program_id(0), groups, programs):
        begin = group * group_rows
        end = tl.minimum(begin + group_rows, rows)
        if ONE_BLOCK:
            weight_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start_row in tl.range(begin, end, ROWS, num_stages=STAGES):
                first = start_row * tl.full([], 1, tl.int64)
                row_mask = row < end - start_row
                mask = row_mask[:, None] & (column < length)
                values = tl.load(x + first * x_row + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
                source = grad_out + first * grad_row
                grad = tl.load(source + row[:, None] * grad_row + column, mask=mask, other=0.0).to(COMPUTE)
                inverse = tl.load(rstd + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                normal = values * inverse
                if partial_weight is not None:
                    weight_sum += grad * normal
                if grad_x is not None:
                    if weight is not None:
                        grad = grad * scale
                    along = (tl.sum(grad * normal, axis=1) / size)[:, None]
                    result = ((grad - normal * along) * inverse).to(grad_x.dtype.element_ty)
                    tl.store(grad_x + first * length + row[:, None] * length + column, result, mask=mask)
            if partial_weight is not None:
                target = partial_weight + group * tl.full([], 1, tl.int64) * length
                column_of = tl.arange(0, COLUMNS)
                tl.store(target + column_of, tl.sum(weight_sum, axis=0), mask=column_of < length)
        else:
            for start_row in tl.range(begin, end, ROWS):
                first = start_row * tl.full([], 1, tl.int64)
                row_mask = row < end - start_row
                inverse = tl.load(rstd + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                if grad_x is not None:
                    products = tl.zeros([ROWS, COLUMNS], COMPUTE)
                    for start in tl.range(0, length, COLUMNS, num_stages=STAGES):
                        mask = row_mask[:, None] & (column < length - start)
                        source = x + first * x_row + start
                        values = tl.load(source + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
                        source = grad_out + first * grad_row + start
                        grad = tl.load(source + row[:, None] * grad_row + column, mask=mask, other=0.0).to(COMPUTE)
                        if weight is not None:
                            inside = column < length - start
                            grad = grad * tl.load(weight + start + column, mask=inside, other=0.0).to(COMPUTE)
                        products += grad * values
                    along = (tl.sum(products, axis=1) / size)[:, None] * inverse
                    for start in tl.range(0, length, COLUMNS, num_stages=STAGES):
                        mask = row_mask[:, None] & (column < length - start)
                        source = x + first * x_row + start
                        values = tl.load(source + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
                        source = grad_out + first * grad_row + start
                        grad = tl.load(source + row[:, None] * grad_row + column, mask=mask, other=0.0).to(COMPUTE)
                        if weight is not None:
                            inside = column < length - start
                            grad = grad * tl.load(weight + start + column, mask=inside, other=0.0).to(COMPUTE)
                        result = ((grad - values * inverse * along) * inverse).to(grad_x.dtype.element_ty)
                        target = grad_x + first * length + start
                        tl.store(target + row[:, None] * length + column, result, mask=mask)
            if partial_weight is not None:
                for start in tl.range(0, length, COLUMNS):
                    weight_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
                    for start_row in tl.range(begin, end, ROWS, num_stages=STAGES):
                        first = start_row * tl.full([], 1, tl.int64)
                        row_mask = row < end - start_row
                        mask = row_mask[:, None] & (column < length - start)
                        inverse = tl.load(rstd + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                        source = x + first * x_row + start
                        values = tl.load(source + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
                        source = grad_out + first * grad_row + start
                        grad = tl.load(source + row[:, None] * grad_row + column, mask=mask, other=0.0).to(COMPUTE)
                        weight_sum += grad * values * inverse
                    target = partial_weight + group * tl.full([], 1, tl.int64) * length + start
                    column_of = tl.arange(0, COLUMNS)
                    tl.store(target + column_of, tl.sum(weight_sum, axis=0), mask=column_of < length - start)


@launch_shape("rms_norm_forward")
def rms_norm_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, rstd or none, x, weight or none), scalars (eps,); `sizes` = (rows, length, x's stride of a row).

    out [rows, length] and rstd [rows] are contiguous, x's rows and the weight [length] have stride 1.
    """
    rows, length, x_row = sizes
    compute = compute_dtype(dtypes[2])
    live = 2 * DTYPE_BYTES[dtypes[2]] + 4 * DTYPE_BYTES[compute]
    arguments = tensor_arguments(("out", "rstd", "x", "weight"), dtypes)
    arguments |= {"eps": Scalar(0, compute), "length": length, "x_row": x_row}
    return rows_launch(rms_norm_forward, arguments, rows, length, live, compute, chip, one_block=True)


@launch_shape("rms_norm_backward")
def rms_norm_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (grad_x or none, grad_weight or none, grad_out, x, rstd, weight or none), no scalars.

    `sizes` = (rows, length, strides of a row of x and of grad_out); the gradients are contiguous.
    """
    rows, length, x_row, grad_row = sizes
    has_weight = dtypes[1] != "none"
    compute = compute_dtype(dtypes[3])
    _, groups = row_group(rows)
    partial = Workspace(0, compute, groups * length)
    arguments = tensor_arguments(("grad_x", "partial_weight", "grad_out", "x", "rstd", "weight"), dtypes) | {
        "partial_weight": partial if has_weight else None,
        "x_row": x_row,
        "grad_row": grad_row,
    }
    launches = [row_groups_launch(rms_norm_backward, arguments, rows, length, compute, chip)]
    if has_weight:
        launches.append(column_sum_launch(Tensor(1), partial, groups, length, chip))
    return launches
