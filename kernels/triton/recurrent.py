"""Cells of LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho et al. 2014) behind their matrix products, in one pass.

The gates of a row lie side by side, `hidden` elements each, in torch's order: input, forget, cell, output for an LSTM;
reset, update, new for a GRU. The forward keeps in a workspace what the backward needs.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    ChipLimits,
    Launch,
    block_limit,
    ceil_div,
    compute_dtype,
    index_dtype,
    launch_shape,
    programs_for,
    tensor_arguments,
    tile_extent,
)
from mtia_sim_kernels.triton.expressions.transcendental import tanh


@triton.jit
def cell_tile(tile, column_tiles, rows, hidden, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of a tile of the state [rows, hidden]: (first row, lanes of rows, columns, columns inside, mask)."""
    first_column = tile % column_tiles * COLUMNS
    first = tile // column_tiles * tl.full([], ROWS, tl.int64)
    row = tl.arange(0, ROWS)[:, None]
    lane = tl.arange(0, COLUMNS)[None, :]
    inside = lane < hidden - first_column
    mask = (row < tl.minimum(rows - first, ROWS).to(tl.int32)) & inside
    return first, row, first_column + lane, inside, mask


@triton.jit
def places(first, row, column, hidden, PARTS: tl.constexpr, INDEX: tl.constexpr):
    """Where the tile lies in rows of PARTS x hidden elements, in the first part."""
    return first * hidden * PARTS + row.to(INDEX) * hidden * PARTS + column


@triton.jit
def loaded(pointer, place, mask, COMPUTE: tl.constexpr):
    return tl.load(pointer + place, mask=mask, other=0.0).to(COMPUTE)


@triton.jit
def gate_sum(
    igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask,
    GATE: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """A gate's two shares: (of the input, of the hidden state), each with its bias."""
    gate = GATE * hidden
    from_input = loaded(igates, gates + gate, mask, COMPUTE)
    from_hidden = loaded(hgates, gates + gate, mask, COMPUTE)
    if input_bias is not None:
        from_input += tl.load(input_bias + gate + column, mask=inside, other=0.0).to(COMPUTE)
    if hidden_bias is not None:
        from_hidden += tl.load(hidden_bias + gate + column, mask=inside, other=0.0).to(COMPUTE)
    return from_input, from_hidden


@triton.jit
def lstm_cell_forward(
    hy, cy, workspace, igates, hgates, cx, input_bias, hidden_bias, tiles, programs, column_tiles, rows, hidden,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """workspace: the four gates behind their functions."""
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, row, column, inside, mask = cell_tile(tile, column_tiles, rows, hidden, ROWS, COLUMNS)
        gates = places(first, row, column, hidden, 4, INDEX)
        state = places(first, row, column, hidden, 1, INDEX)
        dtype = workspace.dtype.element_ty

        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 0, COMPUTE
        )  # fmt: skip
        taken = tl.sigmoid(one + other)
        tl.store(workspace + gates, taken.to(dtype), mask=mask)
        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 1, COMPUTE
        )  # fmt: skip
        kept = tl.sigmoid(one + other)
        tl.store(workspace + gates + hidden, kept.to(dtype), mask=mask)
        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 2, COMPUTE
        )  # fmt: skip
        candidate = tanh(one + other)
        tl.store(workspace + gates + 2 * hidden, candidate.to(dtype), mask=mask)
        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 3, COMPUTE
        )  # fmt: skip
        shown = tl.sigmoid(one + other)
        tl.store(workspace + gates + 3 * hidden, shown.to(dtype), mask=mask)

        cell = kept * loaded(cx, state, mask, COMPUTE) + taken * candidate
        tl.store(cy + state, cell.to(cy.dtype.element_ty), mask=mask)
        tl.store(hy + state, (shown * tanh(cell)).to(hy.dtype.element_ty), mask=mask)


