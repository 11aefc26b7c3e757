"""libdevice functions that are no instruction: directed rounding, norms, gamma, error and normal functions.

What is asked for in float32 is computed in float64.
"""

import math
from collections.abc import Callable

from mtia_core.dtypes import DType
from triton_mtia_sim.lowering.external_numbers import narrowed_down, narrowed_towards_zero, narrowed_up
from triton_mtia_sim.lowering.external_table import formula
from triton_mtia_sim.lowering.formula import Formula

_NARROW = {"rz": narrowed_towards_zero, "rd": narrowed_down, "ru": narrowed_up}


# ---- float32 arithmetic in a rounding mode: in float64, rounded to odd, so that the second rounding sees what is right
def _to_odd(nearest: Formula, error: Formula) -> Formula:
    """nearest + error, cut to float64, the last bit set where something was cut off."""
    bits = nearest.bits(DType.I64)
    inwards = (error.bits(DType.I64) ^ bits).compare("<", 0)
    odd = (inwards.where(bits - 1, bits) | 1).bits(DType.F64)
    inexact = error.compare("<", 0) | error.compare(">", 0)
    return inexact.where(odd, nearest)


def _sum(a: Formula, b: Formula) -> Formula:
    """Knuth's two-sum gives the error."""
    total = a + b
    part = total - a
    return _to_odd(total, (a - (total - part)) + (b - part))


def _quotient(a: Formula, b: Formula) -> Formula:
    ratio = a / b
    rest = (-ratio).fused(b, a)
    return _to_odd(ratio, rest * b.number(1.0).apply("copysign_f", b))


def _root(a: Formula) -> Formula:
    root = a.apply("sqrt")
    return _to_odd(root, (-root).fused(root, a))


_ARITHMETIC: dict[str, Callable[..., Formula]] = {
    "add": _sum,
    "sub": lambda a, b: _sum(a, -b),
    "mul": lambda a, b: a * b,  # exact in float64
    "div": _quotient,
    "rcp": lambda a: _quotient(a.number(1.0), a),
    "sqrt": _root,
    "ma": lambda a, b, c: _sum(a * b, c),
}
_NEAREST: dict[str, Callable[..., Formula]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "rcp": lambda a: 1.0 / a,
    "sqrt": lambda a: a.apply("sqrt"),
}


def _directed(name: str, rounding: str) -> Callable[..., Formula]:
    def compute(*operands: Formula) -> Formula:
        if operands[0].dtype is DType.F64:
            operands[0].site.refuse(f"{name} of float64 rounded {rounding}", "use round to nearest, or float32")
        return _NARROW[rounding](_ARITHMETIC[name](*(operand.to(DType.F64) for operand in operands)))

    return compute


for _name in _ARITHMETIC:
    _letters = ("f",) if _name == "ma" else ("f", "d")
    for _rounding in _NARROW:
        formula(*(f"{letter}{_name}_{_rounding}" for letter in _letters))(_directed(_name, _rounding))
        # Triton names them without a letter.
        formula("fmaf_" + _rounding if _name == "ma" else f"{_name}_{_rounding}")(_directed(_name, _rounding))
    if _name in _NEAREST:
        formula(*(f"{letter}{_name}_rn" for letter in _letters))(_NEAREST[_name])


formula("fmaf_rn")(lambda a, b, c: a.fused(b, c))


# ---- roots and norms
def _wide(function: Callable[..., Formula]) -> Callable[..., Formula]:
    """The function computed in float64."""

    def compute(*operands: Formula) -> Formula:
        return function(*(operand.to(DType.F64) for operand in operands)).to(operands[0].dtype)

    return compute


def _define_wide(*names: str) -> Callable[[Callable[..., Formula]], Callable[..., Formula]]:
    def register(function: Callable[..., Formula]) -> Callable[..., Formula]:
        formula(*names)(_wide(function))
        return function

    return register


def _norm(*sides: Formula) -> Formula:
    """Square root of the sum of squares, scaled by a power of two near the largest side."""
    largest = abs(sides[0])
    for side in sides[1:]:
        largest = largest.apply("max_f", abs(side))
    # The largest side's exponent alone; 1 where it is zero, subnormal or no number.
    field = largest.bits(DType.I64) & (0x7FF << 52)
    usual = field.compare("!=", 0) & field.compare("<", 0x7FE << 52)
    scale = usual.where(field, 1023 << 52).bits(DType.F64)
    total = sides[0].number(0.0)
    for side in sides:
        part = side / scale
        total = part.fused(part, total)
    result = total.apply("sqrt") * scale
    return largest.test("is_inf").where(largest, result)


