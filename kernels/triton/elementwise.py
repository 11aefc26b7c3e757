"""The element-wise kernel: any row of the element-wise table over contiguous, strided or broadcast operands."""

import math
from collections.abc import Callable

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
    index_dtype,
    launch_shape,
    programs_for,
    scalar_dtype,
    tile_count,
    tile_extent,
)
from mtia_sim_kernels.triton.elementwise_table import Elementwise, elementwise_table

# Operands of the kernel, and dimensions that it walks one by one beside the two of its tile.
MOST_OPERANDS = 5
MOST_OUTER = 4
# Elements of a tile below which it costs more to describe it than to compute it.
SMALL_TILE = 2048
# Most elements of a block of contiguous tensors, where no chip needs longer ones.
LONGEST_BLOCK = 16384


@triton.jit
def evaluate(EXPRESSION: tl.constexpr, OPERANDS: tl.constexpr, a, b, c, d, e):
    if OPERANDS == 1:
        return EXPRESSION(a)
    elif OPERANDS == 2:
        return EXPRESSION(a, b)
    elif OPERANDS == 3:
        return EXPRESSION(a, b, c)
    elif OPERANDS == 4:
        return EXPRESSION(a, b, c, d)
    else:
        return EXPRESSION(a, b, c, d, e)


@triton.jit
def operand(
    pointer, scalar, offsets, mask,
    COMPUTE: tl.constexpr, THROUGH: tl.constexpr, RAW: tl.constexpr, OTHER: tl.constexpr,
):  # fmt: skip
    """A tile of a tensor operand, or the run-time number that stands for it. THROUGH: the promoted dtype, to which an
    operand of another one is rounded. OTHER: what lanes outside hold."""
    if pointer is not None:
        if OTHER is None or mask is None:
            value = tl.load(pointer + offsets, mask=mask)
        else:
            value = tl.load(pointer + offsets, mask=mask, other=OTHER)
        if RAW:
            return value
        else:
            return value.to(THROUGH).to(COMPUTE)
    elif scalar is not None:
        if RAW:
            return tl.full([], scalar, tl.int64) != 0
        else:
            return tl.full([], scalar, COMPUTE)
    else:
        return None


