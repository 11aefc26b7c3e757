"""libdevice's functions on the bits of numbers: reinterpretation, conversion by rounding mode, exponents, integers."""

from collections.abc import Callable

from mtia_core.dtypes import DType
from triton_mtia_sim.lowering.external_table import formula
from triton_mtia_sim.lowering.formula import Formula

_ROUNDINGS = {"rn": "round_even", "rz": "trunc", "rd": "floor", "ru": "ceil"}
_INTEGERS = {
    "int": (DType.I32, True),
    "uint": (DType.I32, False),
    "ll": (DType.I64, True),
    "ull": (DType.I64, False),
}
_FLOATS = {"float": DType.F32, "double": DType.F64}
_BITS = {DType.F32: DType.I32, DType.F64: DType.I64}
_MANTISSA = {DType.F32: 23, DType.F64: 52}
_BIAS = {DType.F32: 127, DType.F64: 1023}
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


def other_bits(x: Formula) -> Formula:
    """A float's bits as an integer, an integer's as a float."""
    targets = {**_BITS, **{integer: real for real, integer in _BITS.items()}}
    return x.bits(targets[x.dtype])


formula("float_as_int", "float_as_uint", "int_as_float", "uint_as_float")(other_bits)
formula("double_as_longlong", "longlong_as_double")(other_bits)


def _to_integer(rounding: str, dtype: DType, signed: bool) -> Callable[[Formula], Formula]:
    def convert(x: Formula) -> Formula:
        return x.apply(_ROUNDINGS[rounding]).to(dtype, signed)

    return convert


def _from_integer(rounding: str, dtype: DType, signed: bool) -> Callable[[Formula], Formula]:
    def convert(x: Formula) -> Formula:
        return _directed(x.to(DType.I64, signed), dtype, rounding, signed)

    return convert


def _directed(x: Formula, dtype: DType, rounding: str, signed: bool) -> Formula:
    """A 64-bit integer as a float: its magnitude cut to the mantissa's width, one unit more where that is asked for."""
    if rounding == "rn":
        return x.to(dtype, signed)
    zero = x.number(0)
    negative = x.compare("<", 0) if signed else zero.compare("!=", 0)
    size = negative.where(-x, x)
    spare = 64 - x.number(_MANTISSA[dtype] + 1) - size.apply("count_leading_zeros")
    spare = spare.apply("max_s", 0)
    unit = x.number(1) << spare
    cut = size & (-unit)
    if rounding != "rz":
        away = negative if rounding == "rd" else negative ^ 1
        cut = (away & cut.compare("!=", size)).where(cut + unit, cut)
    wide = cut.to(dtype, signed=False)
    # Rounded up past the last bit of 64.
    wide = (cut.compare("==", 0) & size.compare("!=", 0)).where(wide.number(2.0**64), wide)
    return negative.where(-wide, wide)


def _define_conversions() -> None:
    for real, real_dtype in _FLOATS.items():
        for name, (dtype, signed) in _INTEGERS.items():
            for rounding in _ROUNDINGS:
                if (real, name, dtype) != ("float", "int", DType.I32):  # those are in externals.py
                    formula(f"{real}2{name}_{rounding}")(_to_integer(rounding, dtype, signed))
                formula(f"{name}2{real}_{rounding}")(_from_integer(rounding, real_dtype, signed))


_define_conversions()


@formula("double2float_rn")
def narrowed(x: Formula) -> Formula:
    """To the nearest float32."""
    return x.to(DType.F32)


@formula("double2float_rz")
def narrowed_towards_zero(x: Formula) -> Formula:
    """To the float32 next to it on zero's side."""
    site = x.site
    return Formula(site, site.elementwise("convert_f", [x.register], DType.F32, (1,)))


def _narrowed_outwards(x: Formula, when: Formula) -> Formula:
    near = narrowed_towards_zero(x)
    inexact = near.to(DType.F64).compare("!=", x) & x.compare("==", x) & when
    return inexact.where((near.bits(DType.I32) + 1).bits(DType.F32), near)


@formula("double2float_ru")
def narrowed_up(x: Formula) -> Formula:
    """To the float32 above."""
    up = _narrowed_outwards(x, x.compare(">", 0))
    smallest = up.number(0).bits(DType.I32) + 1
    lost = x.compare(">", 0) & up.compare("==", 0)
    return lost.where(smallest.bits(DType.F32), up)


@formula("double2float_rd")
def narrowed_down(x: Formula) -> Formula:
    """To the float32 below."""
    return -narrowed_up(-x)


@formula("double2hiint")
def upper_word(x: Formula) -> Formula:
    """The upper 32 bits of a float64."""
    return (x.bits(DType.I64) >> 32).to(DType.I32)


@formula("double2loint")
def lower_word(x: Formula) -> Formula:
    """The lower 32 bits of a float64."""
    return x.bits(DType.I64).to(DType.I32)


@formula("hiloint2double")
def from_words(high: Formula, low: Formula) -> Formula:
    """A float64 from its words."""
    return ((high.to(DType.I64) << 32) | low.to(DType.I64, signed=False)).bits(DType.F64)


