"""Weight normalisation (Salimans and Kingma 2016): w = g * v / |v|, a norm for each slice of v, and its gradients."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    ChipLimits,
    Launch,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    programs_for,
    row_tile,
    tensor_arguments,
)


@triton.jit
def slices_of(tile, slices, slice_stride, stride, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of a tile of slices: (the first one, lanes, which of them there are, columns, offsets of a chunk's elements)."""
    first = tile * tl.full([], ROWS, tl.int64)
    row = tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    offsets = row.to(INDEX)[:, None] * slice_stride + column.to(INDEX) * stride
    return first, row, row < tl.minimum(slices - first, ROWS).to(tl.int32), column, offsets


@triton.jit
def chunk_of(first, start, length, slice_stride, stride, row_mask, column):
    """Of the elements from `start` on of each slice: (where the first one lies, the mask)."""
    place = first * slice_stride + start * tl.full([], 1, tl.int64) * stride
    return place, row_mask[:, None] & (column < length - start)


@triton.jit
def weight_norm_forward(
    w, norms, v, g, tiles, programs, slices, length, slice_stride, stride,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, row, row_mask, column, offsets = slices_of(tile, slices, slice_stride, stride, INDEX, ROWS, COLUMNS)
        squares = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place, mask = chunk_of(first, start, length, slice_stride, stride, row_mask, column)
            values = tl.load(v + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            squares += values * values
        norm = tl.sqrt(tl.sum(squares, axis=1))
        tl.store(norms + first + row, norm.to(norms.dtype.element_ty), mask=row_mask)
        factor = (tl.load(g + first + row, mask=row_mask, other=0.0).to(COMPUTE) / norm)[:, None]
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place, mask = chunk_of(first, start, length, slice_stride, stride, row_mask, column)
            values = tl.load(v + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            tl.store(w + place + offsets, (values * factor).to(w.dtype.element_ty), mask=mask)


@triton.jit
def weight_norm_backward(
    grad_v, grad_g, grad_w, v, g, norms, tiles, programs, slices, length, slice_stride, stride,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, row, row_mask, column, offsets = slices_of(tile, slices, slice_stride, stride, INDEX, ROWS, COLUMNS)
        products = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place, mask = chunk_of(first, start, length, slice_stride, stride, row_mask, column)
            values = tl.load(v + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            products += values * tl.load(grad_w + place + offsets, mask=mask, other=0.0).to(COMPUTE)
        norm = tl.load(norms + first + row, mask=row_mask, other=1.0).to(COMPUTE)
        along = tl.sum(products, axis=1) / norm
        tl.store(grad_g + first + row, along.to(grad_g.dtype.element_ty), mask=row_mask)
        factor = (tl.load(g + first + row, mask=row_mask, other=0.0).to(COMPUTE) / norm)[:, None]
        share = (along / norm)[:, None]
        for start in tl.range(0, length, COLUMNS, num_stages=2):
            place, mask = chunk_of(first, start, length, slice_stride, stride, row_mask, column)
            values = tl.load(v + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            grad = tl.load(grad_w + place + offsets, mask=mask, other=0.0).to(COMPUTE)
            result = factor * (grad - values * share)
            tl.store(grad_v + place + offsets, result.to(grad_v.dtype.element_ty), mask=mask)


def weight_norm_launch(
    kernel: Any, names: tuple[str, ...], dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits
) -> Launch:
    """`sizes` = (slices, length of a slice, stride from slice to slice, stride inside a slice)."""
    slices, length, slice_stride, stride = sizes
    compute = compute_dtype(dtypes[0])
    live = 4 * DTYPE_BYTES[dtypes[0]] + 6 * DTYPE_BYTES[compute]
    rows, columns = row_tile(chip, slices, length, live, DTYPE_BYTES[compute])
    tiles = ceil_div(slices, rows)
    programs, _ = programs_for(chip, tiles)
    arguments = tensor_arguments(names, dtypes)
    arguments |= {"tiles": tiles, "programs": programs, "slices": slices, "length": length}
    arguments |= {"slice_stride": slice_stride, "stride": stride}
    constexprs = {
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype([rows * slice_stride + columns * stride]),
        "ROWS": rows,
        "COLUMNS": columns,
    }
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)


@launch_shape("weight_norm_forward")
def weight_norm_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (w, norms, v, g): w and v with the strides of `sizes`, norms and g [slices]; see weight_norm_launch."""
    return weight_norm_launch(weight_norm_forward, ("w", "norms", "v", "g"), dtypes, sizes, chip)


@launch_shape("weight_norm_backward")
def weight_norm_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_v, grad_g, grad_w, v, g, norms), as weight_norm_forward."""
    names = ("grad_v", "grad_g", "grad_w", "v", "g", "norms")
    return weight_norm_launch(weight_norm_backward, names, dtypes, sizes, chip)
