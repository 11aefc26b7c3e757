"""The second stage of sums over groups of rows: adds contiguous partial sums [groups, length] up over the groups."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Workspace,
    ceil_div,
    next_power_of_2,
    programs_for,
    tile_count,
)


@triton.jit
def column_sum(
    out, partial, tiles, programs, groups, length, COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first = tile * COLUMNS
        inside = column < length - first
        total = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for start in tl.range(0, groups, ROWS, num_stages=2):
            source = partial + start * tl.full([], 1, tl.int64) * length + first
            mask = (row < groups - start) & inside[None, :]
            total += tl.load(source + row * length + column[None, :], mask=mask, other=0.0)
        tl.store(out + first + column, tl.sum(total, axis=0).to(out.dtype.element_ty), mask=inside)


def column_sum_launch(out: Argument, partial: Workspace, groups: int, length: int, chip: ChipLimits) -> Launch:
    """Sums `partial` [groups, length] to `out` [length] in an order that depends on the sizes alone."""
    rows = min(16, next_power_of_2(groups))
    columns = min(next_power_of_2(length), 128)
    tiles = ceil_div(length, columns)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {
        "out": out,
        "partial": partial,
        "tiles": tile_count(tiles, columns),
        "programs": programs,
    }
    arguments |= {"groups": groups, "length": length}
    constexprs = {"COMPUTE": TRITON_DTYPES[partial.dtype], "ROWS": rows, "COLUMNS": columns}
    return Launch(column_sum, (programs, 1, 1), arguments, constexprs)
