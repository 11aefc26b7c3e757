"""Samples of images where a grid says: the elements that each sample is made of with their weights, and the sums of
rows of channels by them."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    block_limit,
    ceil_div,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    tensor_arguments,
    tile_count,
    tile_extent,
)

#: torch's numbers of modes and paddings.
LINEAR, NEAREST, CUBIC = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
ZEROS, BORDER, REFLECTION = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
CUBIC_A = tl.constexpr(-0.75)


@triton.jit
def padded(source, slope, size, PADDING: tl.constexpr, ALIGNED: tl.constexpr):
    """A position brought into an image, and how it moves with the grid."""
    if PADDING == REFLECTION:
        low = 0.0 if ALIGNED else -0.5
        span = size - 1.0 if ALIGNED else size + 0.0
        if span > 0:
            away = source - low
            slope = tl.where(away < 0, -slope, slope)
            away = tl.abs(away)
            flips = tl.floor(away / span)
            rest = away - flips * span
            is_odd = flips - 2 * tl.floor(flips / 2) != 0
            source = tl.where(is_odd, span - rest, rest) + low
            slope = tl.where(is_odd, -slope, slope)
        else:
            source = source * 0
            slope = slope * 0
    if PADDING != ZEROS:
        slope = tl.where((source > 0) & (source < size - 1.0), slope, 0)
        source = tl.minimum(tl.maximum(source, 0), size - 1.0)
    return source, slope


@triton.jit
def source_of(grid, place, inside, size, MODE: tl.constexpr, PADDING: tl.constexpr, ALIGNED: tl.constexpr,
              COMPUTE: tl.constexpr):  # fmt: skip
    coordinate = tl.load(grid + place, mask=inside, other=0).to(COMPUTE)
    if ALIGNED:
        source = (coordinate + 1) * 0.5 * (size - 1.0)
        slope = tl.zeros_like(source) + (size - 1.0) * 0.5
    else:
        source = ((coordinate + 1) * size - 1) * 0.5
        slope = tl.zeros_like(source) + size * 0.5
    if MODE != CUBIC:
        source, slope = padded(source, slope, size, PADDING, ALIGNED)
    return source, slope


@triton.jit
def near_cubic(x):
    return ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1, (3 * (CUBIC_A + 2) * x - 2 * (CUBIC_A + 3)) * x


@triton.jit
def far_cubic(x):
    return ((x - 5) * x + 8) * x * CUBIC_A - 4 * CUBIC_A, ((3 * x - 10) * x + 8) * CUBIC_A


@triton.jit
def axis_tap(source, slope, size, TAP: tl.constexpr, MODE: tl.constexpr, PADDING: tl.constexpr,
             ALIGNED: tl.constexpr):  # fmt: skip
    """(position, weight, how the weight moves with the grid, whether the position is in the image)."""
    low = tl.floor(source)
    fraction = source - low
    if MODE == NEAREST:
        half = tl.floor(source + 0.5)
        is_tie = (fraction == 0.5) & (half - 2 * tl.floor(half / 2) != 0)
        position = tl.where(is_tie, half - 1, half)
        weight = tl.zeros_like(source) + 1
        change = tl.zeros_like(source)
    elif MODE == LINEAR:
        position = low + TAP
        weight = fraction if TAP == 1 else 1 - fraction
        change = slope if TAP == 1 else -slope
    else:
        if TAP == 0:
            weight, change = far_cubic(fraction + 1)
        elif TAP == 1:
            weight, change = near_cubic(fraction)
        elif TAP == 2:
            weight, change = near_cubic(1 - fraction)
            change = -change
        else:
            weight, change = far_cubic(2 - fraction)
            change = -change
        change = change * slope
        position, _ = padded(low + (TAP - 1), slope, size, PADDING, ALIGNED)
    return position, weight, change, (position >= 0) & (position < size)


@triton.jit
def grid_taps(
    places, weights, changes, grid, tiles, programs, count, image, n0, n1, n2,
    DIMS: tl.constexpr, MODE: tl.constexpr, PADDING: tl.constexpr, ALIGNED: tl.constexpr, COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """n0 is the innermost dimension of an image, that of the grid's first coordinate; `count` samples of `image`."""
    AXIS_TAPS: tl.constexpr = 1 if MODE == NEAREST else 2 if MODE == LINEAR else 4
    TAPS: tl.constexpr = AXIS_TAPS * AXIS_TAPS if DIMS == 2 else AXIS_TAPS * AXIS_TAPS * AXIS_TAPS
    for tile in tl.range(tl.program_id(0), tiles, programs):
        sample = tile * BLOCK + tl.arange(0, BLOCK)
        inside = sample < count
        place = sample.to(tl.int64) * DIMS
        first = (sample // image).to(tl.int64) * n0 * n1 * n2
        s0, d0 = source_of(grid, place, inside, n0, MODE, PADDING, ALIGNED, COMPUTE)
        s1, d1 = source_of(grid, place + 1, inside, n1, MODE, PADDING, ALIGNED, COMPUTE)
        if DIMS == 3:
            s2, d2 = source_of(grid, place + 2, inside, n2, MODE, PADDING, ALIGNED, COMPUTE)
        for tap in tl.static_range(TAPS):
            p0, w0, c0, in0 = axis_tap(s0, d0, n0, tap % AXIS_TAPS, MODE, PADDING, ALIGNED)
            p1, w1, c1, in1 = axis_tap(s1, d1, n1, tap // AXIS_TAPS % AXIS_TAPS, MODE, PADDING, ALIGNED)
            found = in0 & in1
            position = tl.where(in1, p1, 0).to(tl.int64) * n0 + tl.where(in0, p0, 0).to(tl.int64)
            weight = w0 * w1
            if DIMS == 3:
                p2, w2, c2, in2 = axis_tap(
                    s2, d2, n2, tap // (AXIS_TAPS * AXIS_TAPS), MODE, PADDING, ALIGNED
                )  # fmt: skip
                found = found & in2
                position += tl.where(in2, p2, 0).to(tl.int64) * n0 * n1
                weight = weight * w2
            to = sample.to(tl.int64) * TAPS + tap
            tl.store(places + to, tl.where(found, first + position, -1), mask=inside)
            # As on the CPU, a position in an image that is no number makes its sample none, one in a volume is outside.
            kept = found | (weight != weight) if DIMS == 2 else found
            tl.store(weights + to, tl.where(kept, weight, 0), mask=inside)
            if changes is not None:
                change0 = c0 * w1
                change1 = w0 * c1
                if DIMS == 3:
                    change0 = change0 * w2
                    change1 = change1 * w2
                    tl.store(changes + to * DIMS + 2, tl.where(found, w0 * w1 * c2, 0), mask=inside)
                tl.store(changes + to * DIMS, tl.where(kept, change0, 0), mask=inside)
                tl.store(changes + to * DIMS + 1, tl.where(kept, change1, 0), mask=inside)


@triton.jit
def weighted_rows(
    out, x, places, weights, row_tiles, lane_tiles, programs, count, length,
    TAPS: tl.constexpr, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out[i] = the sum of weights[i, k] * x[places[i, k]], in the order of k; -1 is no row."""
    for tile in tl.range(tl.program_id(0), row_tiles * lane_tiles, programs):
        row = tile // lane_tiles * ROWS + tl.arange(0, ROWS)
        lane = tile % lane_tiles * COLUMNS + tl.arange(0, COLUMNS)
        in_rows = row < count
        in_lanes = (lane < length)[None, :]
        total = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for tap in tl.range(0, TAPS):
            place = tl.load(places + row.to(tl.int64) * TAPS + tap, mask=in_rows, other=-1)
            weight = tl.load(weights + row.to(tl.int64) * TAPS + tap, mask=in_rows, other=0)
            source = x + (tl.maximum(place, 0) * length)[:, None] + lane[None, :]
            value = tl.load(source, mask=(place >= 0)[:, None] & in_lanes, other=0).to(COMPUTE)
            total += value * weight[:, None]
        target = out + row.to(tl.int64)[:, None] * length + lane[None, :]
        tl.store(target, total.to(out.dtype.element_ty), mask=in_rows[:, None] & in_lanes)


@launch_shape("grid_taps")
def grid_taps_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (places, weights, changes of the weights or none, grid), no scalars.

    `sizes` = (dimensions: 2 or 3, mode, padding, whether corners are aligned, samples, samples of an image, then the
    image's extents, innermost first, three of them). The results are [samples, taps(, dimensions)].
    """
    dims, mode, padding, aligned, count, image, n0, n1, n2 = sizes
    block = max(16, min(512, next_power_of_2(ceil_div(count, chip.processing_elements))))
    tiles = ceil_div(count, block)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = tensor_arguments(("places", "weights", "changes", "grid"), dtypes)
    arguments |= {"tiles": tile_count(tiles, block), "programs": programs, "count": count, "image": image}
    constexprs = {"DIMS": dims, "MODE": mode, "PADDING": padding, "ALIGNED": bool(aligned)}
    constexprs |= {"COMPUTE": TRITON_DTYPES[compute_dtype(dtypes[3])], "BLOCK": block}
    return Launch(grid_taps, (programs, 1, 1), arguments | {"n0": n0, "n1": n1, "n2": n2}, constexprs)


@launch_shape("weighted_rows")
def weighted_rows_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out [count, length], x [rows, length], places [count, taps], weights [count, taps]), all dense.

    `sizes` = (count, taps, length).
    """
    count, taps, length = sizes
    compute = compute_dtype(dtypes[1])
    elements = block_limit(chip, 5 * DTYPE_BYTES[compute] + 4, 8192)
    columns = tile_extent(length, elements) if length > 16 else next_power_of_2(length)
    lane_tiles = ceil_div(length, columns)
    wanted = next_power_of_2(ceil_div(count * lane_tiles, chip.processing_elements))
    block_rows = max(1, min(elements // columns, wanted, 512))
    row_tiles = ceil_div(count, block_rows)
    programs, _ = programs_for(chip, row_tiles * lane_tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "places": Tensor(2), "weights": Tensor(3)}
    arguments |= {"row_tiles": tile_count(row_tiles, block_rows), "lane_tiles": tile_count(lane_tiles, columns)}
    arguments |= {"programs": programs, "count": count, "length": length}
    constexprs = {"TAPS": taps, "COMPUTE": TRITON_DTYPES[compute], "ROWS": block_rows, "COLUMNS": columns}
    return Launch(weighted_rows, (programs, 1, 1), arguments, constexprs)
