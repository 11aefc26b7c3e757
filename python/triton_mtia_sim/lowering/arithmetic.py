"""Element-wise arithmetic of the arith dialect and of Triton's own arithmetic operations."""

from mtia_core.dtypes import DType
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register

BINARY = {
    "arith.addf": "add_f",
    "arith.subf": "sub_f",
    "arith.mulf": "mul_f",
    "arith.divf": "div_f",
    "arith.remf": "rem_f",
    "arith.maxnumf": "max_f",
    "arith.minnumf": "min_f",
    "arith.maximumf": "maximum_f",
    "arith.minimumf": "minimum_f",
    "tt.precise_divf": "div_f",
    "arith.addi": "add_i",
    "arith.subi": "sub_i",
    "arith.muli": "mul_i",
    "arith.divsi": "div_s",
    "arith.divui": "div_u",
    "arith.remsi": "rem_s",
    "arith.remui": "rem_u",
    "arith.maxsi": "max_s",
    "arith.maxui": "max_u",
    "arith.minsi": "min_s",
    "arith.minui": "min_u",
    "arith.andi": "and_i",
    "arith.ori": "or_i",
    "arith.xori": "xor_i",
    "arith.shli": "shl",
    "arith.shrsi": "shr_s",
    "arith.shrui": "shr_u",
    "tt.mulhiui": "mulhi_u",
    "tt.mulhisi": "mulhi_s",
}
# What a one-bit number's arithmetic is (modulo two).
_BOOLEAN = {
    "arith.addi": "xor_i",
    "arith.subi": "xor_i",
    "arith.muli": "and_i",
    "arith.maxui": "or_i",
    "arith.minui": "and_i",
}


@lowers(*BINARY, elementwise=True)
def binary(site: Site) -> Register:
    """Two operands, one instruction; tl.sigmoid's four are one, which the SIMD engine has a table for."""
    dtype = site.result_dtype()
    mnemonic = _BOOLEAN.get(site.name, BINARY[site.name]) if dtype is DType.I1 else BINARY[site.name]
    operands = site.operands()
    if mnemonic == "div_f" and site.name == "arith.divf":
        argument = _sigmoid_of(site, *operands)
        if argument is not None:
            return site.elementwise("sigmoid", [argument], dtype)
    return site.elementwise(mnemonic, operands, dtype)


def _sigmoid_of(site: Site, numerator: Register, denominator: Register) -> Register | None:
    """x where the quotient is 1 / (1 + exp(0 - x)), as tl.sigmoid writes it."""

    def made_by(register: Register, *mnemonics: str) -> list[Register] | None:
        code = register.definition
        if code is None or code.mnemonic not in mnemonics or register.is_scalar or register.is_constant:
            return None
        result = code.results[0]
        whole = result is not None and result.shape == register.shape and result.dtype is register.dtype
        return [operand for operand in code.operands if operand is not None] if whole else None

    def is_number(register: Register, value: float) -> bool:
        return register.is_constant and register.bits == site.builder.number(value, register.dtype).bits

    if numerator.dtype not in (DType.F32, DType.F64) or not is_number(numerator, 1.0):
        return None
    total = made_by(denominator, "add_f")
    if total is None or not any(is_number(term, 1.0) for term in total):
        return None
    exponential = made_by(total[1] if is_number(total[0], 1.0) else total[0], "exp")
    if exponential is None:
        return None
    negated = made_by(exponential[0], "sub_f", "neg_f")
    if negated is None or (len(negated) == 2 and not is_number(negated[0], 0.0)):
        return None
    return negated[-1]


@lowers("arith.negf", elementwise=True)
def negate(site: Site) -> Register:
    """-a."""
    return site.elementwise("neg_f", site.operands(), site.result_dtype())


@lowers("arith.ceildivsi", "arith.floordivsi", elementwise=True)
def rounded_division(site: Site) -> Register:
    """Quotient rounded up or down, from the one rounded towards zero and the remainder."""
    a, b = site.operands()
    dtype = site.result_dtype()
    quotient = site.elementwise("div_s", [a, b], dtype)
    remainder = site.elementwise("rem_s", [a, b], dtype)
    zero = site.builder.integer(0, dtype)
    inexact = site.elementwise("compare_i", [remainder, zero], DType.I1, (1,))
    signs = site.elementwise("xor_i", [a, b], dtype)
    up = site.name == "arith.ceildivsi"
    same = site.elementwise("compare_i", [signs, zero], DType.I1, (5 if up else 2,))
    adjust = site.elementwise("and_i", [inexact, same], DType.I1)
    moved = site.elementwise("add_i", [quotient, site.builder.integer(1 if up else -1, dtype)], dtype)
    return site.elementwise("select", [adjust, moved, quotient], dtype)


@lowers("arith.cmpi", elementwise=True)
def compare_integers(site: Site) -> Register:
    """Integers, booleans and pointers."""
    return site.elementwise("compare_i", site.operands(), DType.I1, (site.attribute("predicate"),))


@lowers("arith.cmpf", elementwise=True)
def compare_floats(site: Site) -> Register:
    """Floats, with MLIR's ordered and unordered predicates."""
    return site.elementwise("compare_f", site.operands(), DType.I1, (site.attribute("predicate"),))


@lowers("arith.select", elementwise=True)
def select(site: Site) -> Register:
    """condition ? a : b."""
    condition, a, b = site.operands()
    if condition.is_constant:
        return a if condition.integer else b
    return site.elementwise("select", [condition, a, b], site.result_dtype())


@lowers("tt.clampf", elementwise=True)
def clamp(site: Site) -> Register:
    """min(max(a, low), high); propagateNan is 0 or all bits."""
    return site.elementwise(
        "clamp_f", site.operands(), site.result_dtype(), (int(bool(site.attribute("propagateNan"))),)
    )


@lowers("math.fma", elementwise=True)
def fused_multiply_add(site: Site) -> Register:
    """a * b + c."""
    return site.elementwise("fma_f", site.operands(), site.result_dtype())
