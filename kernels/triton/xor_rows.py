"""Rows of 64-bit words combined by exclusive or."""

from __future__ import annotations

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


@triton.jit
def xor_rows(out, x, tiles, programs, rows, length, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    for tile in tl.range(tl.program_id(0), tiles, programs):
        row = tile * ROWS + tl.arange(0, ROWS)
        total = tl.zeros([ROWS, COLUMNS], tl.int64)
        for first in tl.range(0, length, COLUMNS, num_stages=2):
            column = first + tl.arange(0, COLUMNS)
            inside = (row < rows)[:, None] & (column < length)[None, :]
            word = tl.load(x + row.to(tl.int64)[:, None] * length + column[None, :], mask=inside, other=0)
            total = total ^ word.to(tl.int64, bitcast=True)
        tl.store(out + row, tl.xor_sum(total, axis=1).to(out.dtype.element_ty), mask=row < rows)


@launch_shape("xor_rows")
def xor_rows_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out [rows], x [rows, length]), of 64-bit elements and dense; `sizes` = (rows, length)."""
    rows, length = sizes
    elements = block_limit(chip, 32, 4096)
    columns = max(16, min(next_power_of_2(length), elements))
    wanted = next_power_of_2(ceil_div(rows, chip.processing_elements))
    block_rows = max(1, min(elements // columns, wanted))
    tiles = ceil_div(rows, block_rows)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "tiles": tile_count(tiles, block_rows)}
    arguments |= {"programs": programs, "rows": rows, "length": length}
    return Launch(xor_rows, (programs, 1, 1), arguments, {"ROWS": block_rows, "COLUMNS": columns})
