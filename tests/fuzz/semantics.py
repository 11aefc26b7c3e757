"""What TTIR operations mean, in numpy: wrapping integers, rounded floats, and a bound of the error where order is free.

Integers are signed numpy arrays (i1: bool), bf16 and the 8-bit floats float32 arrays of values the type holds, pointers
int64 virtual addresses. A scalar is an array of rank 0.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.fuzz.kernel import BITS, Operation, Type

Array = Any
HOLDERS = {
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "bf16": np.float32,
    "f32": np.float32,
    "f64": np.float64,
    "f8E5M2": np.float32,
    "f8E4M3FN": np.float32,
}
EPSILON = {"f16": 2.0**-10, "bf16": 2.0**-7, "f32": 2.0**-22, "f64": 2.0**-50}
LARGEST = {"f16": 65504.0, "bf16": 3.38e38, "f32": 3.4e38, "f64": 1.79e308}


def round_bf16(values: Array) -> Array:
    """Nearest even to bfloat16, once, from float64 or float32; the result is a float32 array."""
    wide = np.asarray(values, np.float64)
    near = wide.astype(np.float32)
    bits = near.view(np.uint32).copy()
    # Round to odd first: a second rounding then cannot err.
    inexact = (near.astype(np.float64) != wide) & np.isfinite(wide) & np.isfinite(near)
    away = np.abs(near.astype(np.float64)) > np.abs(wide)
    bits = np.where(inexact & away, bits - 1, bits)
    bits = np.where(inexact, bits | 1, bits).astype(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    rounded = np.where(np.isnan(wide), np.uint32(0x7FC00000), np.where(np.isinf(near), bits, rounded))
    return rounded.astype(np.uint32).view(np.float32)


def to_float(values: Array, dtype: str) -> Array:
    """Numbers rounded to a float type, nearest even."""
    if dtype == "bf16":
        return round_bf16(values)
    return np.asarray(values).astype(HOLDERS[dtype])


def unsigned(values: Array) -> Array:
    """The same bits read as unsigned."""
    return values.view(values.dtype.str.replace("i", "u")) if values.dtype != np.bool_ else values.astype(np.uint8)


def _like(values: Array, result: Type) -> Array:
    return np.asarray(values).astype(HOLDERS[result.dtype])


def _truncated_division(a: Array, b: Array) -> Array:
    quotient = np.floor_divide(a, b)
    inexact = (quotient * b != a) & ((a < 0) != (b < 0))
    return quotient + inexact.astype(a.dtype)


def _signed_remainder(a: Array, b: Array) -> Array:
    return a - b * _truncated_division(a, b)


def _by_unsigned(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda a, b: function(unsigned(a), unsigned(b)).astype(a.dtype)


INTEGER_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "arith.addi": np.add,
    "arith.subi": np.subtract,
    "arith.muli": np.multiply,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.maxui": _by_unsigned(np.maximum),
    "arith.minui": _by_unsigned(np.minimum),
    "arith.shli": np.left_shift,
    "arith.shrsi": np.right_shift,
    "arith.shrui": _by_unsigned(np.right_shift),
    "arith.divsi": _truncated_division,
    "arith.remsi": _signed_remainder,
    "arith.divui": _by_unsigned(np.floor_divide),
    "arith.remui": _by_unsigned(np.remainder),
}
FLOAT_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "arith.divf": np.divide,
    "arith.remf": np.fmod,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
}
FLOAT_UNARY: dict[str, Callable[[Array], Array]] = {
    "arith.negf": np.negative,
    "math.absf": np.abs,
    "math.sqrt": np.sqrt,
    "math.floor": np.floor,
    "math.ceil": np.ceil,
}
APPROXIMATE_UNARY: dict[str, Callable[[Array], Array]] = {
    "math.exp": np.exp,
    "math.exp2": np.exp2,
    "math.log": np.log,
    "math.log2": np.log2,
    "math.sin": np.sin,
    "math.cos": np.cos,
    "math.rsqrt": lambda a: 1 / np.sqrt(a),
    "math.tanh": np.tanh,
}
_COMPARE = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]


def compare_integers(predicate: int, a: Array, b: Array) -> Array:
    """MLIR's cmpi."""
    if predicate >= 6:
        return _COMPARE[predicate - 4](unsigned(a), unsigned(b))
    if a.dtype == np.bool_ and predicate >= 2:
        a, b = -a.astype(np.int8), -b.astype(np.int8)
    return _COMPARE[predicate](a, b)


