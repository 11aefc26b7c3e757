"""Gather and scatter of single elements by up to four index tensors: index, gather, index_put, scatter and their kin.

All of them are one address rule over a box of at most five dimensions (innermost first): a fixed side with one stride
a dimension, and an indexed side whose address adds, for each index tensor k, stride_k * index_k[box position].
More of either is brought down to one dimension and one index tensor by csrc/torch_backend/operators/indexing.cpp.
"""

import math
from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    block_limit,
    ceil_div,
    launch_shape,
    next_power_of_2,
    programs_for,
    tile_count,
)
from mtia_sim_kernels.triton.checks import check_index

MAX_DIMS = 5
MAX_INDICES = 4


@triton.jit
def box_offset(linear, n0, n1, n2, n3, s0, s1, s2, s3, s4, NDIM: tl.constexpr):
    """The offset of box position `linear` under strides s0 (innermost) to s4."""
    if NDIM == 1:
        offset = linear.to(tl.int64) * s0
    else:
        offset = (linear % n0).to(tl.int64) * s0
        linear = linear // n0
        if NDIM == 2:
            offset += linear.to(tl.int64) * s1
        else:
            offset += (linear % n1).to(tl.int64) * s1
            linear = linear // n1
            if NDIM == 3:
                offset += linear.to(tl.int64) * s2
            else:
                offset += (linear % n2).to(tl.int64) * s2
                linear = linear // n2
                if NDIM == 4:
                    offset += linear.to(tl.int64) * s3
                else:
                    offset += (linear % n3).to(tl.int64) * s3
                    offset += (linear // n3).to(tl.int64) * s4
    return offset


@triton.jit
def indexed_offset(index, position, inside, size, stride, dimension, WRAPS: tl.constexpr):
    """stride * index[position]; where WRAPS, a negative index counts from the end. One out of range is refused."""
    value = tl.load(index + position, mask=inside, other=0).to(tl.int64)
    if WRAPS:
        check_index(value, -size, size, dimension)
        value = tl.where(value < 0, value + size, value)
    else:
        check_index(value, 0, size, dimension)
    return value * stride


@triton.jit
def index_elements(
    fixed, indexed, index0, index1, index2, index3, count, tiles,
    n0, n1, n2, n3,
    f0, f1, f2, f3, f4,
    x0, x1, x2, x3, x4,
    a0, a1, a2, a3, a4, size_a, stride_a, dimension_a,
    b0, b1, b2, b3, b4, size_b, stride_b, dimension_b,
    c0, c1, c2, c3, c4, size_c, stride_c, dimension_c,
    d0, d1, d2, d3, d4, size_d, stride_d, dimension_d,
    NDIM: tl.constexpr, INDICES: tl.constexpr, WRAPS: tl.constexpr, MODE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        linear = tile * BLOCK + tl.arange(0, BLOCK)
        inside = linear < count
        linear = tl.where(inside, linear, 0)
        fixed_offset = box_offset(linear, n0, n1, n2, n3, f0, f1, f2, f3, f4, NDIM)
        offset = box_offset(linear, n0, n1, n2, n3, x0, x1, x2, x3, x4, NDIM)
        position = box_offset(linear, n0, n1, n2, n3, a0, a1, a2, a3, a4, NDIM)
        offset += indexed_offset(index0, position, inside, size_a, stride_a, dimension_a, WRAPS)
        if INDICES > 1:
            position = box_offset(linear, n0, n1, n2, n3, b0, b1, b2, b3, b4, NDIM)
            offset += indexed_offset(index1, position, inside, size_b, stride_b, dimension_b, WRAPS)
        if INDICES > 2:
            position = box_offset(linear, n0, n1, n2, n3, c0, c1, c2, c3, c4, NDIM)
            offset += indexed_offset(index2, position, inside, size_c, stride_c, dimension_c, WRAPS)
        if INDICES > 3:
            position = box_offset(linear, n0, n1, n2, n3, d0, d1, d2, d3, d4, NDIM)
            offset += indexed_offset(index3, position, inside, size_d, stride_d, dimension_d, WRAPS)
        if MODE == "take":
            tl.store(fixed + fixed_offset, tl.load(indexed + offset, mask=inside), mask=inside)
        else:
            value = tl.load(fixed + fixed_offset, mask=inside)
            if MODE == "put":
                tl.store(indexed + offset, value, mask=inside)
            elif MODE == "add":
                tl.atomic_add(indexed + offset, value, mask=inside)
            elif MODE == "amax":
                tl.atomic_max(indexed + offset, value, mask=inside)
            else:
                tl.atomic_min(indexed + offset, value, mask=inside)


def index_launch(mode: str, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (fixed side, indexed side, index tensors ...).

    sizes: (ndim, number of index tensors, whether negative indices count from the end, shape, strides of the fixed
    side, strides of the indexed side, then for each index tensor its strides, the size of the dimension that it
    indexes, that dimension's stride and its number, for messages): innermost first.
    """
    ndim, indices, wraps = sizes[:3]
    if ndim > MAX_DIMS or indices > MAX_INDICES:
        raise ValueError(
            f"indexing takes {MAX_DIMS} dimensions and {MAX_INDICES} index tensors at most, got {ndim} and {indices}"
        )
    rest = list(sizes[3:])

    def take(count: int) -> list[int]:
        taken, rest[:] = rest[:count], rest[count:]
        return taken

    shape, fixed, indexed = take(ndim), take(ndim), take(ndim)
    count = 1
    for size in shape:
        count *= size
    arguments: dict[str, Argument] = {"fixed": Tensor(0), "indexed": Tensor(1)}
    arguments |= named("n", shape, MAX_DIMS - 1, 1) | named("f", fixed, MAX_DIMS, 0) | named("x", indexed, MAX_DIMS, 0)
    for k, letter in enumerate("abcd"):
        present = k < indices
        arguments[f"index{k}"] = Tensor(2 + k) if present else None
        arguments |= named(letter, take(ndim) if present else [], MAX_DIMS, 0)
        numbers = take(3) if present else [1, 0, 0]
        arguments |= zip((f"size_{letter}", f"stride_{letter}", f"dimension_{letter}"), numbers, strict=True)
    # About eight 64-bit tiles are alive at once.
    block = min(block_limit(chip, 64 + 16 * indices, 2048), next_power_of_2(max(count, 16)))
    tiles = ceil_div(count, block)
    # Duplicates make the order of writes matter: one program keeps it the same everywhere.
    programs = programs_for(chip, tiles)[0] if mode == "take" else 1
    arguments |= {"count": count, "tiles": tile_count(tiles, block)}
    constexprs: dict[str, Any] = {"NDIM": max(ndim, 1), "INDICES": indices, "WRAPS": bool(wraps), "MODE": mode}
    return Launch(index_elements, (programs, 1, 1), arguments, constexprs | {"BLOCK": block})


def named(prefix: str, values: list[int], count: int, fill: int) -> dict[str, Argument]:
    """prefix0, prefix1, ... as arguments, missing ones filled."""
    padded = [*values, *[fill] * count][:count]
    return {f"{prefix}{i}": value for i, value in enumerate(padded)}


@launch_shape("index_take")
def index_take_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """fixed = indexed[...]: see index_launch."""
    return index_launch("take", dtypes, sizes, chip)


@launch_shape("index_put")
def index_put_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """indexed[...] = fixed; of several writes to one element the last in order stays: see index_launch."""
    return index_launch("put", dtypes, sizes, chip)


@launch_shape("index_add")
def index_add_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """indexed[...] += fixed, in order; fp16, bf16, fp32, fp64, i32, i64: see index_launch."""
    return index_launch("add", dtypes, sizes, chip)


@launch_shape("index_amax")
def index_amax_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """indexed[...] = max(indexed[...], fixed); fp32, fp64, i32, i64: see index_launch."""
    return index_launch("amax", dtypes, sizes, chip)


@launch_shape("index_amin")
def index_amin_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """indexed[...] = min(indexed[...], fixed); fp32, fp64, i32, i64: see index_launch."""
    return index_launch("amin", dtypes, sizes, chip)


@triton.jit
def nonzero_coordinates(
    out, flags, places, count, tiles, n0, n1, n2, n3, n4, inner, width, column,
    NDIM: tl.constexpr, OUTERMOST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The coordinates of NDIM dimensions, behind each of which lie `inner` elements; rows of out have `width`."""
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        linear = tile * BLOCK + tl.arange(0, BLOCK)
        inside = linear < count
        hit = inside & (tl.load(flags + linear, mask=inside, other=0) != 0)
        row = (tl.load(places + linear, mask=inside, other=1) - 1) * width + column
        rest = linear // inner
        if NDIM > 1:
            tl.store(out + row + (NDIM - 1), (rest % n0).to(tl.int64), mask=hit)
            rest = rest // n0
        if NDIM > 2:
            tl.store(out + row + (NDIM - 2), (rest % n1).to(tl.int64), mask=hit)
            rest = rest // n1
        if NDIM > 3:
            tl.store(out + row + (NDIM - 3), (rest % n2).to(tl.int64), mask=hit)
            rest = rest // n2
        if NDIM > 4:
            tl.store(out + row + (NDIM - 4), (rest % n3).to(tl.int64), mask=hit)
            rest = rest // n3
        if not OUTERMOST:
            rest = rest % n4
        tl.store(out + row, rest.to(tl.int64), mask=hit)


@launch_shape("nonzero")
def nonzero_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (out i64 [hits, ndim], flags bool [count], places i64: inclusive sums of the flags).

    sizes: the shape, innermost first. A launch writes the coordinates of up to five dimensions.
    """
    ndim = len(sizes)
    count = math.prod(sizes)
    block = min(block_limit(chip, 64, 4096), next_power_of_2(max(count, 16)))
    tiles = ceil_div(count, block)
    programs, _ = programs_for(chip, tiles)
    launches = []
    for first in range(0, ndim, MAX_DIMS):
        group = list(sizes[first : first + MAX_DIMS])
        column = ndim - first - len(group)
        arguments: dict[str, Argument] = {"out": Tensor(0), "flags": Tensor(1), "places": Tensor(2), "count": count}
        # The last of a group has a size of its own: what remains is taken modulo it unless the group is the outermost.
        padded = [*group[:-1], *[1] * (MAX_DIMS - len(group)), group[-1]]
        arguments |= named("n", padded, MAX_DIMS, 1)
        arguments |= {
            "tiles": tile_count(tiles, block),
            "inner": math.prod(sizes[:first]),
            "width": ndim,
            "column": column,
        }
        constexprs = {"NDIM": len(group), "OUTERMOST": column == 0, "BLOCK": block}
        launches.append(Launch(nonzero_coordinates, (programs, 1, 1), arguments, constexprs))
    return launches
