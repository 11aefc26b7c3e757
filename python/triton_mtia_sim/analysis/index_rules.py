"""Closed forms of integer tensors, by the operation that makes them. A form is right modulo 2^bits of the type."""

from dataclasses import replace

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Affine, Dimension
from triton_mtia_sim.analysis.interfaces import Addresses, IndexRule
from triton_mtia_sim.ir.operations import Operation
from triton_mtia_sim.ir.types import element_dtype, shape_of
from triton_mtia_sim.tiles.machine import Register

_LARGEST = (1 << 63) - 1


def _range(analysis: Addresses, operation: Operation) -> Affine | None:
    start = operation.attributes["start"]
    return analysis.algebra.line(start, operation.attributes["end"] - start)


def _sum(analysis: Addresses, operation: Operation) -> Affine | None:
    left, right = (analysis.affine(operand) for operand in operation.operands)
    if left is None or right is None:
        return None
    if operation.name == "arith.subi":
        right = analysis.algebra.negate(right)
    return analysis.algebra.add(left, right)


def _product(analysis: Addresses, operation: Operation) -> Affine | None:
    left, right = (analysis.affine(operand) for operand in operation.operands)
    if left is None or right is None:
        return None
    if left.is_uniform:
        left, right = right, left
    if not right.is_uniform:
        return None
    result = analysis.algebra.scale(left, right.offset)
    return replace(result, checks=(*result.checks, *(check for check in right.checks if check not in result.checks)))


def _shift(analysis: Addresses, operation: Operation) -> Affine | None:
    left, amount = analysis.affine(operation.operands[0]), analysis.uniform_scalar(operation.operands[1])
    bits = _dtype(operation).bits
    if left is None or amount is None or not amount.is_constant or not 0 <= amount.integer < bits:
        return None
    return analysis.algebra.scale(left, analysis.builder.integer(1 << amount.integer))


def _dtype(operation: Operation) -> DType:
    dtype = element_dtype(operation.results[0].type)
    assert dtype is not None
    return dtype


def _division(analysis: Addresses, operation: Operation) -> Affine | None:
    """Quotient or remainder: of a number that is not negative, so that rounding is the same for every flavour."""
    is_quotient = "div" in operation.name
    left, divisor = analysis.not_negative(operation.operands[0]), analysis.uniform_scalar(operation.operands[1])
    if left is None or divisor is None:
        return None
    builder, algebra = analysis.builder, analysis.algebra
    least = analysis.ranges.interval(divisor)[0]
    sign: Register | None = None
    if least <= 0:
        if divisor.is_constant:
            return None
        if operation.name in ("arith.remsi", "arith.divsi"):
            negative = builder.scalar("compare_i", DType.I1, (divisor, algebra.zero), (2,))
            sign = builder.scalar("select", DType.I64, (negative, builder.integer(-1), builder.integer(1)))
            divisor = builder.maximum(divisor, builder.negate(divisor))
        elif least < 0:
            # Unsigned: as a number of 64 bits.
            narrow = analysis.kernel.data(operation.operands[1])
            if narrow.dtype is DType.I64:
                return None
            divisor = builder.widen(narrow, signed=False)
    quotient, rest = algebra.divide(left, divisor, shape_of(operation.results[0].type))
    if not is_quotient:
        return rest
    return quotient if quotient is None or sign is None else algebra.scale(quotient, sign)


def _shift_right(analysis: Addresses, operation: Operation) -> Affine | None:
    left, amount = analysis.not_negative(operation.operands[0]), analysis.uniform_scalar(operation.operands[1])
    if left is None or amount is None or not amount.is_constant or not 0 <= amount.integer < _dtype(operation).bits:
        return None
    divisor = analysis.builder.integer(1 << min(amount.integer, 62))
    return analysis.algebra.divide(left, divisor, shape_of(operation.results[0].type))[0]


