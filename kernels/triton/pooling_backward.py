"""Gradients of average pooling, and the sum of columns that overlap (col2im): a position takes what its windows have.

With h + padding = q * stride + r, the windows that hold h begin at multiples of the stride below: of window q - i it is
element r + i * stride. So a tile has one r of the rows for all its q, and along a row of positions q takes as many
lanes as there are r, which lie side by side in memory. Of channels-last tensors a tile has one r along both.
"""

from __future__ import annotations

from dataclasses import replace

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
)
from mtia_sim_kernels.triton.pooling import Windows, averaged, tile_of, window_of


@triton.jit
def sum_of_windows(
    out, x, tiles, programs, x_tiles, b_tiles, a_tiles, rows_r, columns_r, a_size, channels_size,
    in_d, in_h, in_w, out_d, out_h, out_w, kernel_d, kernel_h, kernel_w, stride_d, stride_h, stride_w,
    pad_d, pad_h, pad_w,
    COLUMNS: tl.constexpr, DIVISOR: tl.constexpr, WITH_PADDING: tl.constexpr, LAST: tl.constexpr,
    COMPUTE: tl.constexpr,
    A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, S: tl.constexpr, FLAT: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """`in` is what is written, `out` the windows that are read. COLUMNS: x is [planes, window, windows], the columns of
    im2col; else a number for each window. C columns of S lanes, stride_w of which count; channels last, C channels.
    FLAT: all lanes count. EVEN: the stride divides the window's row."""
    X: tl.constexpr = C * S
    a = tl.arange(0, A)[:, None, None]
    b = tl.arange(0, B)[None, :, None]
    lane = tl.arange(0, X)[None, None, :]
    a4 = tl.arange(0, A)[:, None, None, None]
    b4 = tl.arange(0, B)[None, :, None, None]
    c4 = tl.arange(0, C)[None, None, :, None]
    s4 = tl.arange(0, S)[None, None, None, :]
    in_column = tl.full([], 1, tl.int64) * (channels_size if LAST else 1)
    in_row = in_column * in_w
    in_plane = in_row * in_h * in_d
    out_column = in_column
    out_row = out_column * out_w
    out_plane = out_row * out_h * out_d
    for tile in tl.range(tl.program_id(0), tiles, programs):
        tx = tile % x_tiles
        rest = tile // x_tiles
        tb = rest % b_tiles
        rest = rest // b_tiles
        column_r = rest % columns_r
        rest = rest // columns_r
        row_r = rest % rows_r
        rest = rest // rows_r
        ta = rest % a_tiles
        rest = rest // a_tiles
        depth = rest % in_d
        outer = rest // in_d
        row_q = ta * A if LAST else tb * B
        column_q = tb * B if LAST else tx * C
        depth_r = (depth + pad_d) % stride_d
        depth_q = (depth + pad_d) // stride_d
        # Windows that a position of these remainders is in; along a row of lanes, those of the lane that is in most.
        deep = tl.cdiv(kernel_d - depth_r, stride_d)
        high = tl.cdiv(kernel_h - row_r, stride_h)
        broad = tl.cdiv(kernel_w - column_r, stride_w)
        sums = tl.zeros([A, B, C, S], COMPUTE)
        for k in tl.range(0, tl.maximum(deep, 0) * tl.maximum(high, 0) * tl.maximum(broad, 0), num_stages=2):
            j = k % broad
            i = k // broad % high
            m = k // broad // high
            od = depth_q - m
            oh = row_q - i
            ow = column_q - j
            inside = (od >= 0) & (od < out_d)
            if LAST:
                inside = inside & (a4 >= -oh) & (a4 < out_h - oh) & (b4 >= -ow) & (b4 < out_w - ow)
                inside = inside & (c4 < channels_size - tx * C)
                base = ((outer * out_d + od) * out_h + oh) * out_row + ow * out_column + tx * C
                steps = a4 * out_row + b4 * out_column + c4
            else:
                inside = inside & (a4 < a_size - ta * A) & (b4 >= -oh) & (b4 < out_h - oh)
                inside = inside & (c4 >= -ow) & (c4 < out_w - ow)
                base = (od * out_h + oh) * out_row + ow
                steps = b4 * out_row + c4
                if COLUMNS:
                    along = (row_r + i * stride_h) * kernel_w + j * stride_w
                    base += (ta * A * kernel_h * kernel_w + along) * out_plane
                    steps += a4 * (kernel_h * kernel_w * out_plane) + s4 * out_plane
                    inside = inside & (s4 < tl.minimum(kernel_w - j * stride_w, stride_w))
                else:
                    base += ta * A * out_plane
                    steps += a4 * out_plane
            value = tl.load(x + base + steps, mask=inside, other=0).to(COMPUTE)
            if not COLUMNS:
                begin_d, _ = window_of(od, in_d, out_d, kernel_d, stride_d, pad_d, False)
                begin_h, _ = window_of(oh + (a4 if LAST else b4), in_h, out_h, kernel_h, stride_h, pad_h, False)
                begin_w, _ = window_of(ow + (b4 if LAST else c4), in_w, out_w, kernel_w, stride_w, pad_w, False)
                value = averaged(
                    value, begin_d, begin_h, begin_w, kernel_d, kernel_h, kernel_w, in_d, in_h, in_w,
                    pad_d, pad_h, pad_w, DIVISOR, WITH_PADDING, COMPUTE,
                )  # fmt: skip
                if not EVEN and not LAST:
                    value = tl.where(s4 < kernel_w - j * stride_w, value, tl.full([], 0, COMPUTE))
            sums += value
        result = tl.reshape(sums, [A, B, X]).to(out.dtype.element_ty)
        h = row_q * stride_h + row_r - pad_h
        w = column_q * stride_w + column_r - pad_w
        row = a if LAST else b
        valid = (row >= tl.cdiv(-h, stride_h)) & (row < tl.cdiv(in_h - h, stride_h))
        if LAST:
            valid = valid & (b >= tl.cdiv(-w, stride_w)) & (b < tl.cdiv(in_w - w, stride_w))
            valid = valid & (lane < channels_size - tx * C)
            target = ((outer * in_d + depth) * in_h + h) * in_row + w * in_column + tx * C
            steps = a * (stride_h * in_row) + b * (stride_w * in_column) + lane
        else:
            if FLAT:
                along = lane
                valid = valid & (lane >= -w) & (lane < in_w - w)
            else:
                along = lane // S * stride_w + lane % S
                valid = valid & (lane % S < stride_w) & (along >= -w) & (along < in_w - w)
            valid = valid & (a < a_size - ta * A)
            target = ta * A * in_plane + (depth * in_h + h) * in_row + w
            steps = a * in_plane + b * (stride_h * in_row) + along
        tl.store(out + target + steps, result, mask=valid)


@triton.jit
def adaptive_average_backward(
    out, x, tiles, programs, x_tiles, planes, in_d, in_h, in_w, out_d, out_h, out_w, deep, high,
    COMPUTE: tl.constexpr, A: tl.constexpr, X: tl.constexpr,
):  # fmt: skip
    """A tile is of one row of A planes: each window that reaches it has one number a plane, and some of the columns."""
    plane = tl.arange(0, A)[:, None]
    lane = tl.arange(0, X)[None, :]
    wide = tl.full([], 1, tl.int64)
    in_plane = wide * in_d * in_h * in_w
    out_plane = wide * out_d * out_h * out_w
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile % x_tiles * X
        rest = tile // x_tiles
        h = rest % in_h
        rest = rest // in_h
        d = rest % in_d
        plane0 = rest // in_d * A
        in_planes = plane < planes - plane0
        first_d = (d * wide * out_d // in_d).to(tl.int32)
        first_h = (h * wide * out_h // in_h).to(tl.int32)
        first_w = (first * wide * out_w // in_w).to(tl.int32)
        last_w = tl.cdiv(tl.minimum(first + X, in_w) * wide * out_w, in_w)
        columns = tl.minimum(last_w, out_w).to(tl.int32) - first_w
        sums = tl.zeros([A, X], COMPUTE)
        for k in tl.range(0, deep * high * columns, num_stages=2):
            od = first_d + k // columns // high
            oh = first_h + k // columns % high
            ow = first_w + k % columns
            begin_d, long_d = window_of(od, in_d, out_d, 1, 1, 0, True)
            begin_h, long_h = window_of(oh, in_h, out_h, 1, 1, 0, True)
            begin_w, long_w = window_of(ow, in_w, out_w, 1, 1, 0, True)
            inside = in_planes & (od < out_d) & (begin_d <= d) & (oh < out_h) & (begin_h <= h)
            base = plane0 * out_plane + (od * out_h + oh) * wide * out_w + ow
            value = tl.load(x + base + plane * out_plane, mask=inside, other=0).to(COMPUTE)
            value = value / (long_d * long_h * long_w).to(COMPUTE)
            sums += tl.where((lane >= begin_w - first) & (lane < begin_w + long_w - first), value, 0.0)
        target = plane0 * in_plane + (d * in_h + h) * wide * in_w + first
        steps = plane * in_plane + lane
        tl.store(out + target + steps, sums.to(out.dtype.element_ty), mask=in_planes & (lane < in_w - first))


def adaptive_launch(windows: Windows, dtypes: tuple[str, ...], chip: ChipLimits) -> Launch:
    compute = compute_dtype(dtypes[2])
    in_d, in_h, in_w = windows.size
    limit = block_limit(chip, 6 * DTYPE_BYTES[compute], 4096)
    x, _, a = tile_of(chip, limit, in_w, 1, windows.outers, in_d * in_h)
    x_tiles, a_tiles = ceil_div(in_w, x), ceil_div(windows.outers, a)
    tiles = x_tiles * in_h * in_d * a_tiles
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(2), "tiles": tiles, "programs": programs}
    arguments |= {"x_tiles": x_tiles, "planes": windows.outers}
    sizes = windows.arguments("in", "out")
    for name, size, out in zip(("deep", "high"), windows.size, windows.out, strict=False):
        # Windows that hold a position.
        sizes[name] = 1 if size % out == 0 else ceil_div(out, size) + 1
    constexprs = {"COMPUTE": TRITON_DTYPES[compute], "A": a, "X": x}
    return Launch(adaptive_average_backward, (programs, 1, 1), arguments | sizes, constexprs)


def windows_launch(
    windows: Windows, columns: bool, average: tuple[int, int], dtypes: tuple[str, ...], chip: ChipLimits
) -> Launch:
    compute = compute_dtype(dtypes[2])
    last = windows.channels != 0
    # One window alone has any stride.
    stride = tuple(k if o == 1 else s for k, o, s in zip(windows.kernel, windows.out, windows.stride, strict=True))
    windows = replace(windows, stride=stride)
    _, stride_h, stride_w = stride
    in_d, in_h, in_w = windows.size
    s = 1 if last else next_power_of_2(stride_w)
    quotients_h = ceil_div(in_h + windows.padding[1], stride_h)
    quotients_w = ceil_div(in_w + windows.padding[2], stride_w)
    element_bytes = 2 * DTYPE_BYTES[dtypes[2]] + 4 * DTYPE_BYTES[compute] + DTYPE_BYTES[dtypes[0]]
    limit = max(1, block_limit(chip, element_bytes, 8192) // s)
    if last:
        whole = windows.outers * in_d * stride_h * stride_w
        c, b, a = tile_of(chip, limit, windows.channels, quotients_w, quotients_h, whole)
    else:
        c, b, a = tile_of(chip, limit, quotients_w, quotients_h, windows.outers, in_d * stride_h)
    x_tiles = ceil_div(windows.channels if last else quotients_w, c)
    b_tiles = ceil_div(quotients_w if last else quotients_h, b)
    a_tiles = ceil_div(quotients_h if last else windows.outers, a)
    columns_r = stride_w if last else 1
    tiles = x_tiles * b_tiles * columns_r * stride_h * a_tiles * in_d * (windows.outers if last else 1)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(2), "tiles": tiles, "programs": programs}
    arguments |= {"x_tiles": x_tiles, "b_tiles": b_tiles, "a_tiles": a_tiles}
    arguments |= {"rows_r": stride_h, "columns_r": columns_r}
    arguments |= {"a_size": quotients_h if last else windows.outers, "channels_size": max(1, windows.channels)}
    constexprs = {
        "COLUMNS": columns,
        "DIVISOR": average[1],
        "WITH_PADDING": bool(average[0]),
        "LAST": last,
        "COMPUTE": TRITON_DTYPES[compute],
        "A": a,
        "B": b,
        "C": c,
        "S": s,
        "FLAT": s == stride_w,
        "EVEN": windows.kernel[2] % stride_w == 0,
    }
    arguments |= windows.arguments("in", "out", "kernel", "stride", "pad")
    return Launch(sum_of_windows, (programs, 1, 1), arguments, constexprs)


@launch_shape("average_pool_backward")
def average_pool_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_input, none, grad_output); `sizes` as for average_pool."""
    windows = Windows.of(sizes)
    if windows.adaptive:
        return adaptive_launch(windows, dtypes, chip)
    return windows_launch(windows, False, (sizes[21], sizes[22]), dtypes, chip)


@launch_shape("columns_to_image")
def columns_to_image_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, none, columns [planes, window, windows]); `sizes` as Windows, dilation 1, of two dimensions."""
    return windows_launch(Windows.of(sizes), True, (0, 1), dtypes, chip)