def compare_floats(predicate: int, a: Array, b: Array) -> Array:
    """MLIR's cmpf."""
    unordered = np.isnan(a) | np.isnan(b)
    if predicate in (0, 15):
        return np.full(np.shape(a), predicate == 15)
    if predicate in (7, 14):
        return unordered if predicate == 14 else ~unordered
    ordered = {1: np.equal, 2: np.greater, 3: np.greater_equal, 4: np.less, 5: np.less_equal, 6: np.not_equal}
    if predicate <= 6:
        return ordered[predicate](a, b) & ~unordered
    return ordered[predicate - 7](a, b) | unordered


def convert(operation: Operation, a: Array) -> Array:
    """Conversions between element types."""
    source, result = operation.operands[0].type, operation.result.type
    name = operation.name
    if name == "arith.extsi":
        return -_like(a, result) if source.dtype == "i1" else _like(a, result)
    if name in ("arith.extui", "arith.uitofp"):
        a = unsigned(a)
    elif name == "arith.sitofp" and source.dtype == "i1":
        a = -a.astype(np.int8)
    elif name == "arith.trunci" and result.dtype == "i1":
        return (a & 1).astype(np.bool_)
    elif name == "arith.fptosi":
        return np.trunc(a).astype(HOLDERS[result.dtype])
    return to_float(a, result.dtype) if result.is_float else _like(a, result)


def float_binary(operation: Operation, a: Array, b: Array) -> Array:
    """Computed in the type, the narrow ones in float32 and rounded once."""
    dtype = operation.result.type.dtype
    function = FLOAT_BINARY[operation.name]
    if dtype == "f16":
        return function(a.astype(np.float32), b.astype(np.float32)).astype(np.float16)
    return to_float(function(a, b), dtype)


def float_unary(operation: Operation, a: Array) -> Array:
    """As float_binary."""
    dtype = operation.result.type.dtype
    function = FLOAT_UNARY.get(operation.name) or APPROXIMATE_UNARY[operation.name]
    if dtype == "f16":
        return function(a.astype(np.float32)).astype(np.float16)
    return to_float(function(a), dtype)


COMBINERS: dict[str, Callable[[Array, Array], Array]] = {**INTEGER_BINARY, **FLOAT_BINARY}


def reduce_exactly(name: str, a: Array, axis: int, dtype: str) -> Array:
    """Reduction by a combiner whose order is free."""
    function = COMBINERS[name]
    parts = [np.take(a, index, axis) for index in range(a.shape[axis])]
    result = parts[0]
    for part in parts[1:]:
        result = function(result, part)
    return np.asarray(result).astype(HOLDERS[dtype])


def scan_exactly(name: str, a: Array, axis: int, reverse: bool) -> Array:
    """Inclusive scan by a combiner whose order is free."""
    moved = np.moveaxis(a, axis, 0)
    moved = moved[::-1] if reverse else moved
    result = moved.copy()
    for index in range(1, len(result)):
        result[index] = COMBINERS[name](result[index - 1], moved[index])
    result = result[::-1] if reverse else result
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def bytes_of(values: Array, dtype: str) -> bytes:
    """As they stand in memory."""
    if dtype == "bf16":
        return (np.asarray(values).view(np.uint32) >> np.uint32(16)).astype(np.uint16).tobytes()
    return np.asarray(values).astype(HOLDERS[dtype]).tobytes()


def from_bytes(data: bytes, dtype: str) -> Array:
    """What bytes_of wrote."""
    if dtype == "bf16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.frombuffer(data, HOLDERS[dtype])


def atomic(kind: int, old: Array, value: Array) -> Array:
    """One element of tt.atomic_rmw, by Triton's number of the kind."""
    names = {1: "andi", 2: "ori", 3: "xori", 4: "addi", 5: "addf", 6: "maxsi", 7: "minsi", 8: "maxui", 9: "minui"}
    return value if kind == 10 else COMBINERS[f"arith.{names[kind]}"](old, value)


def size_of(dtype: str) -> int:
    """Bytes of an element."""
    return BITS[dtype] // 8


def product(shape: Sequence[int]) -> int:
    """Number of elements."""
    result = 1
    for size in shape:
        result *= size
    return result
