"""LayerNorm over the last dimension: forward, backward, and the gradients of weight and bias in two stages."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    ChipLimits,
    Launch,
    Plan,
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
from mtia_sim_kernels.triton.layer_norm_parts import backward_in_parts, forward_in_parts
from mtia_sim_kernels.triton.layer_norm_terms import affine, layer_norm_grad


@triton.jit
def layer_norm_forward(
    out, mean, rstd, x, weight, bias, eps, tiles, programs, rows, length, x_row,
    ONE_BLOCK: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    size = tl.full([], length, tl.int32).to(COMPUTE)
    epsilon = tl.full([], eps, COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        source = x + first * x_row + row[:, None] * x_row + column
        target = out + first * length + row[:, None] * length + column
        if ONE_BLOCK:
            mask = row_mask[:, None] & (column < length)
            values = tl.load(source, mask=mask, other=0.0).to(COMPUTE)
            average = tl.sum(values, axis=1) / size
            centred = tl.where(mask, values - average[:, None], 0.0)
            inverse = tl.rsqrt(tl.sum(centred * centred, axis=1) / size + epsilon)
            result = affine(centred * inverse[:, None], weight, bias, 0, column, length, COMPUTE)
            tl.store(target, result.to(out.dtype.element_ty), mask=mask)
        else:
            total = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask[:, None] & (column < length - start)
                total += tl.load(source + start, mask=mask, other=0.0).to(COMPUTE)
            average = tl.sum(total, axis=1) / size
            squares = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask[:, None] & (column < length - start)
                values = tl.load(source + start, mask=mask, other=0.0).to(COMPUTE)
                centred = tl.where(mask, values - average[:, None], 0.0)
                squares += centred * centred
            inverse = tl.rsqrt(tl.sum(squares, axis=1) / size + epsilon)
            for start in tl.range(0, length, COLUMNS, num_stages=2):
                mask = row_mask[:, None] & (column < length - start)
                values = tl.load(source + start, mask=mask, other=0.0).to(COMPUTE)
                normal = (values - average[:, None]) * inverse[:, None]
                result = affine(normal, weight, bias, start, column, length, COMPUTE)
                tl.store(target + start, result.to(out.dtype.element_ty), mask=mask)
        tl.store(mean + first + row, average.to(mean.dtype.element_ty), mask=row_mask)
        tl.store(rstd + first + row, inverse.to(rstd.dtype.element_ty), mask=row_mask)


@triton.jit
def layer_norm_backward(
    grad_x, partial_weight, partial_bias, grad_out, x, mean, rstd, weight,
    groups, programs, group_rows, rows, length, x_row, grad_row,
    ONE_BLOCK: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and for each group of rows the sums of their gradients of weight and bias."""
    column = tl.arange(0, COLUMNS)[None, :]
    column_of = tl.arange(0, COLUMNS)
    row = tl.arange(0, ROWS)
    size = tl.full([], length, tl.int32).to(COMPUTE)
    for group in tl.range(tl.program_id(0), groups, programs):
        begin = group * group_rows
        end = tl.minimum(begin + group_rows, rows)
        group_start = group * tl.full([], 1, tl.int64) * length
        if ONE_BLOCK:
            weight_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
            bias_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start_row in tl.range(begin, end, ROWS, num_stages=STAGES):
                first = start_row * tl.full([], 1, tl.int64)
                row_mask = row < end - start_row
                mask = row_mask[:, None] & (column < length)
                average = tl.load(mean + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                inverse = tl.load(rstd + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                plain, grad, normal = layer_norm_grad(
                    grad_out, x, weight, average, inverse, first, row, column, 0, length, mask, x_row, grad_row, COMPUTE
                )
                if partial_weight is not None:
                    weight_sum += plain * normal
                if partial_bias is not None:
                    bias_sum += plain
                if grad_x is not None:
                    along = (tl.sum(grad * normal, axis=1) / size)[:, None]
                    centre = (tl.sum(grad, axis=1) / size)[:, None]
                    result = ((grad - centre - normal * along) * inverse).to(grad_x.dtype.element_ty)
                    tl.store(grad_x + first * length + row[:, None] * length + column, result, mask=mask)
            if partial_weight is not None:
                sums = tl.sum(weight_sum, axis=0)
                tl.store(partial_weight + group_start + column_of, sums, mask=column_of < length)
            if partial_bias is not None:
                sums = tl.sum(bias_sum, axis=0)
                tl.store(partial_bias + group_start + column_of, sums, mask=column_of < length)
        else:
            for start_row in tl.range(begin, end, ROWS):
                first = start_row * tl.full([], 1, tl.int64)
                row_mask = row < end - start_row
                average = tl.load(mean + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                inverse = tl.load(rstd + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                if grad_x is not None:
                    products = tl.zeros([ROWS, COLUMNS], COMPUTE)
                    grads = tl.zeros([ROWS, COLUMNS], COMPUTE)
                    for start in tl.range(0, length, COLUMNS, num_stages=STAGES):
                        mask = row_mask[:, None] & (column < length - start)
                        plain, grad, normal = layer_norm_grad(
                            grad_out, x, weight, average, inverse, first, row, column, start, length, mask,
                            x_row, grad_row, COMPUTE,
                        )  # fmt: skip
                        products += grad * normal
                        grads += grad
                    along = (tl.sum(products, axis=1) / size)[:, None]
                    centre = (tl.sum(grads, axis=1) / size)[:, None]
                    for start in tl.range(0, length, COLUMNS, num_stages=STAGES):
                        mask = row_mask[:, None] & (column < length - start)
                        plain, grad, normal = layer_norm_grad(
                            grad_out, x, weight, average, inverse, first, row, column, start, length, mask,
                            x_row, grad_row, COMPUTE,
                        )  # fmt: skip
                        result = ((grad - centre - normal * along) * inverse).to(grad_x.dtype.element_ty)
                        target = grad_x + first * length + start
                        tl.store(target + row[:, None] * length + column, result, mask=mask)
            if partial_weight is not None or partial_bias is not None:
                for start in tl.range(0, length, COLUMNS):
                    weight_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
                    bias_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
                    for start_row in tl.range(begin, end, ROWS, num_stages=STAGES):
                        first = start_row * tl.full([], 1, tl.int64)
                        row_mask = row < end - start_row
                        mask = row_mask[:, None] & (column < length - start)
                        average = tl.load(mean + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                        inverse = tl.load(rstd + first + row, mask=row_mask, other=0.0).to(COMPUTE)[:, None]
                        plain, grad, normal = layer_norm_grad(
                            grad_out, x, weight, average, inverse, first, row, column, start, length, mask,
                            x_row, grad_row, COMPUTE,
                        )  # fmt: skip
                        weight_sum += plain * normal
                        bias_sum += plain
                    inside = column_of < length - start
                    if partial_weight is not None:
                        sums = tl.sum(weight_sum, axis=0)
                        tl.store(partial_weight + group_start + start + column_of, sums, mask=inside)
                    if partial_bias is not None:
                        sums = tl.sum(bias_sum, axis=0)
                        tl.store(partial_bias + group_start + start + column_of, sums, mask=inside)


@launch_shape("layer_norm_forward")
def layer_norm_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan:
    """tensors (out, mean, rstd, x, weight or none, bias or none), scalars (eps,).

    `sizes` = (rows, length, x's stride of a row). out [rows, length], mean and rstd [rows] are contiguous; x's rows,
    weight and bias have stride 1.
    """
    in_parts = forward_in_parts(dtypes, sizes, chip)
    if in_parts is not None:
        return in_parts
    rows, length, x_row = sizes
    compute = compute_dtype(dtypes[3])
    live = 2 * DTYPE_BYTES[dtypes[3]] + 5 * DTYPE_BYTES[compute]
    arguments = tensor_arguments(("out", "mean", "rstd", "x", "weight", "bias"), dtypes)
    arguments |= {"eps": Scalar(0, compute), "length": length, "x_row": x_row}
    return rows_launch(layer_norm_forward, arguments, rows, length, live, compute, chip, one_block=True)


@launch_shape("layer_norm_backward")
def layer_norm_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (grad_x, grad_weight, grad_bias, each or none; grad_out, x, mean, rstd, weight or none), no scalars.

    `sizes` = (rows, length, strides of a row of x and of grad_out); the gradients are contiguous.
    """
    in_parts = backward_in_parts(dtypes, sizes, chip)
    if in_parts is not None:
        return in_parts
    rows, length, x_row, grad_row = sizes
    compute = compute_dtype(dtypes[4])
    _, groups = row_group(rows)
    weights, biases = Workspace(0, compute, groups * length), Workspace(1, compute, groups * length)
    names = ("grad_x", "partial_weight", "partial_bias", "grad_out", "x", "mean", "rstd", "weight")
    arguments = tensor_arguments(names, dtypes) | {
        "partial_weight": weights if dtypes[1] != "none" else None,
        "partial_bias": biases if dtypes[2] != "none" else None,
        "x_row": x_row,
        "grad_row": grad_row,
    }
    launches = [row_groups_launch(layer_norm_backward, arguments, rows, length, compute, chip)]
    if dtypes[1] != "none":
        launches.append(column_sum_launch(Tensor(1), weights, groups, length, chip))
    if dtypes[2] != "none":
        launches.append(column_sum_launch(Tensor(2), biases, groups, length, chip))
    return launches
