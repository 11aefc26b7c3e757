"""Batch normalisation of [outer, channels, positions]: moments, normalising, and both backwards.

Either the positions or the channels lie side by side in memory, which decides how a tile lies: [channels, positions]
summed along its rows (AXIS 1), or [positions, channels] summed down its columns (AXIS 0). Sums of a channel are made in
splits, of the sizes alone, that a second launch joins.

Moments take one pass: deviations are from the mean of a split's first tile. With a share f of the split in that tile
(mean - shift)^2 is at most (1 - f) / f times the variance, so that no outlier costs more than the number of tiles in
precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    REDUCED_BLOCK,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Workspace,
    block_limit,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    tensor_arguments,
    tile_count,
    tile_extent,
)
from mtia_sim_kernels.triton.reduced_tiles import (
    elements_of,
    joined_moments,
    lanes,
    reduced_place,
    reduced_tile,
    splits_of,
    step_of,
)


@triton.jit
def of_channels(values, first, channel, inside, COMPUTE: tl.constexpr):
    """values[channel], to be broadcast over a tile; 1 where the tensor is absent."""
    if values is None:
        return tl.full([1, 1], 1.0, COMPUTE)
    else:
        return tl.load(values + first + channel, mask=inside, other=0.0).to(COMPUTE)


@triton.jit
def inverse_deviation(variance, eps, COMPUTE: tl.constexpr):
    """1 / sqrt(variance + eps); torch's answer to a variance and an eps of 0 is 0."""
    total = variance + tl.full([], eps, COMPUTE)
    return tl.where(total == 0.0, 0.0, 1.0 / tl.sqrt(total))


