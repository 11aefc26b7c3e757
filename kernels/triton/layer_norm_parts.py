"""LayerNorm of few long rows, cut in parts that the PEs share; see layer_norm.py."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Plan,
    Scalar,
    Workspace,
    ceil_div,
    compute_dtype,
    next_power_of_2,
    programs_for,
    row_parts,
    row_tile,
    tensor_arguments,
)
from mtia_sim_kernels.triton.layer_norm_terms import affine, layer_norm_grad


@triton.jit
def layer_norm_parts(
    out, mean, rstd, sums, squares, x, weight, bias, eps, tiles, programs, rows, length, parts, part_length, x_row,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Without `squares` the sum of each part, [rows, parts]; without `out` that of its squared distances from the mean;
    with both the results."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    of_row = tl.arange(0, PARTS)[None, :]
    size = tl.full([], length, tl.int32).to(COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, part = tile // parts * tl.full([], ROWS, tl.int64), tile % parts
        row_mask = row < tl.minimum(rows - first, ROWS).to(tl.int32)
        begin = part * part_length
        end = tl.minimum(begin + part_length, length)
        source = x + first * x_row + row * x_row + column
        of_part = (first + row) * parts
        known = row_mask & (of_row < parts)
        if squares is None:
            total = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start in tl.range(begin, end, COLUMNS, num_stages=2):
                mask = row_mask & (column < end - start)
                total += tl.load(source + start, mask=mask, other=0.0).to(COMPUTE)
            tl.store(sums + of_part + part, tl.sum(total, axis=1, keep_dims=True), mask=row_mask)
        else:
            partial = tl.load(sums + of_part + of_row, mask=known, other=0.0)
            average = tl.sum(partial, axis=1, keep_dims=True) / size
            if out is None:
                total = tl.zeros([ROWS, COLUMNS], COMPUTE)
                for start in tl.range(begin, end, COLUMNS, num_stages=2):
                    mask = row_mask & (column < end - start)
                    values = tl.load(source + start, mask=mask, other=0.0).to(COMPUTE)
                    centred = tl.where(mask, values - average, 0.0)
                    total += centred * centred
                tl.store(squares + of_part + part, tl.sum(total, axis=1, keep_dims=True), mask=row_mask)
            else:
                partial = tl.load(squares + of_part + of_row, mask=known, other=0.0)
                variance = tl.sum(partial, axis=1, keep_dims=True) / size
                inverse = tl.rsqrt(variance + tl.full([], eps, COMPUTE))
                target = out + first * length + row * length + column
                for start in tl.range(begin, end, COLUMNS, num_stages=2):
                    mask = row_mask & (column < end - start)
                    values = tl.load(source + start, mask=mask, other=0.0).to(COMPUTE)
                    normal = (values - average) * inverse
                    result = affine(normal, weight, bias, start, column, length, COMPUTE)
                    tl.store(target + start, result.to(out.dtype.element_ty), mask=mask)
                of_first = row_mask & (part == 0)
                tl.store(mean + first + row, average.to(mean.dtype.element_ty), mask=of_first)
                tl.store(rstd + first + row, inverse.to(rstd.dtype.element_ty), mask=of_first)


@triton.jit
def layer_norm_backward_parts(
    grad_x, products, gradients, grad_out, x, mean, rstd, weight, tiles, programs, rows, length, parts, part_length,
    x_row, grad_row,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """The gradient of x; without `grad_x` the sums that it takes of each part, [rows, parts]."""
    row = tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    of_row = tl.arange(0, PARTS)[None, :]
    size = tl.full([], length, tl.int32).to(COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        first, part = tile // parts * tl.full([], ROWS, tl.int64), tile % parts
        row_mask = (row < tl.minimum(rows - first, ROWS).to(tl.int32))[:, None]
        begin = part * part_length
        end = tl.minimum(begin + part_length, length)
        of_part = (first + row[:, None]) * parts
        average = tl.load(mean + first + row[:, None], mask=row_mask, other=0.0).to(COMPUTE)
        inverse = tl.load(rstd + first + row[:, None], mask=row_mask, other=0.0).to(COMPUTE)
        if grad_x is None:
            product = tl.zeros([ROWS, COLUMNS], COMPUTE)
            total = tl.zeros([ROWS, COLUMNS], COMPUTE)
            for start in tl.range(begin, end, COLUMNS, num_stages=2):
                mask = row_mask & (column < end - start)
                _plain, grad, normal = layer_norm_grad(
                    grad_out, x, weight, average, inverse, first, row, column, start, length, mask, x_row, grad_row,
                    COMPUTE,
                )  # fmt: skip
                product += grad * normal
                total += grad
            tl.store(products + of_part + part, tl.sum(product, axis=1, keep_dims=True), mask=row_mask)
            tl.store(gradients + of_part + part, tl.sum(total, axis=1, keep_dims=True), mask=row_mask)
        else:
            known = row_mask & (of_row < parts)
            along = tl.sum(tl.load(products + of_part + of_row, mask=known, other=0.0), axis=1, keep_dims=True) / size
            centre = tl.sum(tl.load(gradients + of_part + of_row, mask=known, other=0.0), axis=1, keep_dims=True) / size
            target = grad_x + first * length + row[:, None] * length + column
            for start in tl.range(begin, end, COLUMNS, num_stages=2):
                mask = row_mask & (column < end - start)
                _plain, grad, normal = layer_norm_grad(
                    grad_out, x, weight, average, inverse, first, row, column, start, length, mask, x_row, grad_row,
                    COMPUTE,
                )  # fmt: skip
                result = (grad - centre - normal * along) * inverse
                tl.store(target + start, result.to(grad_x.dtype.element_ty), mask=mask)


@triton.jit
def layer_norm_weight_gradients(
    grad_weight, grad_bias, grad_out, x, mean, rstd, tiles, programs, rows, length, x_row, grad_row,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums over all rows, of which there are few, row by row, a run of columns a program."""
    row = tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)[None, :]
    lane = tl.arange(0, COLUMNS)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        start = tile * COLUMNS
        weight_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
        bias_sum = tl.zeros([ROWS, COLUMNS], COMPUTE)
        for start_row in tl.range(0, rows, ROWS, num_stages=2):
            first = start_row * tl.full([], 1, tl.int64)
            row_mask = (row < rows - start_row)[:, None]
            average = tl.load(mean + first + row[:, None], mask=row_mask, other=0.0).to(COMPUTE)
            inverse = tl.load(rstd + first + row[:, None], mask=row_mask, other=0.0).to(COMPUTE)
            mask = row_mask & (column < length - start)
            plain, _grad, normal = layer_norm_grad(
                grad_out, x, None, average, inverse, first, row, column, start, length, mask, x_row, grad_row, COMPUTE
            )
            weight_sum += plain * normal
            bias_sum += plain
        inside = lane < length - start
        if grad_weight is not None:
            sums = tl.sum(weight_sum, axis=0).to(grad_weight.dtype.element_ty)
            tl.store(grad_weight + start + lane, sums, mask=inside)
        if grad_bias is not None:
            sums = tl.sum(bias_sum, axis=0).to(grad_bias.dtype.element_ty)
            tl.store(grad_bias + start + lane, sums, mask=inside)


