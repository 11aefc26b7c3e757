"""Tensors that are made of their indices alone: arange and linspace."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    FLOATS,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    ceil_div,
    launch_shape,
    next_power_of_2,
    programs_for,
)


@triton.jit
def arange(out, start, step, elements, tiles, programs, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """out[i] = start + i * step, in float64 for floating dtypes, as CPU torch computes it."""
    lane = tl.arange(0, BLOCK)
    first = tl.full([], start, COMPUTE)
    stride = tl.full([], step, COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        begin = tile * tl.full([], BLOCK, tl.int64)
        value = first + (begin + lane).to(COMPUTE) * stride
        mask = lane < tl.minimum(elements - begin, BLOCK).to(tl.int32)
        tl.store(out + begin + lane, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def linspace(out, start, end, step, elements, tiles, programs, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """From both ends towards the middle, so that both are exact."""
    lane = tl.arange(0, BLOCK)
    first = tl.full([], start, COMPUTE)
    last = tl.full([], end, COMPUTE)
    stride = tl.full([], step, COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        begin = tile * tl.full([], BLOCK, tl.int64)
        index = begin + lane
        rising = first + index.to(COMPUTE) * stride
        falling = last - (elements - 1 - index).to(COMPUTE) * stride
        value = tl.where(index < elements // 2, rising, falling)
        mask = lane < tl.minimum(elements - begin, BLOCK).to(tl.int32)
        tl.store(out + begin + lane, value.to(out.dtype.element_ty), mask=mask)


def range_launch(
    kernel: object, scalars: tuple[str, ...], dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits
) -> Launch:
    (elements,) = sizes
    floating = dtypes[0] in FLOATS
    block = min(2048, max(128, next_power_of_2(elements)))
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "elements": elements, "tiles": tiles, "programs": programs}
    for i, name in enumerate(scalars):
        arguments[name] = Scalar(i, "fp64" if floating else "i64")
    constexprs = {"COMPUTE": tl.float64 if floating else tl.int64, "BLOCK": block}
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)


@launch_shape("arange")
def arange_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (contiguous out,), scalars (start, step): int64 for integers, else double; `sizes` = (elements,)."""
    return range_launch(arange, ("start", "step"), dtypes, sizes, chip)


@launch_shape("linspace")
def linspace_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out,), contiguous, floating; scalars (start, end, step), doubles; `sizes` = (elements,)."""
    return range_launch(linspace, ("start", "end", "step"), dtypes, sizes, chip)
