"""Element-wise operators of complex numbers: a tile of pairs is split into its real and its imaginary parts."""

from collections.abc import Callable
from typing import Any

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
    programs_for,
    scalar_dtype,
)
from mtia_sim_kernels.triton.elementwise_table import elementwise_table
from mtia_sim_kernels.triton.expressions import complex_numbers

MOST_OPERANDS = 4
# How an operand comes, as csrc/torch_backend/operators/complex.cpp says it: pairs, real numbers, a condition in its own
# dtype, or a number of two run-time arguments.
PAIR, REAL, RAW, NUMBER = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
# Bytes of an element's intermediate values: a dozen of float64.
SCRATCH = 128


@triton.jit
def parts_of(pointer, real, imaginary, start, left, KIND: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    if KIND == PAIR:
        lane = tl.arange(0, 2 * BLOCK)
        both = tl.load(pointer + 2 * start + lane, mask=lane < 2 * left, other=0.0)
        first, second = tl.split(tl.reshape(both, [BLOCK, 2]))
        return first.to(COMPUTE), second.to(COMPUTE)
    elif KIND == REAL:
        lane = tl.arange(0, BLOCK)
        value = tl.load(pointer + start + lane, mask=lane < left, other=0)
        return value.to(COMPUTE), tl.zeros([BLOCK], COMPUTE)
    elif KIND == RAW:
        lane = tl.arange(0, BLOCK)
        value = tl.load(pointer + start + lane, mask=lane < left, other=0) != 0
        return value, value
    else:
        return tl.full([], real, COMPUTE), tl.full([], imaginary, COMPUTE)


@triton.jit
def complex_elementwise(
    out, in0, in1, in2, in3, real0, imaginary0, real1, imaginary1, real2, imaginary2, real3, imaginary3,
    elements, tiles, programs,
    EXPRESSION: tl.constexpr, OPERANDS: tl.constexpr, KIND0: tl.constexpr, KIND1: tl.constexpr, KIND2: tl.constexpr,
    KIND3: tl.constexpr, PAIRS: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        start = tile * tl.full([], BLOCK, tl.int64)
        left = tl.minimum(elements - start, BLOCK).to(tl.int32)
        a = parts_of(in0, real0, imaginary0, start, left, KIND0, COMPUTE, BLOCK)
        if OPERANDS == 1:
            result = EXPRESSION(a)
        else:
            b = parts_of(in1, real1, imaginary1, start, left, KIND1, COMPUTE, BLOCK)
            if OPERANDS == 2:
                result = EXPRESSION(a, b)
            else:
                c = parts_of(in2, real2, imaginary2, start, left, KIND2, COMPUTE, BLOCK)
                if OPERANDS == 3:
                    result = EXPRESSION(a, b, c)
                else:
                    d = parts_of(in3, real3, imaginary3, start, left, KIND3, COMPUTE, BLOCK)
                    result = EXPRESSION(a, b, c, d)
        if PAIRS:
            real = tl.broadcast_to(result[0].to(out.dtype.element_ty), [BLOCK])
            imaginary = tl.broadcast_to(result[1].to(out.dtype.element_ty), [BLOCK])
            lane = tl.arange(0, 2 * BLOCK)
            both = tl.reshape(tl.join(real, imaginary), [2 * BLOCK])
            tl.store(out + 2 * start + lane, both, mask=lane < 2 * left)
        else:
            lane = tl.arange(0, BLOCK)
            value = tl.broadcast_to(result.to(out.dtype.element_ty), [BLOCK])
            tl.store(out + start + lane, value, mask=lane < left)


def launch(expression: Any, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """`dtypes` is (parts of the output, parts of each operand or "scalar", parts of the computation), `sizes`
    (elements, 1 where the output has pairs, the kind of each operand). All tensors are dense and of one shape."""
    output, *operands, common = dtypes
    elements, pairs, *kinds = sizes
    compute = compute_dtype(common)
    arguments: dict[str, Argument] = {"out": Tensor(0)}
    constexprs: dict[str, object] = {}
    tensors = scalars = 0
    for position in range(MOST_OPERANDS):
        arguments |= {f"in{position}": None, f"real{position}": None, f"imaginary{position}": None}
        kind = kinds[position] if position < len(kinds) else NUMBER.value
        constexprs[f"KIND{position}"] = kind
        if position >= len(kinds):
            continue
        if kind == NUMBER.value:
            arguments[f"real{position}"] = Scalar(scalars, scalar_dtype(compute))
            arguments[f"imaginary{position}"] = Scalar(scalars + 1, scalar_dtype(compute))
            scalars += 2
        else:
            tensors += 1
            arguments[f"in{position}"] = Tensor(tensors)
    element_bytes = SCRATCH + 4 * DTYPE_BYTES[output]
    element_bytes += sum(4 * DTYPE_BYTES[operand] for operand in operands if operand != "scalar")
    limit = block_limit(chip, element_bytes)
    share = ceil_div(elements, chip.processing_elements)
    block = max(64, min(limit, 1 << max(0, share - 1).bit_length()))
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
    constexprs |= {
        "EXPRESSION": expression,
        "OPERANDS": len(kinds),
        "PAIRS": bool(pairs),
        "COMPUTE": TRITON_DTYPES[compute],
        "BLOCK": block,
    }
    return Launch(complex_elementwise, (programs, 1, 1), arguments, constexprs)


def register(name: str, expression: Any) -> None:
    shape: Callable[[tuple[str, ...], tuple[int, ...], ChipLimits], Launch] = lambda *call: launch(expression, *call)  # noqa: E731
    launch_shape(f"complex.{name}")(shape)


for row in elementwise_table():
    if row.complex is not None:
        register(row.name, row.complex)
register("complex", complex_numbers.joined)
register("polar", complex_numbers.polar)
