"""Functions of the math dialect: the SIMD engine's tables and the vector core's exact ones."""

from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register

UNARY = {
    "math.absf": "abs_f",
    "math.absi": "abs_i",
    "math.acos": "acos",
    "math.acosh": "acosh",
    "math.asin": "asin",
    "math.asinh": "asinh",
    "math.atan": "atan",
    "math.atanh": "atanh",
    "math.cbrt": "cbrt",
    "math.ceil": "ceil",
    "math.cos": "cos",
    "math.cosh": "cosh",
    "math.ctlz": "count_leading_zeros",
    "math.ctpop": "popcount",
    "math.erf": "erf",
    "math.erfc": "erfc",
    "math.exp": "exp",
    "math.exp2": "exp2",
    "math.expm1": "expm1",
    "math.floor": "floor",
    "math.log": "log",
    "math.log10": "log10",
    "math.log1p": "log1p",
    "math.log2": "log2",
    "math.roundeven": "round_even",
    "math.rsqrt": "rsqrt",
    "math.sin": "sin",
    "math.sinh": "sinh",
    "math.sqrt": "sqrt",
    "math.tan": "tan",
    "math.tanh": "tanh",
    "math.trunc": "trunc",
    "tt.precise_sqrt": "sqrt",
}
BINARY = {"math.atan2": "atan2_f", "math.copysign": "copysign_f", "math.powf": "pow_f"}


@lowers(*UNARY, elementwise=True)
def unary(site: Site) -> Register:
    """One operand, one instruction."""
    return site.elementwise(UNARY[site.name], site.operands(), site.result_dtype())


@lowers(*BINARY, elementwise=True)
def binary(site: Site) -> Register:
    """Two operands, one instruction."""
    return site.elementwise(BINARY[site.name], site.operands(), site.result_dtype())
