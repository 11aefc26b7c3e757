"""Gather and scatter of single elements by up to four index tensors: index, gather, index_put, scatter and their kin.

All of them are one address rule over a box of at most five dimensions (innermost first), in tiles of the innermost one
by all others: a fixed side with one stride a dimension, and an indexed side whose address adds, for each index tensor
k, stride_k * index_k[box position].
More of either is brought down to one dimension and one index tensor by csrc/torch_backend/operators/indexing.cpp.
"""

import math
from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
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
    tile_extent,
)
from mtia_sim_kernels.triton.checks import check_index

MAX_DIMS = 5
MAX_INDICES = 4


@triton.jit
def box_offset(row, n0, n1, n2, s0, s1, s2, s3, NDIM: tl.constexpr):
    """The offset of a row of a box under strides s0 (the innermost dimension of rows, of n0) to s3."""
    if NDIM < 2:
        offset = row.to(tl.int64) * 0
    elif NDIM == 2:
        offset = row.to(tl.int64) * s0
    else:
        offset = (row % n0).to(tl.int64) * s0
        row = row // n0
        if NDIM == 3:
            offset += row.to(tl.int64) * s1
        else:
            offset += (row % n1).to(tl.int64) * s1
            row = row // n1
            if NDIM == 4:
                offset += row.to(tl.int64) * s2
            else:
                offset += (row % n2).to(tl.int64) * s2
                offset += (row // n2).to(tl.int64) * s3
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
def with_lasting_nan(value, MODE: tl.constexpr):
    """Float atomics compare bit patterns by the sign of what they add: of all NaN only the largest pattern lasts in a
    maximum, and only that of ones in a minimum."""
    BITS: tl.constexpr = tl.int64 if value.dtype == tl.float64 else tl.int32
    if MODE == "amin":
        pattern = tl.full([1, 1], -1, BITS)
    elif tl.int64 == BITS:
        pattern = tl.full([1, 1], 0x7FFFFFFFFFFFFFFF, BITS)
    else:
        pattern = tl.full([1, 1], 0x7FFFFFFF, BITS)
    return tl.where(value != value, pattern.to(value.dtype, bitcast=True), value)


@triton.jit
def index_elements(
    fixed, indexed, index0, index1, index2, index3, row_tiles, column_tiles, rows, columns,
    n0, n1, n2,
    f0, f1, f2, f3, f4,
    x0, x1, x2, x3, x4,
    a0, a1, a2, a3, a4, size_a, stride_a, dimension_a,
    b0, b1, b2, b3, b4, size_b, stride_b, dimension_b,
    c0, c1, c2, c3, c4, size_c, stride_c, dimension_c,
    d0, d1, d2, d3, d4, size_d, stride_d, dimension_d,
    NDIM: tl.constexpr, INDICES: tl.constexpr, WRAPS: tl.constexpr, MODE: tl.constexpr,
    BY_ROW: tl.constexpr, UNIT_FIXED: tl.constexpr, UNIT_INDEXED: tl.constexpr, ROWS_FIRST: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Tiles of `rows` (all dimensions but the innermost) by `columns`, the innermost one (f0, x0, a0 ...).

    BY_ROW: the index tensors stand still along the columns. UNIT_FIXED, UNIT_INDEXED: f0 or x0 is 1.
    ROWS_FIRST: a program has rows of tiles, else columns.
    """
    tiles = row_tiles * column_tiles if MODE == "take" else row_tiles if ROWS_FIRST else column_tiles
    for number in range(tl.program_id(0), tiles, tl.num_programs(0)):
        passes = 1 if MODE == "take" else column_tiles if ROWS_FIRST else row_tiles
        for inner in range(passes):
            if MODE == "take":
                row_tile = number // column_tiles
                column_tile = number % column_tiles
            elif ROWS_FIRST:
                row_tile = number
                column_tile = inner
            else:
                row_tile = inner
                column_tile = number
            row = row_tile * ROWS + tl.arange(0, ROWS)
            column = column_tile * COLUMNS + tl.arange(0, COLUMNS)[None, :]
            in_rows = row[:, None] < rows
            inside = in_rows & (column < columns)
            column = column.to(tl.int64)
            along_fixed = column if UNIT_FIXED else column * f0
            along_indexed = column if UNIT_INDEXED else column * x0
            fixed_offset = box_offset(row, n0, n1, n2, f1, f2, f3, f4, NDIM)[:, None] + along_fixed
            offset = box_offset(row, n0, n1, n2, x1, x2, x3, x4, NDIM)[:, None]
            by = tl.zeros([1, 1], tl.int64) if BY_ROW else column
            valid = in_rows if BY_ROW else inside
            position = box_offset(row, n0, n1, n2, a1, a2, a3, a4, NDIM)[:, None] + by * a0
            offset += indexed_offset(index0, position, valid, size_a, stride_a, dimension_a, WRAPS)
            if INDICES > 1:
                position = box_offset(row, n0, n1, n2, b1, b2, b3, b4, NDIM)[:, None] + by * b0
                offset += indexed_offset(index1, position, valid, size_b, stride_b, dimension_b, WRAPS)
            if INDICES > 2:
                position = box_offset(row, n0, n1, n2, c1, c2, c3, c4, NDIM)[:, None] + by * c0
                offset += indexed_offset(index2, position, valid, size_c, stride_c, dimension_c, WRAPS)
            if INDICES > 3:
                position = box_offset(row, n0, n1, n2, d1, d2, d3, d4, NDIM)[:, None] + by * d0
                offset += indexed_offset(index3, position, valid, size_d, stride_d, dimension_d, WRAPS)
            places = indexed + (offset + along_indexed)
            if MODE == "take":
                tl.store(fixed + fixed_offset, tl.load(places, mask=inside), mask=inside)
            else:
                value = tl.load(fixed + fixed_offset, mask=inside)
                if MODE == "put":
                    tl.store(places, value, mask=inside)
                elif MODE == "add":
                    tl.atomic_add(places, value, mask=inside)
                else:
                    if value.dtype.is_floating():
                        value = with_lasting_nan(value, MODE)
                        held = tl.load(places, mask=inside, other=0)
                        tl.store(places, with_lasting_nan(held, MODE), mask=inside & (held != held))
                    if MODE == "amax":
                        tl.atomic_max(places, value, mask=inside)
                    else:
                        tl.atomic_min(places, value, mask=inside)


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
    columns, rows = math.prod(shape[:1]), math.prod(shape[1:])
    arguments: dict[str, Argument] = {"fixed": Tensor(0), "indexed": Tensor(1), "rows": rows, "columns": columns}
    arguments |= named("n", shape[1:], MAX_DIMS - 2, 1) | named("f", fixed, MAX_DIMS, 0)
    arguments |= named("x", indexed, MAX_DIMS, 0)
    by_row = True
    for k, letter in enumerate("abcd"):
        present = k < indices
        strides = take(ndim) if present else []
        by_row = by_row and not any(strides[:1])
        arguments[f"index{k}"] = Tensor(2 + k) if present else None
        arguments |= named(letter, strides, MAX_DIMS, 0)
        numbers = take(3) if present else [1, 0, 0]
        arguments |= zip((f"size_{letter}", f"stride_{letter}", f"dimension_{letter}"), numbers, strict=True)
    # About eight 64-bit tiles are alive at once, or two of the elements where an index is that of a whole row.
    size = DTYPE_BYTES[dtypes[0]]
    elements = block_limit(chip, 4 * size + 16, 65536 // size) if by_row else block_limit(chip, 64 + 16 * indices, 4096)
    block_columns = tile_extent(columns, elements) if columns > 16 else next_power_of_2(columns)
    # Where rows fall into several tiles, a tile has one row: the order of writes is that of the box.
    block_rows = min(elements // block_columns, next_power_of_2(rows)) if columns <= block_columns else 1
    splits_rows, splits_columns = all(indexed[1:]) and ndim > 1, indexed[:1] != [0] and ndim > 0
    row_tiles = ceil_div(rows, block_rows)
    column_tiles = ceil_div(columns, block_columns)
    if mode == "take":
        # Smaller tiles occupy more PEs.
        wanted = ceil_div(chip.processing_elements, row_tiles * column_tiles)
        block_rows = max(1, block_rows // next_power_of_2(wanted))
        row_tiles = ceil_div(rows, block_rows)
        if block_rows == 1 and row_tiles < chip.processing_elements:
            share = ceil_div(columns * row_tiles, chip.processing_elements)
            block_columns = min(block_columns, max(64, next_power_of_2(share)))
            column_tiles = ceil_div(columns, block_columns)
        programs = programs_for(chip, row_tiles * column_tiles)[0]
    elif splits_rows:
        block_rows = max(1, min(block_rows, next_power_of_2(ceil_div(rows, chip.processing_elements))))
        row_tiles = ceil_div(rows, block_rows)
        programs = programs_for(chip, row_tiles)[0]
    elif splits_columns:
        block_columns = min(block_columns, max(64, next_power_of_2(ceil_div(columns, chip.processing_elements))))
        column_tiles = ceil_div(columns, block_columns)
        block_rows = min(elements // block_columns, next_power_of_2(rows))
        programs = programs_for(chip, column_tiles)[0]
    else:
        # Duplicates make the order of writes matter: one program keeps it the same everywhere.
        programs = 1
    arguments |= {"row_tiles": tile_count(row_tiles, block_rows)}
    arguments |= {"column_tiles": tile_count(column_tiles, block_columns)}
    constexprs: dict[str, Any] = {"NDIM": max(ndim, 1), "INDICES": indices, "WRAPS": bool(wraps), "MODE": mode}
    constexprs |= {"UNIT_FIXED": fixed[:1] == [1], "UNIT_INDEXED": indexed[:1] == [1]}
    constexprs |= {"BY_ROW": by_row, "ROWS_FIRST": splits_rows or not splits_columns}
    return Launch(
        index_elements, (programs, 1, 1), arguments, constexprs | {"ROWS": block_rows, "COLUMNS": block_columns}
    )


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
