"""SwiGLU (Shazeer 2020): silu(gate) * up, forward and both gradients, in one pass each."""

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
    index_dtype,
    launch_shape,
    programs_for,
    tile_count,
    tile_extent,
)


@triton.jit
def swiglu_forward(
    out, gate, up, tiles, programs, column_tiles, rows, columns, gate_row, up_row,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first_column = tile % column_tiles * COLUMNS
        first = tile // column_tiles * tl.full([], ROWS, tl.int64)
        mask = (row < tl.minimum(rows - first, ROWS).to(tl.int32)) & (column < columns - first_column)
        place = gate + first * gate_row + first_column
        gated = tl.load(place + row.to(INDEX) * gate_row + column, mask=mask, other=0.0).to(COMPUTE)
        place = up + first * up_row + first_column
        value = tl.load(place + row.to(INDEX) * up_row + column, mask=mask, other=0.0).to(COMPUTE)
        result = (gated * tl.sigmoid(gated) * value).to(out.dtype.element_ty)
        tl.store(out + first * columns + first_column + row.to(INDEX) * columns + column, result, mask=mask)


@triton.jit
def swiglu_backward(
    grad_gate, grad_up, grad_out, gate, up, tiles, programs, column_tiles, rows, columns,
    grad_row, gate_row, up_row, grad_gate_row, grad_up_row,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first_column = tile % column_tiles * COLUMNS
        first = tile // column_tiles * tl.full([], ROWS, tl.int64)
        mask = (row < tl.minimum(rows - first, ROWS).to(tl.int32)) & (column < columns - first_column)
        place = gate + first * gate_row + first_column
        gated = tl.load(place + row.to(INDEX) * gate_row + column, mask=mask, other=0.0).to(COMPUTE)
        place = up + first * up_row + first_column
        value = tl.load(place + row.to(INDEX) * up_row + column, mask=mask, other=0.0).to(COMPUTE)
        place = grad_out + first * grad_row + first_column
        grad = tl.load(place + row.to(INDEX) * grad_row + column, mask=mask, other=0.0).to(COMPUTE)
        sigmoid = tl.sigmoid(gated)
        silu = gated * sigmoid
        place = grad_up + first * grad_up_row + first_column
        tl.store(place + row.to(INDEX) * grad_up_row + column, (grad * silu).to(grad_up.dtype.element_ty), mask=mask)
        result = grad * value * (sigmoid + silu * (1.0 - sigmoid))
        place = grad_gate + first * grad_gate_row + first_column
        tl.store(place + row.to(INDEX) * grad_gate_row + column, result.to(grad_gate.dtype.element_ty), mask=mask)


def swiglu_launch(
    kernel: object,
    names: tuple[str, ...],
    strides: dict[str, int],
    dtypes: tuple[str, ...],
    shape: tuple[int, ...],
    chip: ChipLimits,
) -> Launch:
    rows, columns = shape
    compute = compute_dtype(dtypes[-1])
    element_bytes = sum(2 * DTYPE_BYTES[dtype] for dtype in dtypes) + 6 * DTYPE_BYTES[compute]
    limit = block_limit(chip, element_bytes, 8192, rows * columns)
    block_columns = tile_extent(columns, limit)
    block_rows = tile_extent(rows, max(1, limit // block_columns))
    column_tiles = ceil_div(columns, block_columns)
    tiles = ceil_div(rows, block_rows) * column_tiles
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {name: Tensor(i) for i, name in enumerate(names)}
    arguments |= {
        "tiles": tiles,
        "programs": programs,
        "column_tiles": tile_count(column_tiles, block_columns),
        "rows": rows,
        "columns": columns,
    }
    arguments |= strides
    constexprs = {
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype([block_rows * stride for stride in (columns, *strides.values())]),
        "ROWS": block_rows,
        "COLUMNS": block_columns,
    }
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)


@launch_shape("swiglu_forward")
def swiglu_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, gate, up); `sizes` = (rows, columns, row strides of gate and up); out contiguous."""
    strides = {"gate_row": sizes[2], "up_row": sizes[3]}
    return swiglu_launch(swiglu_forward, ("out", "gate", "up"), strides, dtypes, sizes[:2], chip)


@launch_shape("swiglu_backward")
def swiglu_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_gate, grad_up, grad_out, gate, up).

    `sizes` = (rows, columns, row strides of grad_out, gate, up, grad_gate, grad_up): the halves of one tensor will do.
    """
    names = ("grad_row", "gate_row", "up_row", "grad_gate_row", "grad_up_row")
    strides = dict(zip(names, sizes[2:], strict=True))
    tensors = ("grad_gate", "grad_up", "grad_out", "gate", "up")
    return swiglu_launch(swiglu_backward, tensors, strides, dtypes, sizes[:2], chip)
