"""Rotary position embedding (Su et al. 2021) of pairs that lie half a head apart or side by side; its own backward."""

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
    next_power_of_2,
    programs_for,
    tile_count,
)


@triton.jit
def rotary(
    out, x, cosine, sine, tiles, programs, row_tiles, heads, length, half, step, second, table_second,
    x_batch, x_head, x_row, out_batch, out_head, out_row, table_batch, table_row,
    INVERSE: tl.constexpr, COMPUTE: tl.constexpr, INDEX: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Pair i of a row is its elements i * step and i * step + second; INVERSE turns the other way."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        first = tile % row_tiles * ROWS
        rest = tile // row_tiles
        head = rest % heads * tl.full([], 1, tl.int64)
        batch = rest // heads * tl.full([], 1, tl.int64)
        wide = first * tl.full([], 1, tl.int64)
        mask = (row < length - first) & (column < half)
        table = batch * table_batch + wide * table_row
        offsets = row.to(INDEX) * table_row + column
        cosine1 = tl.load(cosine + table + offsets, mask=mask, other=0.0).to(COMPUTE)
        cosine2 = tl.load(cosine + table + table_second + offsets, mask=mask, other=0.0).to(COMPUTE)
        sine1 = tl.load(sine + table + offsets, mask=mask, other=0.0).to(COMPUTE)
        sine2 = tl.load(sine + table + table_second + offsets, mask=mask, other=0.0).to(COMPUTE)
        source = x + batch * x_batch + head * x_head + wide * x_row
        offsets = row.to(INDEX) * x_row + column * step
        value1 = tl.load(source + offsets, mask=mask, other=0.0).to(COMPUTE)
        value2 = tl.load(source + second + offsets, mask=mask, other=0.0).to(COMPUTE)
        if INVERSE:
            result1 = value1 * cosine1 + value2 * sine2
            result2 = value2 * cosine2 - value1 * sine1
        else:
            result1 = value1 * cosine1 - value2 * sine1
            result2 = value2 * cosine2 + value1 * sine2
        target = out + batch * out_batch + head * out_head + wide * out_row
        offsets = row.to(INDEX) * out_row + column * step
        tl.store(target + offsets, result1.to(out.dtype.element_ty), mask=mask)
        tl.store(target + second + offsets, result2.to(out.dtype.element_ty), mask=mask)


def rotary_launch(inverse: bool, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, x, cosine, sine), no scalars.

    `sizes` = (batch, heads, length, head size, interleaved: 1 for pairs side by side, table width, x's strides (batch,
    head, row), out's, the tables' strides (batch, row)); innermost strides are 1. The tables are [batch or 1, length,
    table width]: half a head of angles, or a whole head whose halves belong to the two elements of a pair.
    """
    batch, heads, length, head_size, interleaved, table_width = sizes[:6]
    if len(sizes) != 14 or head_size % 2 or table_width not in (head_size // 2, head_size):
        raise ValueError(f"rotary takes an even head size and tables of a half or a whole head, got sizes {sizes}")
    half = head_size // 2
    compute = compute_dtype(dtypes[1])
    columns = next_power_of_2(half)
    element_bytes = 2 * (2 * DTYPE_BYTES[dtypes[1]] + 4 * DTYPE_BYTES[dtypes[2]]) + 8 * DTYPE_BYTES[compute]
    limit = block_limit(chip, element_bytes, 4096, batch * heads * length * columns)
    rows = min(next_power_of_2(length), max(1, limit // columns))
    row_tiles = ceil_div(length, rows)
    tiles = row_tiles * heads * batch
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "x": Tensor(1), "cosine": Tensor(2), "sine": Tensor(3)}
    arguments |= {
        "tiles": tiles,
        "programs": programs,
        "row_tiles": tile_count(row_tiles, rows),
        "heads": heads,
        "length": length,
    }
    arguments |= {"half": half, "step": 2 if interleaved else 1, "second": 1 if interleaved else half}
    arguments |= {"table_second": half if table_width == head_size else 0}
    names = ("x_batch", "x_head", "x_row", "out_batch", "out_head", "out_row", "table_batch", "table_row")
    arguments |= dict(zip(names, sizes[6:], strict=True))
    reaches = [rows * sizes[8] + head_size, rows * sizes[11] + head_size, rows * sizes[13] + head_size]
    constexprs = {
        "INVERSE": inverse,
        "COMPUTE": TRITON_DTYPES[compute],
        "INDEX": index_dtype(reaches),
        "ROWS": rows,
        "COLUMNS": columns,
    }
    return Launch(rotary, (programs, 1, 1), arguments, constexprs)


@launch_shape("rotary_forward")
def rotary_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See rotary_launch."""
    return rotary_launch(False, dtypes, sizes, chip)


@launch_shape("rotary_backward")
def rotary_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """See rotary_launch; x is the gradient of the rotated, out that of the unrotated."""
    return rotary_launch(True, dtypes, sizes, chip)