@triton.jit
def batch_norm_moments(
    squares, means, x, tiles, programs, channel_tiles, channels, positions, chunks, steps, split_steps,
    x_outer, x_channel, x_position,
    AXIS: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, CHANNELS: tl.constexpr, POSITIONS: tl.constexpr,
):  # fmt: skip
    """Of each split, [splits, channels]: the mean and the sum of squared deviations from it."""
    channel, position = lanes(CHANNELS, POSITIONS, AXIS)
    offsets = channel.to(INDEX) * x_channel + position.to(INDEX) * x_position
    lane = tl.arange(0, CHANNELS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        split, _, first, base, in_channels = reduced_tile(
            tile, channel_tiles, 1, channels, 0, x_channel, channel, CHANNELS
        )
        source = x + base
        begin = split * split_steps
        end = tl.minimum(begin + split_steps, steps)
        count = elements_of(begin, end, chunks, positions, POSITIONS).to(COMPUTE)
        place, mask = step_of(begin, chunks, positions, x_outer, x_position, in_channels, position, POSITIONS)
        values = tl.load(source + place + offsets, mask=mask, other=0.0).to(COMPUTE)
        in_tile = elements_of(begin, begin + 1, chunks, positions, POSITIONS)
        shift = tl.sum(values, axis=AXIS, keep_dims=True) / in_tile.to(COMPUTE)
        shift = tl.where(tl.abs(shift) < float("inf"), shift, 0.0)
        sums = tl.zeros(values.shape, COMPUTE)
        square_sums = tl.zeros(values.shape, COMPUTE)
        for step in tl.range(begin, end, num_stages=2):
            place, mask = step_of(step, chunks, positions, x_outer, x_position, in_channels, position, POSITIONS)
            values = tl.load(source + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            deviation = tl.where(mask, values - shift, 0.0)
            sums += deviation
            square_sums += deviation * deviation
        off = tl.sum(sums, axis=AXIS) / count
        square = tl.maximum(tl.sum(square_sums, axis=AXIS) - off * off * count, 0.0, tl.PropagateNan.ALL)
        target = reduced_place(split, 1, 0, channels, first)
        inside = lane < channels - first
        tl.store(means + target + lane, tl.reshape(shift, [CHANNELS]) + off, mask=inside)
        tl.store(squares + target + lane, square, mask=inside)


@triton.jit
def moved(running, amount, first, lane, inside, momentum, COMPUTE: tl.constexpr):
    """Moves a running statistic towards the batch's."""
    if running is not None:
        old = tl.load(running + first + lane, mask=inside, other=0.0).to(COMPUTE)
        share = tl.full([], momentum, COMPUTE)
        tl.store(running + first + lane, (share * amount + (1.0 - share) * old).to(running.dtype.element_ty), inside)


@triton.jit
def batch_norm_join(
    mean, spread, running_mean, running_var, squares, means, momentum, eps,
    tiles, programs, channels, positions, chunks, steps, split_steps, splits,
    INVERSE: tl.constexpr, CHUNK: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """`spread`: the inverse deviation, or the variance. CHUNK: the positions of a step."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)
    begin = row * split_steps
    end = tl.minimum(begin + split_steps, steps)
    counts = tl.where(row < splits, elements_of(begin, end, chunks, positions, CHUNK), 0).to(COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], COLUMNS, tl.int64)
        inside = column < tl.minimum(channels - first, COLUMNS).to(tl.int32)
        mask = (row < splits) & inside[None, :]
        place = first + row.to(tl.int64) * channels + column[None, :]
        count, whole, square = joined_moments(squares, means, counts, place, mask)
        # CPU torch keeps the sum in the statistics' dtype.
        square = square.to(spread.dtype.element_ty).to(COMPUTE)
        if mean is not None:
            tl.store(mean + first + column, whole.to(mean.dtype.element_ty), mask=inside)
        result = square / count
        if INVERSE:
            result = inverse_deviation(result, eps, COMPUTE)
        tl.store(spread + first + column, result.to(spread.dtype.element_ty), mask=inside)
        moved(running_mean, whole, first, column, inside, momentum, COMPUTE)
        moved(running_var, square / (count - 1.0), first, column, inside, momentum, COMPUTE)


@triton.jit
def step_tile(
    tile, channel_tiles, chunks, positions, channels, x_outer, x_channel, x_position, channel, position,
    CHANNELS: tl.constexpr, POSITIONS: tl.constexpr,
):  # fmt: skip
    """(first channel, place, masks of the channels and of the elements) of a tile of one step."""
    step, _, first, base, in_channels = reduced_tile(tile, channel_tiles, 1, channels, 0, x_channel, channel, CHANNELS)
    place, mask = step_of(step, chunks, positions, x_outer, x_position, in_channels, position, POSITIONS)
    return first, base + place, in_channels, mask


@triton.jit
def batch_norm_apply(
    out, x, mean, spread, weight, bias, eps, tiles, programs, channel_tiles, channels, positions, chunks,
    x_outer, x_channel, x_position,
    INVERSE: tl.constexpr, AXIS: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):  # fmt: skip
    """INVERSE: `spread` is a variance, of which the inverse deviation is taken here."""
    channel, position = lanes(CHANNELS, POSITIONS, AXIS)
    offsets = channel.to(INDEX) * x_channel + position.to(INDEX) * x_position
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first, place, in_channels, mask = step_tile(
            tile, channel_tiles, chunks, positions, channels, x_outer, x_channel, x_position, channel, position,
            CHANNELS, POSITIONS,
        )  # fmt: skip
        average = of_channels(mean, first, channel, in_channels, COMPUTE)
        scale = of_channels(spread, first, channel, in_channels, COMPUTE)
        if INVERSE:
            scale = inverse_deviation(scale, eps, COMPUTE)
        scale = scale * of_channels(weight, first, channel, in_channels, COMPUTE)
        values = tl.load(x + place + offsets, mask=mask, other=0.0).to(COMPUTE)
        result = (values - average) * scale
        if bias is not None:
            result += of_channels(bias, first, channel, in_channels, COMPUTE)
        tl.store(out + place + offsets, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def batch_norm_gradient_sums(
    gradients, products, grad_out, x, mean, tiles, programs, channel_tiles, channels, positions, chunks, steps,
    split_steps, x_outer, x_channel, x_position,
    AXIS: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, CHANNELS: tl.constexpr, POSITIONS: tl.constexpr,
):  # fmt: skip
    """Of each split, [splits, channels]: the sums of the gradient and of its product with x - mean."""
    channel, position = lanes(CHANNELS, POSITIONS, AXIS)
    offsets = channel.to(INDEX) * x_channel + position.to(INDEX) * x_position
    lane = tl.arange(0, CHANNELS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        split, _, first, base, in_channels = reduced_tile(
            tile, channel_tiles, 1, channels, 0, x_channel, channel, CHANNELS
        )
        average = of_channels(mean, first, channel, in_channels, COMPUTE)
        begin = split * split_steps
        end = tl.minimum(begin + split_steps, steps)
        sums = tl.zeros([CHANNELS, POSITIONS] if AXIS == 1 else [POSITIONS, CHANNELS], COMPUTE)
        product_sums = tl.zeros([CHANNELS, POSITIONS] if AXIS == 1 else [POSITIONS, CHANNELS], COMPUTE)
        for step in tl.range(begin, end, num_stages=2):
            place, mask = step_of(step, chunks, positions, x_outer, x_position, in_channels, position, POSITIONS)
            gradient = tl.load(grad_out + base + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            values = tl.load(x + base + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            sums += gradient
            product_sums += tl.where(mask, gradient * (values - average), 0.0)
        target = reduced_place(split, 1, 0, channels, first)
        inside = lane < channels - first
        tl.store(gradients + target + lane, tl.sum(sums, axis=AXIS), mask=inside)
        tl.store(products + target + lane, tl.sum(product_sums, axis=AXIS), mask=inside)


@triton.jit
def batch_norm_join_gradients(
    gradient_sum, product_sum, grad_weight, grad_bias, gradients, products, spread, eps,
    tiles, programs, channels, splits,
    INVERSE: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * tl.full([], COLUMNS, tl.int64)
        inside = column < tl.minimum(channels - first, COLUMNS).to(tl.int32)
        mask = (row < splits) & inside[None, :]
        place = first + row.to(tl.int64) * channels + column[None, :]
        gradient = tl.sum(tl.load(gradients + place, mask=mask, other=0.0), axis=0)
        product = tl.sum(tl.load(products + place, mask=mask, other=0.0), axis=0)
        if gradient_sum is not None:
            tl.store(gradient_sum + first + column, gradient.to(gradient_sum.dtype.element_ty), mask=inside)
        if product_sum is not None:
            tl.store(product_sum + first + column, product.to(product_sum.dtype.element_ty), mask=inside)
        if grad_bias is not None:
            tl.store(grad_bias + first + column, gradient.to(grad_bias.dtype.element_ty), mask=inside)
        if grad_weight is not None:
            scale = tl.load(spread + first + column, mask=inside, other=0.0).to(COMPUTE)
            if INVERSE:
                scale = inverse_deviation(scale, eps, COMPUTE)
            tl.store(grad_weight + first + column, (product * scale).to(grad_weight.dtype.element_ty), mask=inside)


@triton.jit
def batch_norm_input_gradient(
    grad_x, grad_out, x, mean, spread, weight, gradient_sum, product_sum, eps, count,
    tiles, programs, channel_tiles, channels, positions, chunks, x_outer, x_channel, x_position,
    INVERSE: tl.constexpr, AXIS: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):  # fmt: skip
    """`count`: the elements of a channel; without sums the statistics were given, and are constants."""
    channel, position = lanes(CHANNELS, POSITIONS, AXIS)
    offsets = channel.to(INDEX) * x_channel + position.to(INDEX) * x_position
    elements = tl.full([], count, COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first, place, in_channels, mask = step_tile(
            tile, channel_tiles, chunks, positions, channels, x_outer, x_channel, x_position, channel, position,
            CHANNELS, POSITIONS,
        )  # fmt: skip
        inverse = of_channels(spread, first, channel, in_channels, COMPUTE)
        if INVERSE:
            inverse = inverse_deviation(inverse, eps, COMPUTE)
        scale = inverse * of_channels(weight, first, channel, in_channels, COMPUTE)
        gradient = tl.load(grad_out + place + offsets, mask=mask, other=0.0).to(COMPUTE)
        if gradient_sum is not None:
            average = of_channels(mean, first, channel, in_channels, COMPUTE)
            centre = of_channels(gradient_sum, first, channel, in_channels, COMPUTE) / elements
            along = of_channels(product_sum, first, channel, in_channels, COMPUTE) * inverse * inverse / elements
            values = tl.load(x + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            gradient = gradient - centre - (values - average) * along
        tl.store(grad_x + place + offsets, (gradient * scale).to(grad_x.dtype.element_ty), mask=mask)


@dataclass(frozen=True)
class Layout:
    """x as [outer, channels, positions] with one stride each, of which that of the channels or the positions is 1."""

    outer: int
    channels: int
    positions: int
    strides: tuple[int, int, int]

    @staticmethod
    def of(sizes: tuple[int, ...]) -> Layout:
        outer, channels, positions, *strides = sizes
        return Layout(outer, channels, positions, (strides[0], strides[1], strides[2]))

    @property
    def axis(self) -> int:
        return 1 if self.strides[2] == 1 and (self.positions > 1 or self.channels == 1) else 0

    def tile(self, elements: int) -> tuple[int, int]:
        """(channels, positions) of a tile of so many elements at most."""
        if self.axis == 1:
            positions = tile_extent(self.positions, elements)
            return max(1, min(next_power_of_2(self.channels), elements // positions)), positions
        channels = tile_extent(self.channels, min(elements, 512))
        return channels, max(1, min(next_power_of_2(self.positions), elements // channels))

    def launch(
        self,
        kernel: Any,
        arguments: Mapping[str, Argument],
        constexprs: Mapping[str, Any],
        extent: tuple[int, int],
        chip: ChipLimits,
        splits: int = 0,
    ) -> Launch:
        """Over tiles of `extent`: all tiles of x, or `splits` rows of them for each block of channels."""
        channels, positions = extent
        channel_tiles, chunks = ceil_div(self.channels, channels), ceil_div(self.positions, positions)
        tiles = channel_tiles * (splits or self.outer * chunks)
        programs, _ = programs_for(chip, tiles)
        launched = dict(arguments) | {"tiles": tiles, "programs": programs}
        launched |= {"channel_tiles": tile_count(channel_tiles, channels), "chunks": tile_count(chunks, positions)}
        launched |= {"channels": self.channels, "positions": self.positions}
        launched |= zip(("x_outer", "x_channel", "x_position"), self.strides, strict=True)
        reach = channels * self.strides[1] + positions * self.strides[2]
        shape = {"AXIS": self.axis, "CHANNELS": channels, "POSITIONS": positions, "INDEX": index_dtype([reach])}
        return Launch(kernel, (programs, 1, 1), launched, dict(constexprs) | shape)


@dataclass(frozen=True)
class Splits:
    """How the sums of a channel are split: by the sizes alone, so that no chip changes their order."""

    extent: tuple[int, int]
    chunks: int
    steps: int
    count: int
    each: int

    @staticmethod
    def of(layout: Layout, compute: str) -> Splits:
        extent = layout.tile(REDUCED_BLOCK * 4 // max(4, DTYPE_BYTES[compute]))
        chunks = ceil_div(layout.positions, extent[1])
        steps = layout.outer * chunks
        return Splits(extent, chunks, steps, *splits_of(ceil_div(layout.channels, extent[0]), steps))

    @property
    def arguments(self) -> dict[str, Argument]:
        return {"steps": tile_count(self.steps, self.extent[1]), "split_steps": self.each}

    def join(
        self,
        kernel: Any,
        arguments: Mapping[str, Argument],
        constexprs: Mapping[str, Any],
        channels: int,
        chip: ChipLimits,
    ) -> Launch:
        rows = next_power_of_2(self.count)
        columns = max(1, min(next_power_of_2(channels), 128, 2048 // rows))
        tiles = ceil_div(channels, columns)
        programs, _ = programs_for(chip, tiles)
        launched = dict(arguments) | {"tiles": tiles, "programs": programs, "channels": channels, "splits": self.count}
        return Launch(kernel, (programs, 1, 1), launched, dict(constexprs) | {"ROWS": rows, "COLUMNS": columns})


def streamed_extent(layout: Layout, tensors: tuple[str, ...], compute: str, chip: ChipLimits) -> tuple[int, int]:
    """A tile of a kernel that reads and writes `tensors` element by element."""
    element_bytes = 2 * sum(DTYPE_BYTES[dtype] for dtype in tensors) + 4 * DTYPE_BYTES[compute]
    elements = layout.outer * layout.channels * layout.positions
    limit = block_limit(chip, element_bytes, 8192, elements)
    share = next_power_of_2(ceil_div(elements, chip.processing_elements))
    return layout.tile(max(128, min(limit, share)))


@launch_shape("batch_norm_moments")
def batch_norm_moments_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (mean, spread, running mean or none, running variance or none, x), scalars (momentum, eps).

    `sizes` = (whether the spread is the inverse deviation, not the variance; outer, channels, positions, x's strides).
    """
    inverse, layout = bool(sizes[0]), Layout.of(sizes[1:])
    compute = compute_dtype(dtypes[4])
    splits = Splits.of(layout, compute)
    squares, means = (Workspace(index, compute, splits.count * layout.channels) for index in (0, 1))
    tensors = tensor_arguments(("mean", "spread", "running_mean", "running_var", "x"), dtypes)
    parts: dict[str, Argument] = {"squares": squares, "means": means} | splits.arguments
    constexprs = {"COMPUTE": TRITON_DTYPES[compute]}
    moments = layout.launch(
        batch_norm_moments, parts | {"x": tensors.pop("x")}, constexprs, splits.extent, chip, splits.count
    )
    scalars: dict[str, Argument] = {"momentum": Scalar(0, compute), "eps": Scalar(1, compute)}
    joined = tensors | parts | scalars | {"positions": layout.positions}
    joined["chunks"] = tile_count(splits.chunks, splits.extent[1])
    constexprs |= {"INVERSE": inverse, "CHUNK": splits.extent[1]}
    return [moments, splits.join(batch_norm_join, joined, constexprs, layout.channels, chip)]


@launch_shape("batch_norm_apply")
def batch_norm_apply_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x, mean, spread, weight or none, bias or none), scalars (eps,).

    `sizes` = (whether the spread is a variance; outer, channels, positions, strides of x and out).
    """
    layout = Layout.of(sizes[1:])
    compute = compute_dtype(dtypes[1])
    arguments = tensor_arguments(("out", "x", "mean", "spread", "weight", "bias"), dtypes)
    extent = streamed_extent(layout, dtypes[:2], compute, chip)
    constexprs = {"COMPUTE": TRITON_DTYPES[compute], "INVERSE": bool(sizes[0])}
    return layout.launch(batch_norm_apply, arguments | {"eps": Scalar(0, compute)}, constexprs, extent, chip)


@launch_shape("batch_norm_gradient_sums")
def batch_norm_gradient_sums_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (gradient sum, product sum, grad weight, grad bias, each or none; grad_out, x, mean, spread), scalars
    (eps,). The product is that of the gradient and x - mean.

    `sizes` as for batch_norm_apply, strides of grad_out and x.
    """
    layout = Layout.of(sizes[1:])
    compute = compute_dtype(dtypes[5])
    splits = Splits.of(layout, compute)
    gradients, products = (Workspace(index, compute, splits.count * layout.channels) for index in (0, 1))
    names = ("gradient_sum", "product_sum", "grad_weight", "grad_bias", "grad_out", "x", "mean", "spread")
    tensors = tensor_arguments(names, dtypes)
    parts: dict[str, Argument] = {"gradients": gradients, "products": products}
    read = {name: tensors.pop(name) for name in ("grad_out", "x", "mean")}
    constexprs = {"COMPUTE": TRITON_DTYPES[compute]}
    sums = layout.launch(
        batch_norm_gradient_sums, parts | splits.arguments | read, constexprs, splits.extent, chip, splits.count
    )
    constexprs |= {"INVERSE": bool(sizes[0])}
    joined = tensors | parts | {"eps": Scalar(0, compute)}
    return [sums, splits.join(batch_norm_join_gradients, joined, constexprs, layout.channels, chip)]


@launch_shape("batch_norm_input_gradient")
def batch_norm_input_gradient_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_x, grad_out, x, mean, spread, weight or none, gradient sum or none, product sum or none), scalars
    (eps, elements of a channel).

    `sizes` as for batch_norm_apply, strides of all three.
    """
    layout = Layout.of(sizes[1:])
    compute = compute_dtype(dtypes[2])
    names = ("grad_x", "grad_out", "x", "mean", "spread", "weight", "gradient_sum", "product_sum")
    arguments = tensor_arguments(names, dtypes) | {"eps": Scalar(0, compute), "count": Scalar(1, compute)}
    extent = streamed_extent(layout, dtypes[:3], compute, chip)
    constexprs = {"COMPUTE": TRITON_DTYPES[compute], "INVERSE": bool(sizes[0])}
    return layout.launch(batch_norm_input_gradient, arguments, constexprs, extent, chip)
