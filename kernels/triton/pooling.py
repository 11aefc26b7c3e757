"""Maximum and average over windows of two or three dimensions, with strides, padding and dilation, or adaptive.

A tile is [A, B, X] results of one depth. Of channels-first tensors A counts planes, B rows, and X columns, each of
which may take several lanes: a lane has every so many'th element of a window's row, so that neighbouring windows'
elements, which lie side by side, come as one piece; the lanes of a column are joined at the end. Of channels-last
tensors A counts rows, B columns and X channels. Windows of adaptive pooling have sizes of their own: there a tile has
one window of many planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    block_limit,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    tensor_arguments,
    tile_extent,
)
from mtia_sim_kernels.triton.reduced_tiles import least_of


@triton.jit
def window_of(position, size, out_size, kernel, stride, padding, ADAPTIVE: tl.constexpr):
    """(begin, length) of a window along one dimension."""
    if ADAPTIVE:
        begin = (position.to(tl.int64) * size // out_size).to(tl.int32)
        return begin, (tl.cdiv((position + 1).to(tl.int64) * size, out_size)).to(tl.int32) - begin
    else:
        return position * stride - padding, kernel


@triton.jit
def counted(begin, kernel, size, padding, WITH_PADDING: tl.constexpr):
    """The elements of windows that an average is over, along one dimension."""
    end = tl.minimum(begin + kernel, size + padding)
    if WITH_PADDING:
        return end - begin
    else:
        return tl.minimum(end, size) - tl.maximum(begin, 0)


@triton.jit
def averaged(
    total, begin_d, begin_h, begin_w, kernel_d, kernel_h, kernel_w, in_d, in_h, in_w, pad_d, pad_h, pad_w,
    DIVISOR: tl.constexpr, WITH_PADDING: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """The total over DIVISOR, or where that is 0 over the elements that count."""
    if DIVISOR:
        over = tl.full([], DIVISOR, tl.int32)
    else:
        over = counted(begin_d, kernel_d, in_d, pad_d, WITH_PADDING)
        over = over * counted(begin_h, kernel_h, in_h, pad_h, WITH_PADDING)
        over = tl.maximum(over * counted(begin_w, kernel_w, in_w, pad_w, WITH_PADDING), 1)
    if COMPUTE.is_floating():
        return total / over.to(COMPUTE)
    else:
        return total // over.to(COMPUTE)


@triton.jit
def joined_maximum(best, index, C: tl.constexpr, S: tl.constexpr):
    """The maxima of S lanes a column and where they are: the first maximum, or the last NaN."""
    NO_INDEX: tl.constexpr = 2147483647 if index.dtype == tl.int32 else 9223372036854775807
    best = tl.reshape(best, [best.shape[0], best.shape[1], C, S])
    index = tl.reshape(index, best.shape)
    value = tl.max(best, axis=3, keep_dims=True)
    place = tl.min(tl.where(best == value, index, NO_INDEX), axis=3)
    value = tl.reshape(value, place.shape)
    if best.dtype.is_floating():
        nan = tl.max(tl.where(best != best, index, -1), axis=3)
        value = tl.where(nan >= 0, float("nan"), value)
        place = tl.where(nan >= 0, nan, place)
    return value, place


@triton.jit
def pool(
    out, indices, x, tiles, programs, x_tiles, b_tiles, a_tiles, a_size, x_size,
    in_d, in_h, in_w, out_d, out_h, out_w, kernel_d, kernel_h, kernel_w, stride_d, stride_h, stride_w,
    pad_d, pad_h, pad_w, dilation_d, dilation_h, dilation_w,
    MAXIMUM: tl.constexpr, DIVISOR: tl.constexpr, WITH_PADDING: tl.constexpr, ADAPTIVE: tl.constexpr,
    LAST: tl.constexpr, PADDING: tl.constexpr, COMPUTE: tl.constexpr, PLACE: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, S: tl.constexpr, LANES: tl.constexpr, STEP: tl.constexpr,
    EVEN: tl.constexpr, CLIPPED: tl.constexpr,
):  # fmt: skip
    """LAST: channels last. C columns of S lanes, LANES of which count; channels last, C channels. STEP: between
    neighbouring lanes, where they are evenly spaced; 0 where they are not. EVEN: LANES divides the window's row.
    CLIPPED: windows reach over the edge. PLACE: the dtype of what counts the elements of an input plane."""
    X: tl.constexpr = C * S
    a = tl.arange(0, A)[:, None, None]
    b = tl.arange(0, B)[None, :, None]
    lane = tl.arange(0, X)[None, None, :]
    channels = x_size if LAST else 1
    in_column = tl.full([], 1, tl.int64) * channels
    in_row = in_column * in_w
    in_depth = in_row * in_h
    in_plane = in_depth * in_d
    out_column = in_column
    out_row = out_column * out_w
    out_plane = out_row * out_h * out_d
    one = tl.full([], 1, PLACE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        tx = tile % x_tiles
        rest = tile // x_tiles
        tb = rest % b_tiles
        rest = rest // b_tiles
        ta = rest % a_tiles
        rest = rest // a_tiles
        depth = rest % out_d
        outer = rest // out_d
        row0 = ta * A if LAST else tb * B
        column0 = tb * B if LAST else tx * C
        begin_d, count_d = window_of(depth, in_d, out_d, kernel_d, stride_d, pad_d, ADAPTIVE)
        begin_h, count_h = window_of(row0, in_h, out_h, kernel_h, stride_h, pad_h, ADAPTIVE)
        begin_w, count_w = window_of(column0, in_w, out_w, kernel_w, stride_w, pad_w, ADAPTIVE)
        columns = tl.cdiv(count_w, LANES)
        if LAST:
            source = outer * in_plane + tx * X
            steps = a * (stride_h * in_row) + b * (stride_w * in_column) + lane
            fixed = lane < x_size - tx * X
        else:
            source = ta * A * in_plane
            if STEP == 0:
                column_step = lane // S * stride_w + lane % S
                fixed = (a < a_size - ta * A) & (lane // S < out_w - column0) & (lane % S < LANES)
            else:
                column_step = lane * STEP
                fixed = a < a_size - ta * A
                if not ADAPTIVE:
                    fixed = fixed & (lane < (out_w - column0) * S)
            steps = a * in_plane + b * (stride_h * in_row) + column_step
        best = tl.full([A, B, X], PADDING, COMPUTE)
        if MAXIMUM:
            place = tl.full([A, B, X], -1, PLACE)
        for k in tl.range(0, count_d * count_h * columns, num_stages=2):
            along = k % columns * LANES
            kh = k // columns % count_h
            kd = k // columns // count_h
            d = begin_d + kd * dilation_d
            h = begin_h + kh * dilation_h
            w = begin_w + along * dilation_w
            inside = fixed & (d >= 0) & (d < in_d)
            row = a if LAST else b
            row_end = tl.minimum(tl.cdiv(in_h - h, stride_h), out_h - row0)
            inside = inside & (row >= tl.cdiv(-h, stride_h)) & (row < row_end)
            if LAST:
                inside = (
                    inside
                    & (b >= tl.cdiv(-w, stride_w))
                    & (b < tl.minimum(tl.cdiv(in_w - w, stride_w), out_w - column0))
                )
            elif ADAPTIVE:
                inside = inside & (lane < count_w - along)
            elif STEP == 0:
                if CLIPPED:
                    inside = inside & (column_step >= -w) & (column_step < in_w - w)
            else:
                inside = inside & (lane >= tl.cdiv(-w, STEP)) & (lane < tl.cdiv(in_w - w, STEP))
            base = source + d * in_depth + h * in_row + w * in_column
            value = tl.load(x + base + steps, mask=inside, other=PADDING).to(COMPUTE)
            if not EVEN and not ADAPTIVE:
                value = tl.where(lane % S < count_w - along, value, tl.full([], PADDING, COMPUTE))
            if MAXIMUM:
                better = value > best
                if COMPUTE.is_floating():
                    better = better | (value != value)
                best = tl.where(better, value, best)
                offset = (kd * one * dilation_d * in_h + kh * dilation_h) * in_w + along * dilation_w
                place = tl.where(better, offset, place)
            else:
                best += value
        if LAST:
            target = ((outer * out_d + depth) * out_h + row0) * out_row + column0 * out_column + tx * X
            targets = a * out_row + b * out_column + lane
            valid = (a < out_h - row0) & (b < out_w - column0) & fixed
            row_begin = begin_h + a * stride_h
            column_begin = begin_w + b * stride_w
        else:
            column = tl.arange(0, C)[None, None, :]
            target = ta * A * out_plane + (depth * out_h + row0) * out_row + column0
            targets = a * out_plane + b * out_row + column
            valid = (a < a_size - ta * A) & (b < out_h - row0) & (column < out_w - column0)
            row_begin = begin_h + b * stride_h
            column_begin = begin_w + (lane // S if MAXIMUM else column) * stride_w
        if MAXIMUM:
            # Where no element was above the padding, the window's first one is it.
            first_d = begin_d + tl.cdiv(tl.maximum(-begin_d, 0), dilation_d) * dilation_d
            first_h = row_begin + tl.cdiv(tl.maximum(-row_begin, 0), dilation_h) * dilation_h
            first_w = column_begin + tl.cdiv(tl.maximum(-column_begin, 0), dilation_w) * dilation_w
            begin = (begin_d * one * in_h + row_begin) * in_w + column_begin
            if not LAST:
                begin = begin + lane % S
            first = (first_d * one * in_h + first_h) * in_w + first_w
            place = tl.where(place < 0, first, place + begin)
            if S > 1 and not LAST:
                best, place = joined_maximum(best, place, C, S)
            tl.store(indices + target + targets, place.to(tl.int64), mask=valid)
        else:
            if S > 1 and not LAST:
                best = tl.sum(tl.reshape(best, [A, B, C, S]), axis=3)
            best = averaged(
                best, begin_d, row_begin, column_begin, count_d, count_h, count_w, in_d, in_h, in_w,
                pad_d, pad_h, pad_w, DIVISOR, WITH_PADDING, COMPUTE,
            )  # fmt: skip
        tl.store(out + target + targets, best.to(out.dtype.element_ty), mask=valid)


@dataclass(frozen=True)
class Windows:
    """The call as C++ gives it: planes (the batch where channels lie last), channels that lie last, or 0; sizes of the
    input and the output, kernel, stride, padding and dilation, of three dimensions each."""

    adaptive: bool
    outers: int
    channels: int
    size: tuple[int, ...]
    out: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @staticmethod
    def of(sizes: tuple[int, ...]) -> Windows:
        adaptive, outers, channels, *rest = sizes
        threes = [tuple(rest[i : i + 3]) for i in range(0, 18, 3)]
        return Windows(bool(adaptive), outers, channels, *threes)

    @property
    def lanes(self) -> tuple[int, int]:
        """(lanes of a column, how many of them count): those that neighbouring windows' elements fill."""
        longest = ceil_div(self.size[2], self.out[2]) + 1 if self.adaptive else self.kernel[2]
        if self.adaptive or (self.out[2] == 1 and self.dilation[2] == 1):
            lanes = min(next_power_of_2(longest), 256)
            return lanes, lanes
        lanes = min(self.stride[2], self.kernel[2]) if self.dilation[2] == 1 else 1
        return next_power_of_2(lanes), lanes

    def arguments(self, *names: str) -> dict[str, Argument]:
        threes = {"in": self.size, "out": self.out, "kernel": self.kernel, "stride": self.stride}
        threes |= {"pad": self.padding, "dilation": self.dilation}
        return {f"{name}_{axis}": value for name in names for axis, value in zip("dhw", threes[name], strict=True)}


