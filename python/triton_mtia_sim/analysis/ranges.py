"""What is known of a scalar before the kernel runs, from how it is computed: its range, and a divisor."""

from collections.abc import Callable
from math import gcd

from mtia_core.dtypes import DType
from triton_mtia_sim.tiles.machine import Code, Register

Interval = tuple[int, int]
_POSITIVE = (1 << 31) - 1


def type_range(dtype: DType) -> Interval:
    """All numbers of an integer type; I1 is 0 or 1."""
    if dtype is DType.I1:
        return 0, 1
    half = 1 << (dtype.bits - 1)
    return -half, half - 1


def _within(found: Interval, limits: Interval) -> bool:
    return limits[0] <= found[0] and found[1] <= limits[1]


class Ranges:
    """Facts of the integer scalars of one kernel. `divisors` holds what the caller of the kernel promised."""

    def __init__(self) -> None:
        self.divisors: dict[Register, int] = {}
        self._intervals: dict[Register, Interval] = {}
        self._multiples: dict[Register, int] = {}

    def interval(self, register: Register) -> Interval:
        """Smallest and largest value that the scalar can take."""
        if register.is_constant:
            return register.integer, register.integer
        known = self._intervals.get(register)
        if known is None:
            limits = type_range(register.dtype)
            found = self._interval(register.definition) if register.definition is not None else None
            known = limits if found is None or not _within(found, limits) else found
            self._intervals[register] = known
        return known

    def is_non_negative(self, register: Register) -> bool:
        """Whether the scalar is known to be >= 0."""
        return self.interval(register)[0] >= 0

    def _interval(self, code: Code) -> Interval | None:
        """The range of the exact result, None where nothing is known of it."""
        rule = _INTERVALS.get(code.mnemonic)
        if rule is None:
            return None
        operands = [operand for operand in code.operands if operand is not None]
        if any(not operand.dtype.is_integer or operand.shape for operand in operands):
            return None
        return rule([self.interval(operand) for operand in operands], code)

    def multiple_of(self, register: Register) -> int:
        """A number that divides the scalar; 0 where it is 0."""
        if register.is_constant:
            return abs(register.integer)
        known = self._multiples.get(register)
        if known is None:
            code = register.definition
            known = self.divisors.get(register, 1) if code is None else self._multiple(register, code)
            self._multiples[register] = known
        return known

    def _multiple(self, register: Register, code: Code) -> int:
        rule = _MULTIPLES.get(code.mnemonic)
        operands = [operand for operand in code.operands if operand is not None]
        if rule is None or any(not operand.dtype.is_integer or operand.shape for operand in operands):
            return 1
        factor = rule(self, operands)
        exact = self._interval(code)
        if exact is None or not _within(exact, type_range(register.dtype)):
            factor = gcd(factor, 1 << register.dtype.bits)  # what wraps around keeps its powers of two
        return factor