@triton.jit
def elementwise_contiguous(
    out, in0, in1, in2, in3, in4, scalar0, scalar1, scalar2, scalar3, scalar4,
    elements, tiles, programs,
    EXPRESSION: tl.constexpr, OPERANDS: tl.constexpr, RAW: tl.constexpr, OTHER: tl.constexpr, COMPUTE: tl.constexpr,
    THROUGH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    lane = tl.arange(0, BLOCK)
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        start = tile * tl.full([], BLOCK, tl.int64)
        mask = lane < tl.minimum(elements - start, BLOCK).to(tl.int32)
        offsets = start + lane
        a = operand(in0, scalar0, offsets, mask, COMPUTE, THROUGH, (RAW & 1) != 0, OTHER)
        b = operand(in1, scalar1, offsets, mask, COMPUTE, THROUGH, (RAW & 2) != 0, OTHER)
        c = operand(in2, scalar2, offsets, mask, COMPUTE, THROUGH, (RAW & 4) != 0, OTHER)
        d = operand(in3, scalar3, offsets, mask, COMPUTE, THROUGH, (RAW & 8) != 0, OTHER)
        e = operand(in4, scalar4, offsets, mask, COMPUTE, THROUGH, (RAW & 16) != 0, OTHER)
        result = evaluate(EXPRESSION, OPERANDS, a, b, c, d, e)
        tl.store(out + offsets, tl.broadcast_to(result.to(out.dtype.element_ty), [BLOCK]), mask=mask)


@triton.jit
def outer_offset(i0, i1, i2, i3, stride0, stride1, stride2, stride3):
    return i0 * stride0 + i1 * stride1 + i2 * stride2 + i3 * stride3


@triton.jit
def tile_operand(
    pointer, scalar, base, row, column, row_mask, column_mask, stride_m, stride_n,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, COMPUTE: tl.constexpr, THROUGH: tl.constexpr, RAW: tl.constexpr,
    OTHER: tl.constexpr,
):  # fmt: skip
    """As `operand`, for a 2-D tile; what is constant along a dimension is read once there: [M, 1], [1, N] or [1, 1]."""
    if pointer is not None:
        if ROWS and COLUMNS:
            return operand(
                pointer + base, scalar, row * stride_m + column * stride_n, row_mask & column_mask,
                COMPUTE, THROUGH, RAW, OTHER,
            )  # fmt: skip
        elif ROWS:
            return operand(pointer + base, scalar, row * stride_m, row_mask, COMPUTE, THROUGH, RAW, OTHER)
        elif COLUMNS:
            return operand(pointer + base, scalar, column * stride_n, column_mask, COMPUTE, THROUGH, RAW, OTHER)
        else:
            return operand(pointer + base, scalar, 0, None, COMPUTE, THROUGH, RAW, OTHER)
    else:
        return operand(pointer, scalar, 0, None, COMPUTE, THROUGH, RAW, OTHER)


@triton.jit
def elementwise_strided(
    out, in0, in1, in2, in3, in4, scalar0, scalar1, scalar2, scalar3, scalar4,
    tiles, programs, tiles_m, tiles_n, size_m, size_n, size1, size2, size3,
    out_m, out_n, out_0, out_1, out_2, out_3,
    in0_m, in0_n, in0_0, in0_1, in0_2, in0_3,
    in1_m, in1_n, in1_0, in1_1, in1_2, in1_3,
    in2_m, in2_n, in2_0, in2_1, in2_2, in2_3,
    in3_m, in3_n, in3_0, in3_1, in3_2, in3_3,
    in4_m, in4_n, in4_0, in4_1, in4_2, in4_3,
    EXPRESSION: tl.constexpr, OPERANDS: tl.constexpr, RAW: tl.constexpr, OTHER: tl.constexpr, COMPUTE: tl.constexpr,
    THROUGH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INDEX: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Bit k of RAW, ROWS, COLUMNS is of operand k: kept in its own dtype, varies along rows, along columns."""
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        start_n = (tile % tiles_n) * BLOCK_N
        rest = tile // tiles_n
        start_m = (rest % tiles_m) * BLOCK_M
        rest = rest // tiles_m
        i3 = (rest % size3).to(tl.int64)
        rest = rest // size3
        i2 = (rest % size2).to(tl.int64)
        rest = rest // size2
        i1 = (rest % size1).to(tl.int64)
        i0 = (rest // size1).to(tl.int64)
        row = tl.arange(0, BLOCK_M)[:, None]
        column = tl.arange(0, BLOCK_N)[None, :]
        row_mask = row < size_m - start_m
        column_mask = column < size_n - start_n
        row = row.to(INDEX)
        column = column.to(INDEX)
        m = start_m.to(tl.int64)
        n = start_n.to(tl.int64)
        base = outer_offset(i0, i1, i2, i3, in0_0, in0_1, in0_2, in0_3) + m * in0_m + n * in0_n
        a = tile_operand(
            in0, scalar0, base, row, column, row_mask, column_mask, in0_m, in0_n,
            (ROWS & 1) != 0, (COLUMNS & 1) != 0, COMPUTE, THROUGH, (RAW & 1) != 0, OTHER,
        )  # fmt: skip
        base = outer_offset(i0, i1, i2, i3, in1_0, in1_1, in1_2, in1_3) + m * in1_m + n * in1_n
        b = tile_operand(
            in1, scalar1, base, row, column, row_mask, column_mask, in1_m, in1_n,
            (ROWS & 2) != 0, (COLUMNS & 2) != 0, COMPUTE, THROUGH, (RAW & 2) != 0, OTHER,
        )  # fmt: skip
        base = outer_offset(i0, i1, i2, i3, in2_0, in2_1, in2_2, in2_3) + m * in2_m + n * in2_n
        c = tile_operand(
            in2, scalar2, base, row, column, row_mask, column_mask, in2_m, in2_n,
            (ROWS & 4) != 0, (COLUMNS & 4) != 0, COMPUTE, THROUGH, (RAW & 4) != 0, OTHER,
        )  # fmt: skip
        base = outer_offset(i0, i1, i2, i3, in3_0, in3_1, in3_2, in3_3) + m * in3_m + n * in3_n
        d = tile_operand(
            in3, scalar3, base, row, column, row_mask, column_mask, in3_m, in3_n,
            (ROWS & 8) != 0, (COLUMNS & 8) != 0, COMPUTE, THROUGH, (RAW & 8) != 0, OTHER,
        )  # fmt: skip
        base = outer_offset(i0, i1, i2, i3, in4_0, in4_1, in4_2, in4_3) + m * in4_m + n * in4_n
        e = tile_operand(
            in4, scalar4, base, row, column, row_mask, column_mask, in4_m, in4_n,
            (ROWS & 16) != 0, (COLUMNS & 16) != 0, COMPUTE, THROUGH, (RAW & 16) != 0, OTHER,
        )  # fmt: skip
        result = evaluate(EXPRESSION, OPERANDS, a, b, c, d, e)
        base = outer_offset(i0, i1, i2, i3, out_0, out_1, out_2, out_3) + m * out_m + n * out_n
        result = tl.broadcast_to(result.to(out.dtype.element_ty), [BLOCK_M, BLOCK_N])
        tl.store(out + base + row * out_m + column * out_n, result, mask=row_mask & column_mask)


def operand_arguments(
    row: Elementwise, operands: tuple[str, ...], compute: str
) -> tuple[dict[str, Argument], list[int]]:
    """Pointer and scalar arguments, and the positions of the tensor operands."""
    arguments: dict[str, Argument] = {"out": Tensor(0)}
    tensors: list[int] = []
    scalars = 0
    for position in range(MOST_OPERANDS):
        arguments[f"in{position}"] = None
        arguments[f"scalar{position}"] = None
        if position >= len(operands):
            continue
        if operands[position] == "scalar":
            raw = row.operands[position] in row.unpromoted
            arguments[f"scalar{position}"] = Scalar(scalars, "i64" if raw else scalar_dtype(compute))
            scalars += 1
        else:
            tensors.append(position)
            arguments[f"in{position}"] = Tensor(len(tensors))
    return arguments, tensors


def even_block(elements: int, limit: int, chip: ChipLimits) -> int:
    """The largest block, of 2048 at least, that leaves no PE more than an eighth above its share of the elements."""
    block = limit
    while (
        block > 2048
        and ceil_div(ceil_div(elements, block), chip.processing_elements) * block * (chip.processing_elements)
        > elements * 9 // 8
    ):
        block //= 2
    return block


def with_longest_rows(shape: list[int], strides: list[list[int]], small: int) -> None:
    """Makes the longest outer dimension the rows of the tiles where they would have less than `small` elements: the
    heads of attention's operands lie beside each other in memory, and are few."""
    longest = max(range(MOST_OUTER), key=lambda dimension: shape[dimension])
    if shape[-2] * shape[-1] < small and shape[longest] > shape[-2]:
        for each in (shape, *strides):
            each[longest], each[-2] = each[-2], each[longest]


def elementwise(row: Elementwise, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """`dtypes` is (output, one for each operand or "scalar", compute), compute being the promoted dtype, not widened.

    `tensors` are the output and the tensor operands; `scalars` the values of the "scalar" operands, in operand order.
    `sizes` is (dimensions, shape, strides of the output, strides of each tensor operand), outermost dimension first,
    strides in elements, 0 where broadcast, already coalesced. The output has at least one element.
    """
    output, *operands, common = dtypes
    if len(operands) != len(row.operands):
        raise ValueError(
            f"elementwise.{row.name} takes the operands {row.operands}, got {len(operands)} dtypes {operands}"
        )
    dimensions = sizes[0]
    shape = list(sizes[1 : 1 + dimensions])
    compute = row.boolean if common == "bool" else compute_dtype(common) if row.widens else common
    arguments, tensors = operand_arguments(row, tuple(operands), compute)
    strides = [list(sizes[1 + dimensions * (i + 1) : 1 + dimensions * (i + 2)]) for i in range(1 + len(tensors))]
    if len(sizes) != 1 + dimensions * (2 + len(tensors)):
        raise ValueError(
            f"elementwise.{row.name} got {len(sizes)} sizes for {dimensions} dimensions and {1 + len(tensors)} tensors"
        )
    # As on the CPU: what is a number, if only a tensor of one element, is not rounded before arithmetic, but compared
    # in the promoted dtype.
    rounds = common in ("fp16", "bf16") and any(
        operands[i] != common and (output == "bool" or any(stride))
        for i, stride in zip(tensors, strides[1:], strict=False)
    )
    raw = sum(1 << i for i, name in enumerate(row.operands) if name in row.unpromoted)
    constexprs = {
        "EXPRESSION": row.expression,
        "OPERANDS": len(operands),
        "RAW": raw,
        "OTHER": row.outside,
        "COMPUTE": TRITON_DTYPES[compute],
        "THROUGH": TRITON_DTYPES[common if rounds else compute],
    }
    # Double-buffered loads, the values in the compute dtype, the store and four temporaries.
    element_bytes = DTYPE_BYTES[output] + (len(tensors) + 4) * DTYPE_BYTES[compute]
    element_bytes += sum(2 * DTYPE_BYTES[operands[i]] for i in tensors) + row.scratch
    limit = block_limit(chip, element_bytes, elements=math.prod(shape))

    if dimensions <= 1 and all(stride in ([], [1]) for stride in strides):
        elements = shape[0] if shape else 1
        limit = block_limit(chip, element_bytes, LONGEST_BLOCK * chip.longer_blocks)
        # Small tensors share a few block sizes, so that few programs are compiled.
        whole = 128 if elements <= 128 else 1024 if elements <= 65536 else even_block(elements, limit, chip)
        block = min(limit, whole)
        tiles = ceil_div(elements, block)
        programs, _ = programs_for(chip, tiles)
        arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
        return Launch(elementwise_contiguous, (programs, 1, 1), arguments, constexprs | {"BLOCK": block})
    if dimensions > MOST_OUTER + 2:
        raise ValueError(
            f"elementwise.{row.name} got {dimensions} dimensions after coalescing, it takes {MOST_OUTER + 2}; "
            "make its operands contiguous"
        )

    while len(shape) < MOST_OUTER + 2:
        shape.insert(0, 1)
        for stride in strides:
            stride.insert(0, 0)
    with_longest_rows(shape, strides, SMALL_TILE * chip.longer_blocks)
    size_m, size_n = shape[-2:]
    block_n = tile_extent(size_n, limit)
    block_m = tile_extent(size_m, max(1, limit // block_n))
    tiles_m, tiles_n = ceil_div(size_m, block_m), ceil_div(size_n, block_n)
    outer = shape[0] * shape[1] * shape[2] * shape[3]
    tiles = outer * tiles_m * tiles_n
    programs, _ = programs_for(chip, tiles)
    arguments |= {
        "tiles": tiles,
        "programs": programs,
        "tiles_m": tile_count(tiles_m, block_m),
        "tiles_n": tile_count(tiles_n, block_n),
        "size_m": size_m,
        "size_n": size_n,
    }
    arguments |= {f"size{i}": shape[i] for i in range(1, MOST_OUTER)}
    rows = columns = 0
    names = ["out"] + [f"in{i}" for i in range(MOST_OPERANDS)]
    of_operand = {0: 0} | {position + 1: i + 1 for i, position in enumerate(tensors)}
    for position, name in enumerate(names):
        stride = strides[of_operand[position]] if position in of_operand else [0] * (MOST_OUTER + 2)
        named = {f"{name}_m": stride[-2], f"{name}_n": stride[-1]} | {
            f"{name}_{i}": stride[i] for i in range(MOST_OUTER)
        }
        if position in of_operand:
            arguments |= named
        else:
            constexprs |= named
        if position:
            rows |= (1 << (position - 1)) * (stride[-2] != 0)
            columns |= (1 << (position - 1)) * (stride[-1] != 0)
    constexprs["INDEX"] = index_dtype(block_m * abs(stride[-2]) + block_n * abs(stride[-1]) for stride in strides)
    constexprs |= {"ROWS": rows, "COLUMNS": columns, "BLOCK_M": block_m, "BLOCK_N": block_n}
    return Launch(elementwise_strided, (programs, 1, 1), arguments, constexprs)


def register(row: Elementwise) -> None:
    shape: Callable[[tuple[str, ...], tuple[int, ...], ChipLimits], Launch] = lambda *call: elementwise(row, *call)  # noqa: E731
    launch_shape(f"elementwise.{row.name}")(shape)


for table_row in elementwise_table():
    register(table_row)