def tile_of(chip: ChipLimits, limit: int, columns: int, rows: int, planes: int, whole: int) -> tuple[int, int, int]:
    """(columns, rows, planes) of a tile of `limit` elements at most, smaller where the PEs have too few of them;
    `whole` other tiles are there for each."""
    c = tile_extent(columns, limit)
    b = tile_extent(rows, limit // c)
    a = min(next_power_of_2(planes), limit // (c * b))
    while (
        a > 1 and ceil_div(columns, c) * ceil_div(rows, b) * ceil_div(planes, a) * whole < 2 * chip.processing_elements
    ):
        a //= 2
    while b > 1 and ceil_div(columns, c) * ceil_div(rows, b) * ceil_div(planes, a) * whole < chip.processing_elements:
        b //= 2
    return c, b, a


def pool_launch(maximum: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, indices or none, x), no scalars.

    `sizes` = (adaptive, outers, channels, input, output, kernel, stride, padding, dilation), see Windows, then for an
    average (whether padding counts, the divisor or 0). Tensors are contiguous, or channels last where `channels` is
    not 0.
    """
    windows = Windows.of(sizes)
    with_padding, divisor = (bool(sizes[21]), sizes[22]) if not maximum else (False, 0)
    source = dtypes[2]
    compute = source if maximum else compute_dtype(source)
    last = windows.channels != 0
    s, lanes = (1, 1) if last else windows.lanes
    plane = windows.size[0] * windows.size[1] * windows.size[2]
    place = index_dtype([plane])
    places = 8 + 2 * place.primitive_bitwidth // 8 if maximum else 4
    element_bytes = 2 * DTYPE_BYTES[source] + 3 * DTYPE_BYTES[compute] + places
    limit = block_limit(chip, element_bytes, 8192) // s
    out_d, out_h, out_w = windows.out
    if windows.adaptive and not last:
        c, b, a = 1, 1, min(next_power_of_2(windows.outers), limit)
        while a > 1 and out_d * out_h * out_w * ceil_div(windows.outers, a) < chip.processing_elements:
            a //= 2
    elif windows.adaptive:
        c, b, a = tile_extent(windows.channels, min(limit, 1024)), 1, 1
    elif last:
        c, b, a = tile_of(chip, limit, windows.channels, out_w, out_h, windows.outers * out_d)
    else:
        c, b, a = tile_of(chip, limit, out_w, out_h, windows.outers, out_d)
    x_tiles = ceil_div(windows.channels if last else out_w, c)
    b_tiles = ceil_div(out_w if last else out_h, b)
    a_tiles = ceil_div(out_h if last else windows.outers, a)
    tiles = x_tiles * b_tiles * a_tiles * out_d * (windows.outers if last else 1)
    programs, _ = programs_for(chip, tiles)
    if windows.adaptive or (out_w == 1 and lanes == s) or lanes == s == windows.stride[2]:
        step = 1
    else:
        step = windows.stride[2] if s == 1 else 0
    reach = (out_w - 1) * windows.stride[2] + windows.kernel[2] - windows.padding[2]
    arguments = tensor_arguments(("out", "indices", "x"), dtypes)
    arguments |= {
        "tiles": tiles,
        "programs": programs,
        "x_tiles": x_tiles,
        "b_tiles": b_tiles,
        "a_tiles": a_tiles,
        "a_size": out_h if last else windows.outers,
        "x_size": windows.channels if last else out_w,
    }
    constexprs = {
        "MAXIMUM": maximum,
        "DIVISOR": divisor,
        "WITH_PADDING": with_padding,
        "ADAPTIVE": windows.adaptive,
        "LAST": last,
        "PADDING": least_of(source) if maximum else 0,
        "COMPUTE": TRITON_DTYPES[compute],
        "PLACE": place,
        "A": a,
        "B": b,
        "C": c,
        "S": s,
        "LANES": lanes,
        "STEP": step,
        "EVEN": windows.kernel[2] % lanes == 0,
        "CLIPPED": windows.padding[2] > 0 or reach > windows.size[2],
    }
    arguments |= windows.arguments("in", "out", "kernel", "stride", "pad", "dilation")
    return Launch(pool, (programs, 1, 1), arguments, constexprs)


@launch_shape("max_pool")
def max_pool_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See pool_launch; indices are those of an input plane's elements."""
    return pool_launch(True, dtypes, sizes, chip)


@launch_shape("average_pool")
def average_pool_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See pool_launch."""
    return pool_launch(False, dtypes, sizes, chip)
