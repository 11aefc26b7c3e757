"""tt.extern_elementwise: the chip's libdevice symbols and, for kernels that name CUDA's, their equivalents."""

from collections.abc import Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.number_formats import FORMATS
from triton_mtia_sim.lowering import external_bessel, external_decaying, external_functions, external_numbers
from triton_mtia_sim.lowering.external_table import COMPOSED, composed
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.lowering.software_floats import TOWARDS_ZERO, decoded, encoded
from triton_mtia_sim.tiles.machine import Register

# imported for what they register
assert external_bessel and external_decaying and external_functions and external_numbers

# libdevice name -> mnemonic, same operands, same type
_DIRECT = {
    "acos": "acos",
    "acosh": "acosh",
    "add_rn": "add_f",
    "asin": "asin",
    "asinh": "asinh",
    "atan": "atan",
    "atan2": "atan2_f",
    "atanh": "atanh",
    "cbrt": "cbrt",
    "ceil": "ceil",
    "clz": "count_leading_zeros",
    "copysign": "copysign_f",
    "cos": "cos",
    "cosh": "cosh",
    "div_rn": "div_f",
    "erf": "erf",
    "erfc": "erfc",
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "fabs": "abs_f",
    "fast_cos": "cos",
    "fast_divide": "div_f",
    "fast_fdivide": "div_f",
    "fast_exp": "exp",
    "fast_log": "log",
    "fast_log10": "log10",
    "fast_log2": "log2",
    "fast_pow": "pow_f",
    "fast_sin": "sin",
    "fast_tan": "tan",
    "fdivide": "div_f",
    "floor": "floor",
    "fma": "fma_f",
    "fma_rn": "fma_f",
    "fmax": "max_f",
    "fmin": "min_f",
    "fmod": "rem_f",
    "gelu": "gelu",
    "lgamma": "lgamma",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "log2": "log2",
    "mul_rn": "mul_f",
    "nearbyint": "round_even",
    "popc": "popcount",
    "pow": "pow_f",
    "rcp_rn": "reciprocal",
    "rint": "round_even",
    "rsqrt": "rsqrt",
    "rsqrt_rn": "rsqrt",
    "sigmoid": "sigmoid",
    "sin": "sin",
    "sinh": "sinh",
    "sqrt": "sqrt",
    "sqrt_rn": "sqrt",
    "sub_rn": "sub_f",
    "tan": "tan",
    "tanh": "tanh",
    "trunc": "trunc",
}
_TESTS = {
    "isnan": "is_nan",
    "isinf": "is_inf",
    "finite": "is_finite",
    "isfinite": "is_finite",
    "isfinited": "is_finite",
}
_TO_INTEGER = {
    "float2int_rn": "round_even",
    "float2int_rz": "trunc",
    "float2int_rd": "floor",
    "float2int_ru": "ceil",
    "llrint": "round_even",
    "lrint": "round_even",
}


def _number(site: Site, value: float, like: Register) -> Register:
    return site.builder.number(value, like.dtype)


