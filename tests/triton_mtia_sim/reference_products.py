"""What the dot product engine's instructions compute."""

from typing import Any

import numpy as np
from reference_interpreter import Instruction, Machine, defines, dtype_of

from mtia_core.dtypes import DType

Array = Any


@defines("dot")
def dot(m: Machine, item: Instruction) -> None:
    a, b, c = (m.read(operand) for operand in (*item.operands, None)[:3])
    target = dtype_of(m, item, 0, operand=False)
    if target.is_float and target is not DType.F64 and item.attributes[0] == 1:
        a, b = (_tf32(x) for x in (a, b))
    kind = np.int64 if target is DType.I32 else np.float64
    result = np.matmul(a.astype(kind), b.astype(kind))
    m.write(item.results[0], result if c is None else result + c)


@defines("dot_scaled")
def dot_scaled(m: Machine, item: Instruction) -> None:
    a, b = (_scaled_numbers(m, item, place) for place in (0, 1))
    c = m.read(item.operands[2])
    result = np.matmul(a, b)
    m.write(item.results[0], result if c is None else result + c)


_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def _scaled_numbers(m: Machine, item: Instruction, place: int) -> Array:
    """An operand of dot_scaled in float64, with its scales applied along k."""
    numbers, axis = np.asarray(m.read(item.operands[place])), -1 if place == 0 else -2
    if dtype_of(m, item, place) is DType.I8:
        codes = numbers.view(np.uint8)
        halves = np.stack((codes & np.uint8(15), codes >> np.uint8(4)), axis)
        shape = list(numbers.shape)
        shape[axis] *= 2
        numbers = _E2M1[halves].reshape(shape)
    scale = m.read(item.operands[3 + place])
    if scale is None:
        return numbers.astype(np.float64)
    if dtype_of(m, item, 3 + place) is DType.I8:
        bits = np.asarray(scale).view(np.uint8)
        scale = np.where(bits == 255, np.nan, 2.0 ** (bits.astype(np.float64) - 127))
    factors = np.asarray(scale, np.float64).repeat(numbers.shape[axis] // scale.shape[-1], -1)
    return numbers * (factors if place == 0 else factors.swapaxes(-1, -2))


def _tf32(values: Array) -> Array:
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))) & np.uint32(0xFFFFE000)).view(
        np.float32
    )