class _Parts:
    """How few long rows are cut; `count` 1: they are not."""

    def __init__(self, rows: int, length: int, compute: str, chip: ChipLimits) -> None:
        # Two tensors and their terms, of the widest dtype: the columns set the order of the sums, whatever is read.
        wide = DTYPE_BYTES[compute]
        self.block_rows, self.columns = row_tile(chip, rows, length, 8 * wide, wide)
        self.rows, self.length = rows, length
        # A part is a few blocks, so that what its sums cost is little beside the launch that is saved.
        self.count, self.part_length = row_parts(rows, length, 4 * self.columns)
        tiles = ceil_div(rows, self.block_rows) * self.count
        programs, _ = programs_for(chip, tiles)
        self.grid = (programs, 1, 1)
        self.arguments: dict[str, Argument] = {"tiles": tiles, "programs": programs, "rows": rows, "length": length}
        self.arguments |= {"parts": self.count, "part_length": self.part_length}
        self.constexprs = {
            "COMPUTE": TRITON_DTYPES[compute],
            "ROWS": self.block_rows,
            "COLUMNS": self.columns,
            "PARTS": next_power_of_2(self.count),
        }


def forward_in_parts(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Plan | None:
    """What layer_norm_forward launches for few long rows; None: others, and short ones."""
    rows, length, x_row = sizes
    compute = compute_dtype(dtypes[3])
    cut = _Parts(rows, length, compute, chip)
    if cut.count == 1:
        return None
    arguments = tensor_arguments(("out", "mean", "rstd", "x", "weight", "bias"), dtypes) | cut.arguments
    arguments |= {"eps": Scalar(0, compute), "x_row": x_row}
    arguments |= {name: Workspace(i, compute, rows * cut.count) for i, name in enumerate(("sums", "squares"))}
    passes: tuple[dict[str, Argument], ...] = ({"out": None, "squares": None}, {"out": None}, {})
    return [Launch(layer_norm_parts, cut.grid, arguments | without, cut.constexprs) for without in passes]


def backward_in_parts(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch] | None:
    """What layer_norm_backward launches for few long rows; None: others, and short ones."""
    rows, length, x_row, grad_row = sizes
    compute = compute_dtype(dtypes[4])
    cut = _Parts(rows, length, compute, chip)
    if cut.count == 1:
        return None
    names = ("grad_x", "grad_weight", "grad_bias", "grad_out", "x", "mean", "rstd", "weight")
    arguments = tensor_arguments(names, dtypes) | {"x_row": x_row, "grad_row": grad_row}
    launches = []
    if dtypes[0] != "none":
        given = {name: argument for name, argument in arguments.items() if name not in ("grad_weight", "grad_bias")}
        given |= cut.arguments
        given |= {name: Workspace(i, compute, rows * cut.count) for i, name in enumerate(("products", "gradients"))}
        passes: tuple[dict[str, Argument], ...] = ({"grad_x": None}, {})
        launches += [Launch(layer_norm_backward_parts, cut.grid, given | without, cut.constexprs) for without in passes]
    if dtypes[1] != "none" or dtypes[2] != "none":
        tiles = ceil_div(length, cut.columns)
        programs, _ = programs_for(chip, tiles)
        given = {name: argument for name, argument in arguments.items() if name not in ("grad_x", "weight")}
        given |= {"tiles": tiles, "programs": programs, "rows": rows, "length": length}
        # One row at a time: an order of sums that no chip changes.
        shape = {"COMPUTE": cut.constexprs["COMPUTE"], "ROWS": 1, "COLUMNS": cut.columns}
        launches.append(Launch(layer_norm_weight_gradients, (programs, 1, 1), given, shape))
    return launches
