"""Folds scalar integer instructions whose operands are known, and the identities that need one of them."""

from collections.abc import Callable

from mtia_core.dtypes import DType
from triton_mtia_sim.tiles.machine import Register, wrap_integer


def _unsigned(value: int, dtype: DType) -> int:
    return value & ((1 << dtype.bits) - 1)


def _divide(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_BINARY: dict[str, Callable[[int, int, DType], int | None]] = {
    "add_i": lambda a, b, t: a + b,
    "sub_i": lambda a, b, t: a - b,
    "mul_i": lambda a, b, t: a * b,
    "and_i": lambda a, b, t: a & b,
    "or_i": lambda a, b, t: a | b,
    "xor_i": lambda a, b, t: a ^ b,
    "max_s": lambda a, b, t: max(a, b),
    "min_s": lambda a, b, t: min(a, b),
    "div_s": lambda a, b, t: _divide(a, b) if b else None,
    "rem_s": lambda a, b, t: a - b * _divide(a, b) if b else None,
    "div_u": lambda a, b, t: _unsigned(a, t) // _unsigned(b, t) if b else None,
    "rem_u": lambda a, b, t: _unsigned(a, t) % _unsigned(b, t) if b else None,
    "shl": lambda a, b, t: a << b if 0 <= b < t.bits else 0,
    "shr_u": lambda a, b, t: _unsigned(a, t) >> b if 0 <= b < t.bits else 0,
    "shr_s": lambda a, b, t: a >> b if 0 <= b < t.bits else None,
}
_PREDICATES: list[Callable[[int, int], bool]] = [
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
]
_RIGHT_IDENTITY = {
    "add_i": 0,
    "sub_i": 0,
    "mul_i": 1,
    "div_s": 1,
    "div_u": 1,
    "shl": 0,
    "shr_u": 0,
    "shr_s": 0,
    "or_i": 0,
    "xor_i": 0,
}
_COMMUTES = {"add_i", "mul_i", "or_i", "xor_i", "and_i"}


def compare(predicate: int, a: int, b: int, dtype: DType) -> bool:
    """MLIR's cmpi on two known integers."""
    if predicate >= 6:
        return _PREDICATES[predicate - 4](_unsigned(a, dtype), _unsigned(b, dtype))
    return _PREDICATES[predicate](a, b)


def fold(mnemonic: str, dtype: DType, operands: list[Register], attributes: tuple[int, ...]) -> int | Register | None:
    """The result as a number or an existing register, None where it has to be computed."""
    if not dtype.is_integer:
        return None
    if mnemonic == "select":
        condition, a, b = operands
        return (a if condition.integer else b) if condition.is_constant else a if a is b else None
    if any(not item.dtype.is_integer for item in operands):
        return None
    if mnemonic in ("extend_s", "extend_u") and operands[0].is_constant:
        value = operands[0].integer
        if mnemonic == "extend_u" or operands[0].dtype is DType.I1:
            value = _unsigned(value, operands[0].dtype)
            value = -value if mnemonic == "extend_s" else value
        return wrap_integer(value, dtype)
    if len(operands) != 2:
        return None
    a, b = operands
    if a.is_constant and b.is_constant:
        if mnemonic == "compare_i":
            return int(compare(attributes[0], a.integer, b.integer, a.dtype))
        function = _BINARY.get(mnemonic)
        result = function(a.integer, b.integer, dtype) if function else None
        return None if result is None else wrap_integer(result, dtype)
    return _identity(mnemonic, dtype, a, b)


def _identity(mnemonic: str, dtype: DType, a: Register, b: Register) -> int | Register | None:
    if mnemonic in _COMMUTES and a.is_constant:
        a, b = b, a
    if b.is_constant:
        if _RIGHT_IDENTITY.get(mnemonic) == b.integer and dtype is not DType.I1:
            return a
        if mnemonic == "mul_i" and b.integer == 0:
            return 0
        if mnemonic == "and_i" and b.integer in (0, -1 if dtype is not DType.I1 else 1):
            return 0 if b.integer == 0 else a
        if mnemonic == "or_i" and b.integer == 0:
            return a
    if mnemonic == "sub_i" and a is b:
        return 0
    return None
