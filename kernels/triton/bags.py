"""Reductions of bags: neighbouring items of a list, each a row of a table. Items are named by an index tensor
(embedding_bag) or are rows themselves (segment_reduce)."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    block_limit,
    ceil_div,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    scalar_dtype,
    tensor_arguments,
    tile_count,
    tile_extent,
)
from mtia_sim_kernels.triton.checks import check_row, check_value

MODES = ("sum", "mean", "max", "min", "prod", "argmax")

OFFSET = tl.constexpr("mtia.check_value offset {value} is not within a list of items; give {low} to {high}")
FIRST_OFFSET = tl.constexpr("mtia.check_value the first offset is {value}; let the first bag begin at {low}")


@triton.jit
def reduce_bags(
    out, x, indices, weights, offsets, bag_sizes, places, bag_of, initial, padding, bag_tiles, lane_tiles, programs,
    bags, segments, offset_row, count, rows, x_row, length,
    MODE: tl.constexpr, COMPUTE: tl.constexpr, BAGS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Each program owns bags and takes their items one after the other, in their order."""
    for tile in tl.range(tl.program_id(0), bag_tiles * lane_tiles, programs):
        bag = tile // lane_tiles * BAGS + tl.arange(0, BAGS)
        lane = tile % lane_tiles * COLUMNS + tl.arange(0, COLUMNS)
        in_bags = bag < bags
        in_lanes = (lane < length)[None, :]
        segment = bag % segments
        list_number = (bag // segments).to(tl.int64)
        place = offsets + list_number * offset_row + segment
        begin = tl.load(place, mask=in_bags, other=0).to(tl.int64)
        end = tl.load(place + 1, mask=in_bags & (segment + 1 < offset_row), other=count).to(tl.int64)
        end = tl.where(in_bags, end, 0)
        check_value(begin, 0, count, OFFSET)
        check_value(end, 0, count, OFFSET)
        if bag_of is not None:
            check_value(tl.where(bag == 0, begin, 0), 0, 0, FIRST_OFFSET)
        begin += list_number * count
        items = end + list_number * count - begin
        total = tl.zeros([BAGS, COLUMNS], COMPUTE) + tl.full([], initial, COMPUTE)
        taken = tl.zeros([BAGS], tl.int64)
        if places is not None:
            best = tl.zeros([BAGS, COLUMNS], tl.int64)
        for number in tl.range(0, tl.max(items, axis=0)):
            here = in_bags & (number < items)
            row = begin + number
            if bag_of is not None:
                first = here & (tile % lane_tiles == 0)
                tl.store(bag_of + row, bag.to(bag_of.dtype.element_ty), mask=first)
            if weights is not None:
                weight = tl.load(weights + row, mask=here, other=0).to(COMPUTE)[:, None]
            if indices is not None:
                row = tl.load(indices + row, mask=here, other=0).to(tl.int64)
                check_row(row, rows)
                here = here & (row != padding)
            valid = here[:, None] & in_lanes
            value = tl.load(x + (row * x_row)[:, None] + lane[None, :], mask=valid, other=0).to(COMPUTE)
            if weights is not None:
                value = value * weight
            if MODE == "sum" or MODE == "mean":
                total = tl.where(valid, total + value, total)
            elif MODE == "prod":
                total = tl.where(valid, total * value, total)
            else:
                if MODE == "min":
                    better = (value < total) | (value != value)
                elif MODE == "max":
                    better = (value > total) | (value != value)
                else:
                    better = (value > total) | (taken == 0)[:, None]
                better = better & valid
                total = tl.where(better, value, total)
                if places is not None:
                    best = tl.where(better, row[:, None], best)
            taken += here.to(tl.int64)
        if MODE == "mean":
            total = tl.where((taken > 0)[:, None], total / tl.maximum(taken, 1).to(COMPUTE)[:, None], total)
        target = bag.to(tl.int64)[:, None] * length + lane[None, :]
        inside = in_bags[:, None] & in_lanes
        tl.store(out + target, total.to(out.dtype.element_ty), mask=inside)
        if places is not None:
            tl.store(places + target, best.to(places.dtype.element_ty), mask=inside)
        if bag_sizes is not None:
            tl.store(bag_sizes + bag, taken.to(bag_sizes.dtype.element_ty), mask=in_bags & (tile % lane_tiles == 0))


@triton.jit
def bag_weight_gradient(
    out, grad, x, indices, bag_of, padding, tiles, programs, count, rows, grad_row, x_row, length,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out[i] = the product of grad's row bag_of[i] and x's row indices[i]; 0 of the padding and without a bag."""
    for tile in tl.range(tl.program_id(0), tiles, programs):
        item = tile * ROWS + tl.arange(0, ROWS)
        inside = item < count
        row = tl.load(indices + item, mask=inside, other=0).to(tl.int64)
        check_row(tl.where(row != padding, row, 0), rows)
        bag = tl.load(bag_of + item, mask=inside, other=0).to(tl.int64)
        here = (inside & (row != padding) & (bag >= 0))[:, None]
        total = tl.zeros([ROWS], COMPUTE)
        for first in tl.range(0, length, COLUMNS):
            lane = first + tl.arange(0, COLUMNS)
            valid = here & (lane < length)[None, :]
            g = tl.load(grad + (bag * grad_row)[:, None] + lane[None, :], mask=valid, other=0).to(COMPUTE)
            v = tl.load(x + (row * x_row)[:, None] + lane[None, :], mask=valid, other=0).to(COMPUTE)
            total += tl.sum(g * v, axis=1)
        tl.store(out + item, total.to(out.dtype.element_ty), mask=inside)


@launch_shape("reduce_bags")
def reduce_bags_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x, indices or none, weights of items or none, offsets, sizes of bags or none, places or none, bag
    of each item or none), scalars (initial value, index that counts for nothing).

    `sizes` = (mode by its place in MODES, bags, segments a list, offsets a list, items a list, rows of x, x's row
    stride, length of a row). An offset that a list lacks is its end. out and places are [bags, length], dense.
    """
    mode, bags, segments, offset_row, count, rows, x_row, length = sizes
    compute = compute_dtype(dtypes[1])
    size = DTYPE_BYTES[compute]
    elements = block_limit(chip, 6 * size + 24, 4096)
    columns = tile_extent(length, elements) if length > 16 else next_power_of_2(length)
    lane_tiles = ceil_div(length, columns)
    wanted = next_power_of_2(ceil_div(bags * lane_tiles, chip.processing_elements))
    block_bags = max(1, min(elements // columns, wanted, 256))
    bag_tiles = ceil_div(bags, block_bags)
    programs, _ = programs_for(chip, bag_tiles * lane_tiles)
    names = ("out", "x", "indices", "weights", "offsets", "bag_sizes", "places", "bag_of")
    arguments: dict[str, Argument] = tensor_arguments(names, dtypes)
    arguments |= {"initial": Scalar(0, scalar_dtype(compute)), "padding": Scalar(1, "i64")}
    arguments |= {"bag_tiles": tile_count(bag_tiles, block_bags), "lane_tiles": tile_count(lane_tiles, columns)}
    arguments |= {"programs": programs, "bags": bags, "segments": segments, "offset_row": offset_row}
    arguments |= {"count": count, "rows": rows, "x_row": x_row, "length": length}
    constexprs = {"MODE": MODES[mode], "COMPUTE": TRITON_DTYPES[compute], "BAGS": block_bags, "COLUMNS": columns}
    return Launch(reduce_bags, (programs, 1, 1), arguments, constexprs)


@launch_shape("bag_weight_gradient")
def bag_weight_gradient_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, grad, x, indices, bag of each item), scalars (index that counts for nothing).

    `sizes` = (items, rows of x, grad's row stride, x's row stride, length of a row).
    """
    count, rows, grad_row, x_row, length = sizes
    compute = compute_dtype(dtypes[1])
    # The columns of a tile set the order of a sum, so they are the same on every chip.
    columns = min(next_power_of_2(length), 1024)
    wanted = next_power_of_2(ceil_div(count, chip.processing_elements))
    block_rows = max(1, min(4096 // columns, wanted, 256))
    tiles = ceil_div(count, block_rows)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "grad": Tensor(1), "x": Tensor(2), "indices": Tensor(3)}
    arguments |= {"bag_of": Tensor(4), "padding": Scalar(0, "i64"), "tiles": tile_count(tiles, block_rows)}
    arguments |= {"programs": programs, "count": count, "rows": rows, "grad_row": grad_row, "x_row": x_row}
    constexprs = {"COMPUTE": TRITON_DTYPES[compute], "ROWS": block_rows, "COLUMNS": columns}
    return Launch(bag_weight_gradient, (programs, 1, 1), arguments | {"length": length}, constexprs)