_define_wide("norm3d")(_norm)
_define_wide("rnorm3d")(lambda x, y, z: 1.0 / _norm(x, y, z))
_define_wide("rhypot")(lambda x, y: 1.0 / _norm(x, y))
_define_wide("frsqrt_rn")(lambda x: 1.0 / x.apply("sqrt"))
_define_wide("rcbrt")(lambda x: 1.0 / x.apply("cbrt"))


# ---- gamma: C. Lanczos, SIAM J. Numer. Anal. 1 (1964); coefficients for g = 7, n = 9 by P. Godfrey
_LANCZOS = (
    0.99999999999980993,
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7,
)


@_define_wide("tgamma")
def _gamma(x: Formula) -> Formula:
    """Gamma function; the reflection formula below 1/2, NaN at negative integers, an infinity at zero."""
    low = x.compare("<", 0.5)
    z = low.where(1.0 - x, x) - 1.0
    series = z.number(_LANCZOS[0])
    for index, coefficient in enumerate(_LANCZOS[1:], 1):
        series = series + coefficient / (z + float(index))
    base = z + 7.5
    half = base.apply("pow_f", (z + 0.5) * 0.5)  # in two factors, so that it overflows no sooner than the result
    gamma = math.sqrt(2 * math.pi) * series * half * (-base).apply("exp") * half
    floor = x.apply("floor")
    sine = ((x - floor) * math.pi).apply("sin")
    odd = ((floor * 0.5).apply("floor") * 2.0).compare("!=", floor)
    sine = odd.where(-sine, sine)
    result = low.where(math.pi / (sine * gamma), gamma)
    result = (low & floor.compare("==", x)).where(result.number(float("nan")), result)
    result = x.compare("==", 0.0).where(1.0 / x, result)
    whole = x.compare("==", floor) & x.compare(">", 0.0) & x.compare("<", 24.0)
    result = whole.where(result.apply("round_even"), result)
    return x.compare(">", 172.0).where(result.number(float("inf")), result)


@_define_wide("erfcx")
def _scaled_complementary_error_function(x: Formula) -> Formula:
    """exp(x^2) erfc(x); its asymptotic series where erfc would vanish."""
    square = x * x
    usual = square.apply("exp") * x.apply("erfc")
    inverse = 1.0 / square
    series = inverse.number(0.0)
    for coefficient in (-945 / 32, 105 / 16, -15 / 8, 3 / 4, -1 / 2, 1.0):
        series = series.fused(inverse, coefficient)
    return x.compare(">", 25.0).where(series / (x * math.sqrt(math.pi)), usual)


# M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988)
_CENTRE = (
    (
        *(2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4),
        *(1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    ),
    (
        *(5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4),
        *(5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
    ),
)
_MIDDLE = (
    (
        *(7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0),
        *(3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    ),
    (
        *(1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1),
        *(6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
    ),
)
_TAIL = (
    (
        *(2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2),
        *(2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    ),
    (
        *(2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4),
        *(1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
    ),
)
_Rational = tuple[tuple[float, ...], tuple[float, ...]]


def _polynomial(coefficients: tuple[float, ...], x: Formula) -> Formula:
    """Highest power first."""
    total = x.number(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total.fused(x, coefficient)
    return total


def _rational(parts: _Rational, x: Formula) -> Formula:
    return _polynomial(parts[0], x) / _polynomial(parts[1], x)


def _normal_quantile(p: Formula, rest: Formula) -> Formula:
    """Where the normal distribution function is p; `rest` is 1 - p."""
    q = (p - rest) * 0.5
    centre = q * _rational(_CENTRE, 0.180625 - q * q)
    r = (-p.apply("min_f", rest).apply("log")).apply("sqrt")
    tail = r.compare("<=", 5.0).where(_rational(_MIDDLE, r - 1.6), _rational(_TAIL, r - 5.0))
    tail = r.test("is_inf").where(r, tail)
    tail = tail.apply("copysign_f", q)
    return abs(q).compare("<=", 0.425).where(centre, tail)


@_define_wide("normcdfinv")
def _inverse_normal_distribution(p: Formula) -> Formula:
    return _normal_quantile(p, 1.0 - p)


@_define_wide("erfcinv")
def _inverse_complementary_error_function(x: Formula) -> Formula:
    """-quantile(x / 2) / sqrt 2."""
    return _normal_quantile(x * 0.5, 1.0 - x * 0.5) * -math.sqrt(0.5)
