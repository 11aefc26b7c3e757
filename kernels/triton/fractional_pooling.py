"""Fractional maximum pooling: windows of one size that begin where a random number of their plane puts them."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    block_limit,
    ceil_div,
    launch_shape,
    next_power_of_2,
    programs_for,
)


@triton.jit
def begin_of(sample, position, size, out_size, kernel, DTYPE: tl.constexpr):
    """As CPU torch computes it, every step in the samples' dtype; the last window ends with the input."""
    last = size - kernel
    share = (last.to(DTYPE) / tl.maximum(out_size - 1, 1).to(DTYPE)).to(DTYPE)
    moved = ((position.to(DTYPE) + sample).to(DTYPE) * share).to(DTYPE).to(tl.int32)
    begin = moved - (sample * share).to(DTYPE).to(tl.int32)
    return tl.where(position == out_size - 1, last, begin)


@triton.jit
def fractional_max_pool(
    out, indices, x, samples, tiles, programs, x_tiles, b_tiles,
    in_d, in_h, in_w, out_d, out_h, out_w, kernel_d, kernel_h, kernel_w,
    SPATIAL: tl.constexpr, COMPUTE: tl.constexpr, B: tl.constexpr, X: tl.constexpr,
):  # fmt: skip
    """A tile is B rows of X results of one depth of a plane. Samples are [planes, SPATIAL]: of two dimensions the
    width's is the first one, of three the depth's."""
    b = tl.arange(0, B)[:, None]
    lane = tl.arange(0, X)[None, :]
    wide = tl.full([], 1, tl.int64)
    zero = tl.full([], 0, tl.int32)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        column = tile % x_tiles * X + lane
        rest = tile // x_tiles
        row = rest % b_tiles * B + b
        rest = rest // b_tiles
        depth = rest % out_d
        plane = rest // out_d * wide
        source = samples + plane * SPATIAL
        if SPATIAL == 2:
            begin_d = zero
            begin_h = begin_of(tl.load(source + 1), row, zero + in_h, zero + out_h, kernel_h, COMPUTE)
            begin_w = begin_of(tl.load(source), column, zero + in_w, zero + out_w, kernel_w, COMPUTE)
        else:
            begin_d = begin_of(tl.load(source), depth, zero + in_d, zero + out_d, kernel_d, COMPUTE)
            begin_h = begin_of(tl.load(source + 1), row, zero + in_h, zero + out_h, kernel_h, COMPUTE)
            begin_w = begin_of(tl.load(source + 2), column, zero + in_w, zero + out_w, kernel_w, COMPUTE)
        inside = (row < out_h) & (column < out_w)
        first = (begin_d * in_h + begin_h) * in_w + begin_w
        best = tl.full([B, X], float("-inf"), COMPUTE)
        place = tl.broadcast_to(first, [B, X])
        for k in tl.range(0, kernel_d * kernel_h * kernel_w):
            kd = k // kernel_w // kernel_h
            kh = k // kernel_w % kernel_h
            index = first + (kd * in_h + kh) * in_w + k % kernel_w
            value = tl.load(x + plane * in_d * in_h * in_w + index, mask=inside, other=float("-inf"))
            better = (value > best) | (value != value)
            best = tl.where(better, value, best)
            place = tl.where(better, index, place)
        target = ((plane * out_d + depth) * out_h + row) * out_w + column
        tl.store(out + target, best, mask=inside)
        tl.store(indices + target, place.to(tl.int64), mask=inside)


@launch_shape("fractional_max_pool")
def fractional_max_pool_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, indices, x, samples), all contiguous; `sizes` = (2 or 3 dimensions, planes, input, output, kernel,
    of three dimensions each)."""
    spatial, planes, *rest = sizes
    out_d, out_h, out_w = rest[3:6]
    limit = block_limit(chip, 64, 1024)
    x = min(next_power_of_2(out_w), limit)
    b = min(next_power_of_2(out_h), limit // x)
    x_tiles, b_tiles = ceil_div(out_w, x), ceil_div(out_h, b)
    tiles = x_tiles * b_tiles * out_d * planes
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "indices": Tensor(1), "x": Tensor(2), "samples": Tensor(3)}
    arguments |= {"tiles": tiles, "programs": programs, "x_tiles": x_tiles, "b_tiles": b_tiles}
    names = [f"{name}_{axis}" for name in ("in", "out", "kernel") for axis in "dhw"]
    arguments |= zip(names, rest, strict=True)
    constexprs = {"SPATIAL": spatial, "COMPUTE": TRITON_DTYPES[dtypes[2]], "B": b, "X": x}
    return Launch(fractional_max_pool, (programs, 1, 1), arguments, constexprs)