@composed("abs", "llabs")
def _absolute(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("abs_f" if dtype.is_float else "abs_i", a, dtype)


@composed("max", "llmax")
def _maximum(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("max_f" if dtype.is_float else "max_s", a, dtype)


@composed("min", "llmin")
def _minimum(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("min_f" if dtype.is_float else "min_s", a, dtype)


@composed("exp10", "fast_exp10")
def _exp10(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("pow_f", [_number(site, 10.0, a[0]), a[0]], dtype)


@composed("sinpi")
def _sinpi(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise(
        "sin", [site.elementwise("mul_f", [a[0], _number(site, 3.141592653589793, a[0])], dtype)], dtype
    )


@composed("cospi")
def _cospi(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise(
        "cos", [site.elementwise("mul_f", [a[0], _number(site, 3.141592653589793, a[0])], dtype)], dtype
    )


@composed("saturate")
def _saturate(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("clamp_f", [a[0], _number(site, 0.0, a[0]), _number(site, 1.0, a[0])], dtype, (0,))


@composed("round")
def _round_away(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    """Ties away from zero."""
    whole = site.elementwise("trunc", a, dtype)
    rest = site.elementwise("abs_f", [site.elementwise("sub_f", [a[0], whole], dtype)], dtype)
    up = site.elementwise("compare_f", [rest, _number(site, 0.5, a[0])], DType.I1, (3,))
    step = site.elementwise("copysign_f", [_number(site, 1.0, a[0]), a[0]], dtype)
    return site.elementwise("select", [up, site.elementwise("add_f", [whole, step], dtype), whole], dtype)


@composed("llround", "lround")
def _round_to_integer(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.convert(_round_away(site, a, a[0].dtype), dtype)


@composed("hypot")
def _hypotenuse(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    """Scaled by the larger side, so that squares do not overflow; an infinite side is longer than any, NaN too."""
    x, y = (site.elementwise("abs_f", [item], dtype) for item in a)
    large, small = site.elementwise("maximum_f", [x, y], dtype), site.elementwise("minimum_f", [x, y], dtype)
    ratio = site.elementwise("div_f", [small, large], dtype)
    one = _number(site, 1.0, a[0])
    root = site.elementwise("sqrt", [site.elementwise("fma_f", [ratio, ratio, one], dtype)], dtype)
    empty = site.elementwise("compare_f", [large, _number(site, 0.0, a[0])], DType.I1, (1,))
    length = site.elementwise("select", [empty, large, site.elementwise("mul_f", [large, root], dtype)], dtype)
    number = site.elementwise("max_f", [x, y], dtype)
    infinite = site.elementwise("is_inf", [number], DType.I1)
    return site.elementwise("select", [infinite, number, length], dtype)


@composed("normcdf")
def _normal_distribution(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    """erfc(-x / sqrt 2) / 2."""
    scaled = site.elementwise("mul_f", [a[0], _number(site, -(0.5**0.5), a[0])], dtype)
    return site.elementwise("mul_f", [site.elementwise("erfc", [scaled], dtype), _number(site, 0.5, a[0])], dtype)


# M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade, 2012: single precision, central and tails.
_ERFINV_CENTRE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_ERFINV_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


@composed("erfinv")
def _inverse_error_function(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    """Giles' polynomials, then two of Newton's steps on erf, which make float64 right too; +-1 gives an infinity."""
    x = a[0]

    def number(value: float) -> Register:
        return _number(site, value, x)

    def polynomial(coefficients: Sequence[float], at: Register) -> Register:
        total = number(coefficients[0])
        for coefficient in coefficients[1:]:
            total = site.elementwise("fma_f", [total, at, number(coefficient)], dtype)
        return total

    square = site.elementwise("mul_f", [x, x], dtype)
    w = site.elementwise(
        "neg_f", [site.elementwise("log1p", [site.elementwise("neg_f", [square], dtype)], dtype)], dtype
    )
    centre = polynomial(_ERFINV_CENTRE, site.elementwise("sub_f", [w, number(2.5)], dtype))
    tail = polynomial(
        _ERFINV_TAIL, site.elementwise("sub_f", [site.elementwise("sqrt", [w], dtype), number(3.0)], dtype)
    )
    is_centre = site.elementwise("compare_f", [w, number(5.0)], DType.I1, (4,))
    y = site.elementwise("mul_f", [site.elementwise("select", [is_centre, centre, tail], dtype), x], dtype)
    guess = y
    for _ in range(2 if dtype is DType.F64 else 1):
        error = site.elementwise("sub_f", [site.elementwise("erf", [y], dtype), x], dtype)
        growth = site.elementwise("exp", [site.elementwise("mul_f", [y, y], dtype)], dtype)
        step = site.elementwise("mul_f", [error, growth], dtype)
        step = site.elementwise("mul_f", [step, number(0.886226925452758)], dtype)
        y = site.elementwise("sub_f", [y, step], dtype)
    # In float32's tails erf is 1 to the last bit and the polynomial is better.
    inside = site.elementwise("compare_f", [w, number(36.0 if dtype is DType.F64 else 5.0)], DType.I1, (4,))
    y = site.elementwise("select", [inside, y, guess], dtype)
    size = site.elementwise("abs_f", [x], dtype)
    edge = site.elementwise("compare_f", [size, number(1.0)], DType.I1, (1,))
    infinity = site.elementwise("copysign_f", [number(float("inf")), x], dtype)
    return site.elementwise("select", [edge, infinity, y], dtype)


@composed("fdim")
def _positive_difference(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    difference = site.elementwise("sub_f", a, dtype)
    return site.elementwise("maximum_f", [difference, _number(site, 0.0, a[0])], dtype)


@composed("remainder")
def _remainder(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    """x - y * round_even(x / y)."""
    quotient = site.elementwise("round_even", [site.elementwise("div_f", a, dtype)], dtype)
    return site.elementwise("fma_f", [site.elementwise("neg_f", [quotient], dtype), a[1], a[0]], dtype)


@composed("powi")
def _power_of_integer(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("pow_f", [a[0], site.convert(a[1], dtype)], dtype)


@composed("signbit", "signbitd")
def _sign_bit(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    one = site.elementwise("copysign_f", [_number(site, 1.0, a[0]), a[0]], a[0].dtype)
    negative = site.elementwise("compare_f", [one, _number(site, 0.0, a[0])], DType.I1, (4,))
    return site.convert(negative, dtype)


@composed("mulhi", "mul64hi")
def _upper_product(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("mulhi_s", a, dtype)


@composed("umulhi", "umul64hi")
def _upper_unsigned_product(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    return site.elementwise("mulhi_u", a, dtype)


@composed("ffs")
def _first_set(site: Site, a: Sequence[Register], dtype: DType) -> Register:
    """1 + the lowest set bit's position, 0 for 0: the bits below it, counted."""
    source = a[0]
    minus = site.elementwise("sub_i", [_number(site, 0, source), source], source.dtype)
    lowest = site.elementwise("and_i", [source, minus], source.dtype)
    below = site.elementwise("sub_i", [lowest, _number(site, 1, source)], source.dtype)
    count = site.elementwise(
        "add_i", [site.elementwise("popcount", [below], source.dtype), _number(site, 1, source)], source.dtype
    )
    zero = site.elementwise("compare_i", [source, _number(site, 0, source)], DType.I1, (0,))
    return site.convert(site.elementwise("select", [zero, _number(site, 0, source), count], source.dtype), dtype)


def base_name(symbol: str, dtype: DType) -> str:
    """libdevice name of a symbol: no prefix, no type suffix."""
    name = symbol.removeprefix("mtia_").removeprefix("__nv_").removeprefix("__ocml_")
    if name in COMPOSED:
        return name
    for suffix in ("_f32", "_f64", "ll"):
        name = name.removesuffix(suffix) if name not in ("ll",) else name
    known = name in _DIRECT or name in COMPOSED or name in _TESTS or name in _TO_INTEGER
    if name.endswith("f") and (not known or dtype is DType.F32) and name != "erf":
        shorter = name[:-1]
        if shorter in _DIRECT or shorter in COMPOSED or shorter in _TESTS or shorter in _TO_INTEGER:
            return shorter
    if name.endswith("d") and not known:
        return name[:-1]
    return name


@lowers("tt.extern_elementwise", elementwise=True)
def external(site: Site) -> Register:
    """By symbol; the library's name and path do not matter."""
    symbol = site.attribute("symbol", "")
    operands, dtype = site.operands(), site.result_dtype()
    if symbol.startswith("mtia_fp8e4b15_encoded_"):
        return encoded(site, operands[0], FORMATS["fp8e4b15"], TOWARDS_ZERO if symbol.endswith("rtz") else 0)
    if symbol == "mtia_fp8e4b15_decoded":
        return decoded(site, operands[0], FORMATS["fp8e4b15"], dtype)
    name = base_name(symbol, operands[0].dtype)
    if name in _DIRECT:
        result = site.elementwise(_DIRECT[name], operands, operands[0].dtype)
        return result if result.dtype is dtype else site.convert(result, dtype)
    if name in COMPOSED:
        return COMPOSED[name](site, operands, dtype)
    if name in _TESTS:
        return site.convert(site.elementwise(_TESTS[name], operands, DType.I1), dtype)
    if name in _TO_INTEGER:
        return site.convert(site.elementwise(_TO_INTEGER[name], operands, operands[0].dtype), dtype)
    return site.refuse(
        f"external symbol {symbol!r} is not in the chip's libdevice", "use tl.math or triton_mtia_sim.libdevice"
    )