@triton.jit
def lstm_cell_backward(
    grad_gates, grad_cx, grad_hy, grad_cy, cx, cy, workspace, tiles, programs, column_tiles, rows, hidden,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, row, column, _inside, mask = cell_tile(tile, column_tiles, rows, hidden, ROWS, COLUMNS)
        gates = places(first, row, column, hidden, 4, INDEX)
        state = places(first, row, column, hidden, 1, INDEX)
        dtype = grad_gates.dtype.element_ty
        taken = loaded(workspace, gates, mask, COMPUTE)
        kept = loaded(workspace, gates + hidden, mask, COMPUTE)
        candidate = loaded(workspace, gates + 2 * hidden, mask, COMPUTE)
        shown = loaded(workspace, gates + 3 * hidden, mask, COMPUTE)

        grad_cell = tl.zeros([ROWS, COLUMNS], COMPUTE)
        grad_shown = tl.zeros([ROWS, COLUMNS], COMPUTE)
        if grad_hy is not None:
            grad = loaded(grad_hy, state, mask, COMPUTE)
            squashed = tanh(loaded(cy, state, mask, COMPUTE))
            grad_shown = grad * squashed
            grad_cell = grad * shown * (1.0 - squashed * squashed)
        if grad_cy is not None:
            grad_cell += loaded(grad_cy, state, mask, COMPUTE)

        grad = grad_cell * candidate * taken * (1.0 - taken)
        tl.store(grad_gates + gates, grad.to(dtype), mask=mask)
        former = loaded(cx, state, mask, COMPUTE)
        grad = grad_cell * former * kept * (1.0 - kept)
        tl.store(grad_gates + gates + hidden, grad.to(dtype), mask=mask)
        grad = grad_cell * taken * (1.0 - candidate * candidate)
        tl.store(grad_gates + gates + 2 * hidden, grad.to(dtype), mask=mask)
        grad = grad_shown * shown * (1.0 - shown)
        tl.store(grad_gates + gates + 3 * hidden, grad.to(dtype), mask=mask)
        tl.store(grad_cx + state, (grad_cell * kept).to(grad_cx.dtype.element_ty), mask=mask)


@triton.jit
def gru_cell_forward(
    hy, workspace, igates, hgates, hx, input_bias, hidden_bias, tiles, programs, column_tiles, rows, hidden,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """workspace: reset, update and new gate behind their functions, hx, the hidden state's share of the new gate."""
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, row, column, inside, mask = cell_tile(tile, column_tiles, rows, hidden, ROWS, COLUMNS)
        gates = places(first, row, column, hidden, 3, INDEX)
        state = places(first, row, column, hidden, 1, INDEX)
        saved = workspace + places(first, row, column, hidden, 5, INDEX)
        dtype = workspace.dtype.element_ty

        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 0, COMPUTE
        )  # fmt: skip
        reset = tl.sigmoid(one + other)
        tl.store(saved, reset.to(dtype), mask=mask)
        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 1, COMPUTE
        )  # fmt: skip
        update = tl.sigmoid(one + other)
        tl.store(saved + hidden, update.to(dtype), mask=mask)
        one, other = gate_sum(
            igates, hgates, input_bias, hidden_bias, gates, column, hidden, inside, mask, 2, COMPUTE
        )  # fmt: skip
        new = tanh(one + reset * other)
        tl.store(saved + 2 * hidden, new.to(dtype), mask=mask)
        former = loaded(hx, state, mask, COMPUTE)
        tl.store(saved + 3 * hidden, former.to(dtype), mask=mask)
        tl.store(saved + 4 * hidden, other.to(dtype), mask=mask)
        tl.store(hy + state, (new + update * (former - new)).to(hy.dtype.element_ty), mask=mask)


