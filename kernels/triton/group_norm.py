"""GroupNorm of [batch, channels, positions]: forward, backward, and the gradients of weight and bias.

A group's channels lie together: its statistics are those of a row of `channels / groups * positions` elements. What
depends on the channel works on the rows [batch * channels, positions], of which each has one weight and one bias. The
backward pass sums the gradient, and its product with the normalised input, over the positions of a channel once: the
gradients of weight and bias are sums of these over the batch, and what the input's needs are means over a group.
"""

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
    Workspace,
    compute_dtype,
    launch_shape,
    rows_launch,
    tensor_arguments,
)
from mtia_sim_kernels.triton.column_sum import column_sum_launch


@triton.jit
def group_statistics(
    mean, rstd, x, eps, tiles, programs, rows, length,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Mean and inverse standard deviation of contiguous rows, in two passes."""
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    size = tl.full([], length, tl.int32).to(COMPUTE)
    epsilon = tl.full([], eps, COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        source = x + first * length + row[:, None].to(tl.int64) * length + column
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
        tl.store(mean + first + row, average.to(mean.dtype.element_ty), mask=row_mask)
        tl.store(rstd + first + row, inverse.to(rstd.dtype.element_ty), mask=row_mask)


@triton.jit
def of_rows(values, index, mask, COMPUTE: tl.constexpr):
    """values[index] of each row, as a column; 1 where the tensor is absent."""
    if values is None:
        return tl.full([1, 1], 1.0, COMPUTE)
    else:
        return tl.load(values + index, mask=mask, other=0.0).to(COMPUTE)[:, None]


@triton.jit
def group_norm_apply(
    out, x, mean, rstd, weight, bias, tiles, programs, rows, length, channels, group_channels,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        index = first + row
        average = of_rows(mean, index // group_channels, row_mask, COMPUTE)
        inverse = of_rows(rstd, index // group_channels, row_mask, COMPUTE)
        scale = of_rows(weight, index % channels, row_mask, COMPUTE)
        place = first * length + row[:, None].to(tl.int64) * length + column
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            mask = row_mask[:, None] & (column < length - start)
            values = tl.load(x + place + start, mask=mask, other=0.0).to(COMPUTE)
            result = (values - average) * inverse * scale
            if bias is not None:
                result += of_rows(bias, index % channels, row_mask, COMPUTE)
            tl.store(out + place + start, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def group_norm_channel_sums(
    gradients, products, grad_out, x, mean, rstd, tiles, programs, rows, length, group_channels,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """For each row [batch, channel]: the sums of the gradient and of its product with the normalised input."""
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        index = first + row
        average = of_rows(mean, index // group_channels, row_mask, COMPUTE)
        inverse = of_rows(rstd, index // group_channels, row_mask, COMPUTE)
        place = first * length + row[:, None].to(tl.int64) * length + column
        gradient_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
        product_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            mask = row_mask[:, None] & (column < length - start)
            values = tl.load(x + place + start, mask=mask, other=0.0).to(COMPUTE)
            gradient = tl.load(grad_out + place + start, mask=mask, other=0.0).to(COMPUTE)
            gradient_sum += gradient
            product_sum += tl.where(mask, gradient * ((values - average) * inverse), 0.0)
        tl.store(gradients + index, tl.sum(gradient_sum, axis=1), mask=row_mask)
        tl.store(products + index, tl.sum(product_sum, axis=1), mask=row_mask)


@triton.jit
def group_norm_group_means(
    mean_gradients, mean_products, gradients, products, weight, tiles, programs, rows, groups, group_channels, size,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """For each row [batch, group]: the means over the group of the weighted gradient, and of its product with x."""
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    elements = tl.full([], size, tl.int32).to(COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        index = first + row
        place = index[:, None] * group_channels + column
        channel = (index % groups)[:, None] * group_channels + column
        gradient_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
        product_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for start in tl.range(0, group_channels, COLUMNS):
            mask = row_mask[:, None] & (column < group_channels - start)
            gradient = tl.load(gradients + place + start, mask=mask, other=0.0)
            product = tl.load(products + place + start, mask=mask, other=0.0)
            if weight is not None:
                scale = tl.load(weight + channel + start, mask=mask, other=0.0).to(COMPUTE)
                gradient *= scale
                product *= scale
            gradient_sum += gradient
            product_sum += product
        tl.store(mean_gradients + index, tl.sum(gradient_sum, axis=1) / elements, mask=row_mask)
        tl.store(mean_products + index, tl.sum(product_sum, axis=1) / elements, mask=row_mask)


@triton.jit
def group_norm_input_gradient(
    grad_x, grad_out, x, mean, rstd, weight, mean_gradients, mean_products,
    tiles, programs, rows, length, channels, group_channels,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.arange(0, COLUMNS)[None, :]
    row = tl.arange(0, ROWS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], ROWS, tl.int64)
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        index = first + row
        group = index // group_channels
        average = of_rows(mean, group, row_mask, COMPUTE)
        inverse = of_rows(rstd, group, row_mask, COMPUTE)
        centre = of_rows(mean_gradients, group, row_mask, COMPUTE)
        along = of_rows(mean_products, group, row_mask, COMPUTE)
        scale = of_rows(weight, index % channels, row_mask, COMPUTE)
        place = first * length + row[:, None].to(tl.int64) * length + column
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            mask = row_mask[:, None] & (column < length - start)
            values = tl.load(x + place + start, mask=mask, other=0.0).to(COMPUTE)
            gradient = tl.load(grad_out + place + start, mask=mask, other=0.0).to(COMPUTE)
            normal = (values - average) * inverse
            result = (gradient * scale - centre - normal * along) * inverse
            tl.store(grad_x + place + start, result.to(grad_x.dtype.element_ty), mask=mask)


@launch_shape("group_norm_forward")
def group_norm_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out, mean, rstd, x, weight or none, bias or none), scalars (eps,), all contiguous.

    `sizes` = (batch, channels, positions, groups); mean and rstd are [batch, groups].
    """
    batch, channels, positions, groups = sizes
    compute = compute_dtype(dtypes[3])
    live = 2 * DTYPE_BYTES[dtypes[3]] + 5 * DTYPE_BYTES[compute]
    group_channels = channels // groups
    length = group_channels * positions
    apply = tensor_arguments(("out", "mean", "rstd", "x", "weight", "bias"), dtypes)
    statistics = {name: apply[name] for name in ("mean", "rstd", "x")}
    statistics |= {"eps": Scalar(0, compute), "length": length}
    apply |= {"length": positions, "channels": channels, "group_channels": group_channels}
    return [
        rows_launch(group_statistics, statistics, batch * groups, length, live, compute, chip),
        rows_launch(group_norm_apply, apply, batch * channels, positions, live, compute, chip),
    ]


@launch_shape("group_norm_backward")
def group_norm_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (grad_x, grad_weight, grad_bias, each or none; grad_out, x, mean, rstd, weight or none), all contiguous.

    `sizes` as for the forward pass; no scalars.
    """
    batch, channels, positions, groups = sizes
    compute = compute_dtype(dtypes[4])
    wide = DTYPE_BYTES[compute]
    live = 4 * DTYPE_BYTES[dtypes[4]] + 8 * wide
    rows, group_channels = batch * channels, channels // groups
    gradients, products = (Workspace(index, compute, rows) for index in (0, 1))
    mean_gradients, mean_products = (Workspace(index, compute, batch * groups) for index in (2, 3))
    names = ("grad_x", "grad_weight", "grad_bias", "grad_out", "x", "mean", "rstd", "weight")
    tensors = tensor_arguments(names, dtypes)
    shared = {name: tensors[name] for name in ("grad_out", "x", "mean", "rstd")}
    shared |= {"length": positions, "group_channels": group_channels}
    sums: dict[str, Argument] = {"gradients": gradients, "products": products}
    launches = [rows_launch(group_norm_channel_sums, sums | shared, rows, positions, live, compute, chip)]
    if dtypes[0] != "none":
        weight = {"weight": tensors["weight"]}
        means: dict[str, Argument] = {"mean_gradients": mean_gradients, "mean_products": mean_products}
        of_groups = means | sums | weight
        of_groups |= {"groups": groups, "group_channels": group_channels, "size": group_channels * positions}
        launches.append(
            rows_launch(group_norm_group_means, of_groups, batch * groups, group_channels, 8 * wide, compute, chip)
        )
        of_input = {"grad_x": tensors["grad_x"], "channels": channels} | shared | weight | means
        launches.append(rows_launch(group_norm_input_gradient, of_input, rows, positions, live, compute, chip))
    for index, partial in ((1, products), (2, gradients)):
        if dtypes[index] != "none":
            launches.append(column_sum_launch(Tensor(index), partial, batch, channels, chip))
    return launches