# ---- exponents
def power_of_two(n: Formula) -> Formula:
    """2 to the n as a float64; n is an I64 from -1022 to 1023."""
    return ((n + 1023) << 52).bits(DType.F64)


@formula("ldexp", "scalbn")
def scaled(x: Formula, n: Formula) -> Formula:
    """x * 2^n, rounded once."""
    wide, exponent = x.to(DType.F64), n.to(DType.I64)
    if x.dtype is not DType.F64:
        return (wide * power_of_two(exponent.apply("max_s", -400).apply("min_s", 400))).to(x.dtype)
    for _ in range(2):
        large, small = exponent.compare(">", 1023), exponent.compare("<", -1022)
        # 2^-1022 * 2^53: what is left to do keeps all bits until the last step.
        wide = large.where(wide * 2.0**1023, small.where(wide * 2.0**-969, wide))
        exponent = large.where(exponent - 1023, small.where(exponent + 969, exponent))
    return wide * power_of_two(exponent.apply("max_s", -1022).apply("min_s", 1023))


def _exponent(x: Formula) -> Formula:
    """floor(log2 |x|) of a finite number other than zero, as I64."""
    wide = x.to(DType.F64)
    tiny = abs(wide).compare("<", 2.0**-1022)
    wide = tiny.where(wide * 2.0**54, wide)
    field = ((wide.bits(DType.I64) >> 52) & 2047) - 1023
    return tiny.where(field - 54, field)


@formula("ilogb")
def integer_exponent(x: Formula) -> Formula:
    """The exponent; the least int32 for zero and NaN, the largest for infinities."""
    result = _exponent(x).to(DType.I32)
    void = x.compare("==", 0) | x.test("is_nan")
    result = void.where(result.number(_INT32_MIN), result)
    return x.test("is_inf").where(result.number(_INT32_MAX), result)


@formula("logb")
def exponent(x: Formula) -> Formula:
    """The exponent as a float; -inf for zero, inf for infinities."""
    result = _exponent(x).to(x.dtype)
    result = x.compare("==", 0).where(result.number(float("-inf")), result)
    return x.test("is_finite").where(result, abs(x))


@formula("nextafter")
def next_after(x: Formula, y: Formula) -> Formula:
    """The float next to x towards y."""
    bits = other_bits(x)
    outwards = abs(y).compare(">", abs(x)) & (other_bits(y) ^ bits).compare(">=", 0)
    moved = other_bits(outwards.where(bits + 1, bits - 1))
    smallest = other_bits(bits.number(1)).apply("copysign_f", y)
    moved = x.compare("==", 0).where(smallest, moved)
    moved = x.compare("==", y).where(y, moved)
    unordered = x.test("is_nan") | y.test("is_nan")
    return unordered.where(x + y, moved)


# ---- integers
@formula("brev", "brevll")
def reversed_bits(x: Formula) -> Formula:
    """The bits in the opposite order: neighbours, then pairs, then fours change places."""
    width, step = x.dtype.bits, 1
    while step < width:
        mask = sum(((1 << step) - 1) << start for start in range(0, width, 2 * step))
        x = ((x >> step) & mask) | ((x & mask) << step)
        step *= 2
    return x


@formula("byte_perm")
def chosen_bytes(x: Formula, y: Formula, selector: Formula) -> Formula:
    """Byte i is the one that nibble i of the selector counts among those of x and y; its bit 3 repeats the sign."""
    source = (y.to(DType.I64) << 32) | x.to(DType.I64, signed=False)
    result = x.number(0)
    for place in range(4):
        nibble = (selector >> (4 * place)).to(DType.I64)
        byte = ((source >> ((nibble & 7) << 3)) & 255).to(DType.I32)
        sign = (byte >> 7) * 255
        byte = (nibble & 8).compare("!=", 0).where(sign, byte)
        result = result | (byte << (8 * place))
    return result


def _mean(signed: bool, round_up: int) -> Callable[[Formula, Formula], Formula]:
    def mean(x: Formula, y: Formula) -> Formula:
        return ((x.to(DType.I64, signed) + y.to(DType.I64, signed) + round_up) >> 1).to(x.dtype)

    return mean


for _prefix, _signed in (("", True), ("u", False)):
    formula(f"{_prefix}hadd")(_mean(_signed, 0))
    formula(f"{_prefix}rhadd")(_mean(_signed, 1))


@formula("sad")
def sum_of_difference(x: Formula, y: Formula, z: Formula) -> Formula:
    """|x - y| + z, signed."""
    return x.compare(">", y).where(x - y, y - x) + z


@formula("usad")
def unsigned_sum_of_difference(x: Formula, y: Formula, z: Formula) -> Formula:
    """|x - y| + z, unsigned."""
    return x.compare(">", y, signed=False).where(x - y, y - x) + z


@formula("mul24")
def product_of_24_bits(x: Formula, y: Formula) -> Formula:
    """The lower 32 bits of the product of the lowest 24 bits, signed."""
    return (x << 8).apply("shr_s", 8) * (y << 8).apply("shr_s", 8)


@formula("umul24")
def unsigned_product_of_24_bits(x: Formula, y: Formula) -> Formula:
    """The lower 32 bits of the product of the lowest 24 bits."""
    return (x & 0xFFFFFF) * (y & 0xFFFFFF)