@triton.jit
def gru_cell_backward(
    grad_igates, grad_hgates, grad_hx, grad_hy, workspace, tiles, programs, column_tiles, rows, hidden,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, row, column, _inside, mask = cell_tile(tile, column_tiles, rows, hidden, ROWS, COLUMNS)
        gates = places(first, row, column, hidden, 3, INDEX)
        state = places(first, row, column, hidden, 1, INDEX)
        saved = workspace + places(first, row, column, hidden, 5, INDEX)
        dtype = grad_igates.dtype.element_ty
        reset = loaded(saved, 0, mask, COMPUTE)
        update = loaded(saved, hidden, mask, COMPUTE)
        new = loaded(saved, 2 * hidden, mask, COMPUTE)
        former = loaded(saved, 3 * hidden, mask, COMPUTE)
        share = loaded(saved, 4 * hidden, mask, COMPUTE)
        grad = loaded(grad_hy, state, mask, COMPUTE)

        tl.store(grad_hx + state, (grad * update).to(grad_hx.dtype.element_ty), mask=mask)
        grad_update = (grad * (former - new) * update * (1.0 - update)).to(dtype)
        tl.store(grad_igates + gates + hidden, grad_update, mask=mask)
        tl.store(grad_hgates + gates + hidden, grad_update, mask=mask)
        grad_new = grad * (1.0 - update) * (1.0 - new * new)
        tl.store(grad_igates + gates + 2 * hidden, grad_new.to(dtype), mask=mask)
        tl.store(grad_hgates + gates + 2 * hidden, (grad_new * reset).to(dtype), mask=mask)
        grad_reset = (grad_new * share * reset * (1.0 - reset)).to(dtype)
        tl.store(grad_igates + gates, grad_reset, mask=mask)
        tl.store(grad_hgates + gates, grad_reset, mask=mask)


def cell_launch(
    kernel: Any,
    names: tuple[str, ...],
    moved: int,
    widest_row: int,
    dtypes: tuple[str, ...],
    sizes: tuple[int, ...],
    chip: ChipLimits,
) -> Launch:
    """`sizes` = (rows, hidden); `moved` elements go in or out for each of the state, `widest_row` states a row."""
    rows, hidden = sizes
    compute = compute_dtype(dtypes[0])
    element_bytes = moved * (DTYPE_BYTES[dtypes[0]] + DTYPE_BYTES[compute]) + 8 * DTYPE_BYTES[compute]
    limit = block_limit(chip, element_bytes, 4096)
    block_columns = tile_extent(hidden, limit)
    block_rows = tile_extent(rows, max(1, limit // block_columns))
    column_tiles = ceil_div(hidden, block_columns)
    tiles = ceil_div(rows, block_rows) * column_tiles
    programs, _ = programs_for(chip, tiles)
    arguments = tensor_arguments(names, dtypes)
    arguments |= {"tiles": tiles, "programs": programs, "column_tiles": column_tiles, "rows": rows, "hidden": hidden}
    constexprs = {
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype([block_rows * hidden * widest_row]),
        "ROWS": block_rows,
        "COLUMNS": block_columns,
    }
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)


@launch_shape("lstm_cell_forward")
def lstm_cell_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (hy, cy, workspace, igates, hgates, cx, input bias or none, hidden bias or none), all contiguous.

    `sizes` = (rows, hidden); hy, cy, cx [rows, hidden], gates and workspace [rows, 4 hidden], biases [4 hidden].
    """
    names = ("hy", "cy", "workspace", "igates", "hgates", "cx", "input_bias", "hidden_bias")
    return cell_launch(lstm_cell_forward, names, 15, 4, dtypes, sizes, chip)


@launch_shape("lstm_cell_backward")
def lstm_cell_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_gates, grad_cx, grad_hy or none, grad_cy or none, cx, cy, workspace), as lstm_cell_forward."""
    names = ("grad_gates", "grad_cx", "grad_hy", "grad_cy", "cx", "cy", "workspace")
    return cell_launch(lstm_cell_backward, names, 13, 4, dtypes, sizes, chip)


@launch_shape("gru_cell_forward")
def gru_cell_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (hy, workspace, igates, hgates, hx, input bias or none, hidden bias or none), all contiguous.

    `sizes` = (rows, hidden); hy, hx [rows, hidden], the gates [rows, 3 hidden], the workspace [rows, 5 hidden].
    """
    names = ("hy", "workspace", "igates", "hgates", "hx", "input_bias", "hidden_bias")
    return cell_launch(gru_cell_forward, names, 13, 5, dtypes, sizes, chip)


@launch_shape("gru_cell_backward")
def gru_cell_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (grad_igates, grad_hgates, grad_hx, grad_hy, workspace), as gru_cell_forward."""
    names = ("grad_igates", "grad_hgates", "grad_hx", "grad_hy", "workspace")
    return cell_launch(gru_cell_backward, names, 13, 5, dtypes, sizes, chip)
