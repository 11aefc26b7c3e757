"""Negative log likelihood of class indices, forward and backward: with log-softmax, the cross entropy."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    Workspace,
    ceil_div,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    tensor_arguments,
)
from mtia_sim_kernels.triton.checks import check_class

REDUCTION_NONE, REDUCTION_MEAN, REDUCTION_SUM = 0, 1, 2


@triton.jit
def sample_weights(target, weight, row_mask, ignore_index, classes, COMPUTE: tl.constexpr):
    """The weight of each sample: 0 where it is ignored or past the end. Refuses targets that are no class."""
    valid = row_mask & (target != ignore_index)
    check_class(tl.where(valid, target, 0), classes)
    if weight is not None:
        return tl.load(weight + tl.where(valid, target, 0), mask=valid, other=0.0).to(COMPUTE), valid
    else:
        return tl.where(valid, 1.0, 0.0).to(COMPUTE), valid


@triton.jit
def nll_loss_forward(
    out, total_weight, partial, x, target, weight, ignore_index, rows, classes, blocks, x_row, x_column,
    REDUCTION: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a block of rows; `partial` [2, blocks] takes the sums of losses and weights if there are several."""
    block = tl.program_id(0)
    first = block.to(tl.int64) * BLOCK
    row = tl.arange(0, BLOCK)
    row_mask = row < tl.minimum(rows - first, BLOCK).to(tl.int32)
    index = tl.load(target + first + row, mask=row_mask, other=0).to(tl.int64)
    scale, valid = sample_weights(index, weight, row_mask, ignore_index, classes, COMPUTE)
    offsets = (first + row) * x_row + tl.where(valid, index, 0) * x_column
    loss = -scale * tl.load(x + offsets, mask=valid, other=0.0).to(COMPUTE)
    loss = tl.where(valid, loss, 0.0)
    if REDUCTION == 0:
        tl.store(out + first + row, loss.to(out.dtype.element_ty), mask=row_mask)
        if block == 0:
            tl.store(total_weight, tl.full([], 0.0, total_weight.dtype.element_ty))
    else:
        loss_sum = tl.sum(loss, axis=0)
        weight_sum = tl.sum(scale, axis=0)
        if partial is not None:
            tl.store(partial + block, loss_sum)
            tl.store(partial + blocks + block, weight_sum)
        else:
            if REDUCTION == 1:
                loss_sum = loss_sum / weight_sum
            tl.store(out, loss_sum.to(out.dtype.element_ty))
            tl.store(total_weight, weight_sum.to(total_weight.dtype.element_ty))


@triton.jit
def nll_loss_finish(
    out, total_weight, partial, blocks, REDUCTION: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    lane = tl.arange(0, BLOCK)
    losses = tl.zeros([BLOCK], COMPUTE)
    weights = tl.zeros([BLOCK], COMPUTE)
    for start in tl.range(0, blocks, BLOCK):
        mask = lane < blocks - start
        losses += tl.load(partial + start + lane, mask=mask, other=0.0)
        weights += tl.load(partial + blocks + start + lane, mask=mask, other=0.0)
    loss_sum = tl.sum(losses, axis=0)
    weight_sum = tl.sum(weights, axis=0)
    if REDUCTION == 1:
        loss_sum = loss_sum / weight_sum
    tl.store(out, loss_sum.to(out.dtype.element_ty))
    tl.store(total_weight, weight_sum.to(total_weight.dtype.element_ty))


@triton.jit
def nll_loss_backward(
    grad_x, grad_out, target, weight, total_weight, ignore_index, tiles, programs, rows, classes, grad_row,
    REDUCTION: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Zeros but for -weight * grad at the target of each row that is not ignored."""
    row = tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        index = tl.load(target + first + row, mask=row_mask, other=0).to(tl.int64)
        scale, valid = sample_weights(index, weight, row_mask, ignore_index, classes, COMPUTE)
        if REDUCTION == 0:
            scale = scale * tl.load(grad_out + (first + row) * grad_row, mask=row_mask, other=0.0).to(COMPUTE)
        else:
            factor = tl.load(grad_out).to(COMPUTE)
            if REDUCTION == 1:
                factor = factor / tl.load(total_weight).to(COMPUTE)
            # No weight at all makes the factor infinite or NaN, the ignored rows still get 0.
            scale = tl.where(valid, scale * factor, 0.0)
        at = tl.where(valid, index, -1).to(tl.int32)[:, None]
        value = (-scale)[:, None]
        for start in tl.range(0, classes, COLUMNS):
            here = column[None, :] == at - start
            result = tl.where(here, value, 0.0).to(grad_x.dtype.element_ty)
            mask = row_mask[:, None] & (column[None, :] < classes - start)
            tl.store(grad_x + first * classes + start + row[:, None] * classes + column[None, :], result, mask=mask)


@launch_shape("nll_loss_forward")
def nll_loss_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out, total_weight, x, target, weight or none), scalars (ignore_index,).

    `sizes` = (rows, classes, x's strides of row and class, reduction: 0 none, 1 mean, 2 sum). out is [rows] or one
    element, total_weight one element, target [rows] and weight [classes] contiguous.
    """
    rows, classes, x_row, x_column, reduction = sizes
    compute = compute_dtype(dtypes[2])
    block = min(1024, next_power_of_2(rows))
    blocks = ceil_div(rows, block)
    partial = Workspace(0, compute, 2 * blocks) if blocks > 1 and reduction != REDUCTION_NONE else None
    arguments = tensor_arguments(("out", "total_weight", "x", "target", "weight"), dtypes)
    arguments |= {
        "partial": partial,
        "ignore_index": Scalar(0, "i64"),
        "rows": rows,
        "classes": classes,
        "blocks": blocks,
        "x_row": x_row,
        "x_column": x_column,
    }
    constexprs = {"REDUCTION": reduction, "COMPUTE": TRITON_DTYPES[compute], "BLOCK": block}
    launches = [Launch(nll_loss_forward, (blocks, 1, 1), arguments, constexprs)]
    if partial is not None:
        arguments = {"out": Tensor(0), "total_weight": Tensor(1), "partial": partial, "blocks": blocks}
        launches.append(Launch(nll_loss_finish, (1, 1, 1), arguments, constexprs | {"BLOCK": 1024}))
    return launches


@launch_shape("nll_loss_backward")
def nll_loss_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_x, grad_out, target, weight or none, total_weight), scalars (ignore_index,).

    `sizes` = (rows, classes, grad_out's stride of a row, reduction). grad_x [rows, classes] is contiguous and wholly
    written; grad_out is [rows] for the reduction none, else one element.
    """
    rows, classes, grad_row, reduction = sizes
    compute = compute_dtype(dtypes[0])
    columns = min(next_power_of_2(classes), 4096)
    block_rows = max(1, min(next_power_of_2(ceil_div(rows, chip.processing_elements)), 4096 // columns))
    tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, tiles)
    arguments = tensor_arguments(("grad_x", "grad_out", "target", "weight", "total_weight"), dtypes)
    arguments |= {"ignore_index": Scalar(0, "i64"), "tiles": tiles, "programs": programs}
    arguments |= {"rows": rows, "classes": classes, "grad_row": grad_row}
    constexprs = {"REDUCTION": reduction, "COMPUTE": TRITON_DTYPES[compute], "ROWS": block_rows, "COLUMNS": columns}
    return Launch(nll_loss_backward, (programs, 1, 1), arguments, constexprs)
