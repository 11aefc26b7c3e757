"""Products with integer operands: int8 with int8, and floats with weights of 8 or 4 bits, which are widened in local
memory, so that DRAM carries them narrow. All weights are [n, k], as a linear layer has them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    ceil_div,
    index_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
    tile_count,
)

#: Values of k in a block. The same on every chip, so that sums have one order.
DEPTH = 128
#: Columns of a block, and rows where there are as many.
EXTENT = 64


@triton.jit
def unpacked(pair):
    """Two weights a byte, the first in the upper half: unsigned numbers of 4 bits, of which 8 stands for 0."""
    upper = (pair >> 4).to(tl.int8) - 8
    lower = (pair & 15).to(tl.int8) - 8
    return tl.interleave(upper, lower)


@triton.jit
def quantised_product(
    out, x, weight, scales, tiles, programs, row_tiles, m, n, k, out_row, x_row, weight_row, group,
    PACKED: tl.constexpr, WIDE: tl.constexpr, INDEX: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """out[i][j] = scales[j] * sum over p of x[i][p] * weight[j][p], or without scales their plain sum. Where PACKED, a
    group of weights has a scale and what is added to them: scales[p // group][j] = (scale, shift)."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)
    depth = tl.arange(0, DEPTH)[None, :]
    half = tl.arange(0, DEPTH // 2)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first_row = tile % row_tiles * ROWS
        first_column = tile // row_tiles * COLUMNS
        there = column < n - first_column
        source = x + first_row * tl.full([], 1, tl.int64) * x_row
        weights = weight + first_column * tl.full([], 1, tl.int64) * weight_row
        total = tl.zeros([ROWS, COLUMNS], dtype=WIDE)
        for begin in tl.range(0, k, DEPTH, num_stages=2):
            left = tl.load(
                source + begin + row.to(INDEX) * x_row + depth,
                mask=(row < m - first_row) & (depth < k - begin),
                other=0,
            )
            if PACKED:
                pairs = tl.load(
                    weights + begin // 2 + column[:, None].to(INDEX) * weight_row + half,
                    mask=there[:, None] & (half < (k - begin) // 2),
                    other=0,
                )
                facts = scales + (begin // group * n + first_column + column) * 2
                scale = tl.load(facts, mask=there, other=0.0).to(tl.float32)[:, None]
                shift = tl.load(facts + 1, mask=there, other=0.0).to(tl.float32)[:, None]
                right = (unpacked(pairs).to(tl.float32) * scale + shift).to(left.dtype)
            else:
                right = tl.load(
                    weights + begin + column[:, None].to(INDEX) * weight_row + depth,
                    mask=there[:, None] & (depth < k - begin),
                    other=0,
                ).to(left.dtype)
            total = tl.dot(left, tl.trans(right), total, input_precision="ieee", out_dtype=WIDE)
        if scales is not None:
            if not PACKED:
                factor = tl.load(scales + first_column + column, mask=there, other=0.0).to(tl.float32)
                total *= factor[None, :]
        target = out + first_row * tl.full([], 1, tl.int64) * out_row + first_column
        tl.store(
            target + row.to(INDEX) * out_row + column[None, :],
            total.to(out.dtype.element_ty),
            mask=(row < m - first_row) & there[None, :],
        )


def columns_of(chip: ChipLimits, n: int, row_tiles: int) -> int:
    """Columns of a block: fewer where each PE would not get one."""
    columns = EXTENT
    while columns > 16 and ceil_div(n, columns) * row_tiles < chip.processing_elements:
        columns //= 2
    return columns


def product_launch(packed: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x, weight, scales or none), innermost strides 1; no scalars.

    `sizes` = (m, n, k, the rows' strides of out, x and weight, k of a group: 0 where the weights have none).
    """
    m, n, k, out_row, x_row, weight_row, group = sizes
    depth = min(DEPTH, group) if packed else DEPTH
    rows = min(EXTENT, max(16, next_power_of_2(m)))
    row_tiles = ceil_div(m, rows)
    columns = columns_of(chip, n, row_tiles)
    tiles = row_tiles * ceil_div(n, columns)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "weight": Tensor(2)}
    arguments |= {"scales": None if dtypes[3] == "none" else Tensor(3)}
    arguments |= {"tiles": tiles, "programs": programs, "row_tiles": tile_count(row_tiles, rows)}
    arguments |= {"m": m, "n": n, "k": k, "group": group}
    arguments |= {"out_row": out_row, "x_row": x_row, "weight_row": weight_row}
    constexprs = {
        "PACKED": packed,
        "WIDE": TRITON_DTYPES["i32" if dtypes[1] == "i8" else "fp32"],
        "INDEX": index_dtype([rows * out_row, rows * x_row + depth, columns * weight_row + depth]),
        "ROWS": rows,
        "COLUMNS": columns,
        "DEPTH": depth,
    }
    return Launch(quantised_product, (programs, 1, 1), arguments, constexprs)


@launch_shape("int8_product")
def int8_product_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See product_launch: x is int8 and out int32, or x and out are floats."""
    return product_launch(False, dtypes, sizes, chip)


@launch_shape("int4_product")
def int4_product_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See product_launch: two weights a byte, so that weight's stride is in bytes; groups of 32 and more."""
    return product_launch(True, dtypes, sizes, chip)