def _conjunction(analysis: Addresses, operation: Operation) -> Affine | None:
    """index & (2^k - 1): the remainder by a power of two, whatever the sign and the upper bits."""
    for value, other in (operation.operands, reversed(operation.operands)):
        number = analysis.uniform_scalar(other)
        if number is None or not number.is_constant or number.integer < 1 or number.integer & (number.integer + 1):
            continue
        form = analysis.affine(value)
        if form is None or number.integer > _LARGEST // 2:
            return None
        offset = analysis.builder.scalar("and_i", DType.I64, (form.offset, number))
        form = replace(form, offset=offset)
        low, high = analysis.algebra.span(form)
        if low < 0 or high >= _LARGEST:
            return None
        divisor = analysis.builder.integer(number.integer + 1)
        return analysis.algebra.divide(form, divisor, shape_of(operation.results[0].type))[1]
    return None


def _sign_extension(analysis: Addresses, operation: Operation) -> Affine | None:
    if element_dtype(operation.operands[0].type) is DType.I1:
        return None
    return analysis.exact(operation.operands[0])


def _zero_extension(analysis: Addresses, operation: Operation) -> Affine | None:
    if element_dtype(operation.operands[0].type) is DType.I1:
        return None
    return analysis.not_negative(operation.operands[0])


def _truncation(analysis: Addresses, operation: Operation) -> Affine | None:
    return analysis.affine(operation.operands[0])


def _selection(analysis: Addresses, operation: Operation) -> Affine | None:
    condition, *values = operation.operands
    if not analysis.is_uniform(condition):
        return None
    left, right = (analysis.affine(value) for value in values)
    if left is None or right is None or left.checks or right.checks:
        return None
    return choose(analysis, analysis.kernel.data(condition), left, right)


def choose(analysis: Addresses, condition: Register, left: Affine, right: Affine) -> Affine | None:
    """One of two forms by a scalar condition, where they differ in numbers only."""
    dimensions = []
    for first, second in zip(left.dimensions, right.dimensions, strict=True):
        if len(first) != len(second) or any(a.size != b.size for a, b in zip(first, second, strict=True)):
            return None
        pieces = []
        for a, b in zip(first, second, strict=True):
            if a.start is not b.start or a.wrap is not b.wrap or a.carry is not b.carry:
                return None
            stride = analysis.builder.scalar("select", DType.I64, (condition, a.stride, b.stride))
            pieces.append(replace(a, stride=stride))
        dimensions.append(tuple(pieces))
    offset = analysis.builder.scalar("select", DType.I64, (condition, left.offset, right.offset))
    return Affine(offset, tuple(dimensions), left.checks)


# ---- shapes
def moved(analysis: Addresses, operation: Operation, form: Affine) -> Affine | None:
    """A form through broadcast, expand_dims, reshape or trans."""
    algebra = analysis.algebra
    old, new = shape_of(operation.operands[0].type), shape_of(operation.results[0].type)
    if operation.name == "tt.reshape":
        return algebra.reshape(form, new)

    def change(dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
        if operation.name == "tt.broadcast":
            return tuple(item if a == b else algebra.still(b) for item, a, b in zip(dimensions, old, new, strict=True))
        if operation.name == "tt.expand_dims":
            axis = operation.attributes["axis"]
            return (*dimensions[:axis], algebra.still(1), *dimensions[axis:])
        return tuple(dimensions[source] for source in operation.attributes["order"])

    return form.mapped(change)


def _moved(analysis: Addresses, operation: Operation) -> Affine | None:
    form = analysis.affine(operation.operands[0])
    return None if form is None else moved(analysis, operation, form)


INDEX_RULES: dict[str, IndexRule] = {
    "tt.make_range": _range,
    "arith.addi": _sum,
    "arith.subi": _sum,
    "arith.muli": _product,
    "arith.shli": _shift,
    "arith.shrsi": _shift_right,
    "arith.shrui": _shift_right,
    "arith.andi": _conjunction,
    "arith.divsi": _division,
    "arith.divui": _division,
    "arith.remsi": _division,
    "arith.remui": _division,
    "arith.extsi": _sign_extension,
    "arith.extui": _zero_extension,
    "arith.trunci": _truncation,
    "arith.select": _selection,
    "tt.broadcast": _moved,
    "tt.expand_dims": _moved,
    "tt.reshape": _moved,
    "tt.trans": _moved,
}