# ---- ranges
def _products(a: Interval, b: Interval) -> Interval:
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def _quotient(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def _division(operands: list[Interval], code: Code) -> Interval | None:
    a, b = operands
    if b[0] < 1 or (code.mnemonic == "div_u" and a[0] < 0):
        return None
    corners = [_quotient(x, y) for x in a for y in b]
    return min(corners), max(corners)


def _remainder(operands: list[Interval], code: Code) -> Interval | None:
    a, b = operands
    if b[0] < 1 or (code.mnemonic == "rem_u" and a[0] < 0):
        return None
    most = b[1] - 1
    return max(-most, min(a[0], 0)), min(most, max(a[1], 0))


def _conjunction(operands: list[Interval], code: Code) -> Interval | None:
    positive = [item[1] for item in operands if item[0] >= 0]
    return (0, min(positive)) if positive else None


def _union_of_bits(operands: list[Interval], code: Code) -> Interval | None:
    if any(item[0] < 0 for item in operands):
        return None
    return 0, (1 << max(item[1] for item in operands).bit_length()) - 1


def _shift_left(operands: list[Interval], code: Code) -> Interval | None:
    a, (low, high) = operands
    return _products(a, (1 << low, 1 << high)) if low >= 0 and high < 64 else None


def _shift_right(operands: list[Interval], code: Code) -> Interval | None:
    a, (low, high) = operands
    if low < 0 or high > 63 or (code.mnemonic == "shr_u" and a[0] < 0):
        return None
    corners = [x >> y for x in a for y in (low, high)]
    return min(corners), max(corners)


def _extension(operands: list[Interval], code: Code) -> Interval | None:
    source = code.operands[0]
    assert source is not None
    a = operands[0]
    if code.mnemonic == "extend_s":
        return (-a[1], -a[0]) if source.dtype is DType.I1 else a
    return a if a[0] >= 0 else (0, (1 << source.dtype.bits) - 1)


def _hull(items: list[Interval]) -> Interval:
    return min(item[0] for item in items), max(item[1] for item in items)


_INTERVALS: dict[str, Callable[[list[Interval], Code], Interval | None]] = {
    "program_id": lambda operands, code: (0, _POSITIVE),
    "num_programs": lambda operands, code: (1, _POSITIVE),
    "for_begin": lambda operands, code: (operands[0][0], max(operands[0][0], operands[1][1] - 1)),
    "add_i": lambda operands, code: (operands[0][0] + operands[1][0], operands[0][1] + operands[1][1]),
    "sub_i": lambda operands, code: (operands[0][0] - operands[1][1], operands[0][1] - operands[1][0]),
    "mul_i": lambda operands, code: _products(*operands),
    "max_s": lambda operands, code: (max(a[0] for a in operands), max(a[1] for a in operands)),
    "min_s": lambda operands, code: (min(a[0] for a in operands), min(a[1] for a in operands)),
    "div_s": _division,
    "div_u": _division,
    "rem_s": _remainder,
    "rem_u": _remainder,
    "and_i": _conjunction,
    "or_i": _union_of_bits,
    "xor_i": _union_of_bits,
    "shl": _shift_left,
    "shr_s": _shift_right,
    "shr_u": _shift_right,
    "extend_s": _extension,
    "extend_u": _extension,
    "copy": lambda operands, code: operands[0],
    "select": lambda operands, code: _hull(operands[1:]),
    "compare_i": lambda operands, code: (0, 1),
}


# ---- divisors
def _divided(ranges: Ranges, operands: list[Register]) -> int:
    factor = ranges.multiple_of(operands[0])
    divisor = operands[1]
    if divisor.is_constant and divisor.integer > 0 and factor % divisor.integer == 0:
        return factor // divisor.integer
    return 1


def _masked(ranges: Ranges, operands: list[Register]) -> int:
    if operands[1].is_constant and operands[1].integer:
        return operands[1].integer & -operands[1].integer
    return 1


def _shifted(ranges: Ranges, operands: list[Register]) -> int:
    amount = operands[1]
    if amount.is_constant and 0 <= amount.integer < 63:
        return ranges.multiple_of(operands[0]) << amount.integer
    return 1


def _common(ranges: Ranges, operands: list[Register]) -> int:
    return gcd(*(ranges.multiple_of(operand) for operand in operands))


_MULTIPLES: dict[str, Callable[[Ranges, list[Register]], int]] = {
    "for_begin": lambda ranges, operands: gcd(ranges.multiple_of(operands[0]), ranges.multiple_of(operands[2])),
    "add_i": _common,
    "sub_i": _common,
    "max_s": _common,
    "min_s": _common,
    "rem_s": _common,
    "copy": _common,
    "extend_s": _common,
    "extend_u": _common,
    "mul_i": lambda ranges, operands: ranges.multiple_of(operands[0]) * ranges.multiple_of(operands[1]),
    "select": lambda ranges, operands: _common(ranges, operands[1:]),
    "shl": _shifted,
    "and_i": _masked,
    "div_s": _divided,
    "div_u": _divided,
}
