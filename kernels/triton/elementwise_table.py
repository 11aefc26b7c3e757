"""The one table of element-wise operators: to add one, write its expression and add its row here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mtia_sim_kernels.triton.expressions import (
    activation,
    arithmetic,
    bessel,
    beta,
    complex_numbers,
    gamma,
    normal,
    polynomials,
    transcendental,
)


@dataclass(frozen=True)
class Elementwise:
    """One element-wise kernel, launched as "elementwise.<name>".

    `expression` takes `operands` in order, as values of the compute dtype, and returns the result. Every operand may
    be a tensor or, where the caller says so, a run-time number. Operand names are the ATen schema's argument names.

    `promotion`: "common" computes in the operands' promoted dtype, "float" promotes integers and bool to the default
    float first.
    `result`: "common" gives the promoted dtype, "bool" gives bool.
    `unpromoted` operands keep their own dtype (conditions and masks: bool) and take no part in promotion.
    `boolean` is what a bool computation is done in: "i8" (so that add is or, mul is and) or "bool".

    `widens`: half precision is computed in float32.
    `complex`: the expression of complex numbers, whose operands are tuples of two parts (complex_numbers.py in
    expressions); its result has two parts for `complex_result` "common", one for "real" and where `result` is "bool".
    `scratch`: bytes of an element's further intermediate values.

    `outside`: of an expression that refuses values, one that it takes, for the lanes outside of the tensor.

    `operators` names the ATen overloads, in functional form, that the row serves; C++ registers from it.
    `overload[arg=value,...]` narrows the row to calls with those argument values (several rows may share an overload;
    the most narrow match wins). Operands that the schema lacks: `norm` of a loss's backward is 1 / numel for the
    reduction "mean", else 1.
    """

    name: str
    expression: Any
    operands: tuple[str, ...]
    operators: tuple[str, ...]
    promotion: str = "common"
    result: str = "common"
    unpromoted: tuple[str, ...] = ()
    boolean: str = "i8"
    widens: bool = True
    scratch: int = 0
    complex: Any = None
    complex_result: str = "common"
    outside: int | None = None


def _row(name: str, expression: Any, operands: str, operators: str = "", **properties: Any) -> Elementwise:
    return Elementwise(name, expression, tuple(operands.split()), tuple(operators.split()), **properties)


def _unary_float(expression: Any, *names: str) -> Elementwise:
    """Rows whose name is the operator's: one operand `self`, integers promoted to float."""
    return _row(names[0], expression, "self", " ".join(names), promotion="float")


def _compare(name: str, expression: Any) -> Elementwise:
    return _row(name, expression, "self other", f"{name}.Tensor {name}.Scalar", result="bool")


def _bitwise(name: str, expression: Any, operators: str) -> Elementwise:
    return _row(name, expression, "self other", operators, boolean="bool")


_ARITHMETIC = (
    _row("copy", arithmetic.identity, "self"),
    _row("fill", arithmetic.identity, "value", "fill.Scalar"),
    _row("add", arithmetic.add_unscaled, "self other", "add.Tensor[alpha=1] add.Scalar[alpha=1]"),
    _row("add_scaled", arithmetic.add, "self other alpha", "add.Tensor add.Scalar"),
    _row("sub", arithmetic.sub_unscaled, "self other", "sub.Tensor[alpha=1] sub.Scalar[alpha=1]"),
    _row("sub_scaled", arithmetic.sub, "self other alpha", "sub.Tensor sub.Scalar"),
    _row("rsub", arithmetic.rsub, "self other alpha", "rsub.Tensor rsub.Scalar"),
    _row("mul", arithmetic.mul, "self other", "mul.Tensor mul.Scalar"),
    _row("div", arithmetic.div, "self other", "div.Tensor div.Scalar div.Tensor_mode", promotion="float"),
    _row("div_trunc", arithmetic.div_trunc, "self other", "div.Tensor_mode[rounding_mode=trunc]", outside=1),
    _row(
        "div_floor", arithmetic.div_floor, "self other", "div.Tensor_mode[rounding_mode=floor] floor_divide", outside=1
    ),
    _row("fmod", arithmetic.fmod, "self other", "fmod.Tensor fmod.Scalar", outside=1),
    _row(
        "remainder",
        arithmetic.remainder,
        "self other",
        "remainder.Tensor remainder.Scalar remainder.Scalar_Tensor",
        outside=1,
    ),
    _row("pow", arithmetic.power, "self exponent", "pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar"),
    _row("square", arithmetic.square, "self", "pow.Tensor_Scalar[exponent=2]"),
    _row("cube", arithmetic.cube, "self", "pow.Tensor_Scalar[exponent=3]"),
    _row("neg", arithmetic.negate, "self", "neg"),
    _row("abs", arithmetic.absolute, "self", "abs"),
    _row("sign", arithmetic.sign, "self", "sign sgn"),
    _row("signbit", arithmetic.signbit, "self", "signbit", result="bool"),
    _row("copysign", arithmetic.copysign, "self other", "copysign.Tensor copysign.Scalar", promotion="float"),
    _row("heaviside", arithmetic.heaviside, "self values", "heaviside"),
    _row("maximum", arithmetic.maximum, "self other", "maximum"),
    _row("minimum", arithmetic.minimum, "self other", "minimum"),
    _row("fmax", arithmetic.fmax, "self other", "fmax"),
    _row("fmin", arithmetic.fmin, "self other", "fmin"),
    _row("clamp", arithmetic.clamp, "self min max", "clamp clamp.Tensor"),
    _row(
        "clamp_min",
        arithmetic.at_least,
        "self min",
        "clamp[max=None] clamp.Tensor[max=None] clamp_min clamp_min.Tensor",
    ),
    _row(
        "clamp_max", arithmetic.at_most, "self max", "clamp[min=None] clamp.Tensor[min=None] clamp_max clamp_max.Tensor"
    ),
    _row("hardtanh", arithmetic.clamp, "self min_val max_val", "hardtanh"),
    _row("where", arithmetic.where, "condition self other", "where.self", unpromoted=("condition",)),
    _row(
        "masked_fill",
        arithmetic.masked_fill,
        "self mask value",
        "masked_fill.Scalar",
        unpromoted=("mask",),
    ),
    _row(
        "native_dropout_backward",
        arithmetic.masked_scale,
        "grad_output mask scale",
        "native_dropout_backward",
        unpromoted=("mask",),
    ),
    _row("addcmul", arithmetic.addcmul, "self tensor1 tensor2 value", "addcmul"),
    _row("addcdiv", arithmetic.addcdiv, "self tensor1 tensor2 value", "addcdiv"),
    _row("lerp", arithmetic.lerp, "self end weight", "lerp.Scalar lerp.Tensor"),
    _row("bernoulli", arithmetic.bernoulli, "draw p", result="bool", outside=0),
    _row("scaled_draw", arithmetic.scaled_draw, "draw deviation", outside=0),
    _row("nan_to_num", arithmetic.nan_to_num, "self nan posinf neginf", "nan_to_num"),
    _compare("eq", arithmetic.equal),
    _compare("ne", arithmetic.not_equal),
    _compare("lt", arithmetic.less),
    _compare("le", arithmetic.less_equal),
    _compare("gt", arithmetic.greater),
    _compare("ge", arithmetic.greater_equal),
    _row("logical_and", arithmetic.logical_and, "self other", "logical_and", result="bool"),
    _row("logical_or", arithmetic.logical_or, "self other", "logical_or", result="bool"),
    _row("logical_xor", arithmetic.logical_xor, "self other", "logical_xor", result="bool"),
    _row("logical_not", arithmetic.logical_not, "self", "logical_not", result="bool"),
    _bitwise("bitwise_and", arithmetic.bitwise_and, "bitwise_and.Tensor bitwise_and.Scalar"),
    _bitwise("bitwise_or", arithmetic.bitwise_or, "bitwise_or.Tensor bitwise_or.Scalar"),
    _bitwise("bitwise_xor", arithmetic.bitwise_xor, "bitwise_xor.Tensor bitwise_xor.Scalar"),
    _row("bitwise_not", arithmetic.bitwise_not, "self", "bitwise_not", boolean="bool"),
    _row(
        "bitwise_left_shift",
        arithmetic.shift_left,
        "self other",
        "bitwise_left_shift.Tensor bitwise_left_shift.Tensor_Scalar __lshift__.Tensor __lshift__.Scalar",
    ),
    _row(
        "bitwise_right_shift",
        arithmetic.shift_right,
        "self other",
        "bitwise_right_shift.Tensor bitwise_right_shift.Tensor_Scalar __rshift__.Tensor __rshift__.Scalar",
    ),
    _row("isnan", arithmetic.is_nan, "self", "isnan", result="bool"),
    _row("isinf", arithmetic.is_infinite, "self", "isinf", result="bool"),
    _row("isfinite", arithmetic.is_finite, "self", "isfinite", result="bool"),
    _row("isneginf", arithmetic.is_negative_infinity, "self", "isneginf", result="bool"),
    _row("isposinf", arithmetic.is_positive_infinity, "self", "isposinf", result="bool"),
)

_TRANSCENDENTAL = (
    _unary_float(transcendental.exp, "exp"),
    _unary_float(transcendental.exp2, "exp2"),
    _unary_float(transcendental.expm1, "expm1"),
    _unary_float(transcendental.log, "log"),
    _unary_float(transcendental.log2, "log2"),
    _unary_float(transcendental.log10, "log10"),
    _unary_float(transcendental.log1p, "log1p"),
    _unary_float(transcendental.sqrt, "sqrt", "pow.Tensor_Scalar[exponent=0.5]"),
    _unary_float(transcendental.rsqrt, "rsqrt", "pow.Tensor_Scalar[exponent=-0.5]"),
    _unary_float(transcendental.reciprocal, "reciprocal", "pow.Tensor_Scalar[exponent=-1]"),
    _unary_float(transcendental.sin, "sin"),
    _unary_float(transcendental.cos, "cos"),
    _unary_float(transcendental.tan, "tan"),
    _unary_float(transcendental.asin, "asin"),
    _unary_float(transcendental.acos, "acos"),
    _unary_float(transcendental.atan, "atan"),
    _row("atan2", transcendental.atan2, "self other", "atan2", promotion="float"),
    _unary_float(transcendental.sinh, "sinh"),
    _unary_float(transcendental.cosh, "cosh"),
    _unary_float(transcendental.tanh, "tanh"),
    _unary_float(transcendental.asinh, "asinh"),
    _unary_float(transcendental.acosh, "acosh"),
    _unary_float(transcendental.atanh, "atanh"),
    _unary_float(transcendental.erf, "erf"),
    _unary_float(transcendental.erfc, "erfc"),
    _unary_float(transcendental.erfinv, "erfinv"),
    _unary_float(transcendental.lgamma, "lgamma"),
    _row("hypot", transcendental.hypot, "self other", "hypot"),
    _row("floor", transcendental.floor, "self", "floor"),
    _row("ceil", transcendental.ceil, "self", "ceil"),
    _row("round", transcendental.round_half_even, "self", "round round.decimals[decimals=0]"),
    _row("round_decimals", transcendental.round_decimals, "self decimals", "round.decimals"),
    _row("trunc", transcendental.trunc, "self", "trunc"),
    _row("frac", transcendental.frac, "self", "frac"),
    _row("logaddexp", transcendental.logaddexp, "self other", "logaddexp"),
    _row("logaddexp2", transcendental.logaddexp2, "self other", "logaddexp2"),
    _row("xlogy", transcendental.xlogy, "self other", "xlogy.Tensor", promotion="float"),
    _row("logit", transcendental.logit, "self", "logit[eps=None]", promotion="float"),
    _row("logit_eps", transcendental.logit_eps, "self eps", "logit", promotion="float"),
    _row("logit_backward", transcendental.logit_backward, "grad_output self", "logit_backward[eps=None]"),
    _row("logit_backward_eps", transcendental.logit_backward_eps, "grad_output self eps", "logit_backward"),
    _unary_float(transcendental.sinc, "sinc"),
)


_POLYNOMIALS = (
    "chebyshev_t chebyshev_u chebyshev_v chebyshev_w shifted_chebyshev_t shifted_chebyshev_u shifted_chebyshev_v "
    "shifted_chebyshev_w hermite_h hermite_he laguerre_l legendre_p"
)


def _polynomial(name: str) -> Elementwise:
    family, kind = name.rsplit("_", 1)
    operator = f"special_{family}_polynomial_{kind}"
    return _row(operator, getattr(polynomials, name), "x n", operator, promotion="float", scratch=128)


_SPECIAL = (
    _unary_float(gamma.digamma, "digamma"),
    _row("polygamma_0", gamma.digamma, "self", "polygamma[n=0]", promotion="float"),
    _row("polygamma_1", gamma.trigamma, "self", "polygamma[n=1]", promotion="float"),
    _row("polygamma", gamma.polygamma, "n self", "polygamma", promotion="float", scratch=128),
    _row("special_zeta", gamma.zeta, "self other", "special_zeta", promotion="float", scratch=192),
    _row("dirichlet_grad", beta.dirichlet_grad, "x alpha total", "_dirichlet_grad", scratch=192),
    _row("igamma", gamma.igamma, "self other", "igamma", scratch=192),
    _row("igammac", gamma.igammac, "self other", "igammac", scratch=192),
    _unary_float(bessel.bessel_j0, "special_bessel_j0"),
    _unary_float(bessel.bessel_j1, "special_bessel_j1"),
    _unary_float(bessel.bessel_y0, "special_bessel_y0"),
    _unary_float(bessel.bessel_y1, "special_bessel_y1"),
    _unary_float(bessel.i0, "i0", "special_modified_bessel_i0"),
    _unary_float(bessel.i1, "special_i1", "special_modified_bessel_i1"),
    _unary_float(bessel.i0e, "special_i0e"),
    _unary_float(bessel.i1e, "special_i1e"),
    _unary_float(bessel.bessel_k0, "special_modified_bessel_k0"),
    _unary_float(bessel.bessel_k1, "special_modified_bessel_k1"),
    *(
        _row(operator, expression, "x", operator, promotion="float")
        for operator, expression in (
            ("special_scaled_modified_bessel_k0", bessel.scaled_bessel_k0),
            ("special_scaled_modified_bessel_k1", bessel.scaled_bessel_k1),
            ("special_airy_ai", bessel.airy_ai),
            ("special_spherical_bessel_j0", bessel.spherical_bessel_j0),
        )
    ),
    _unary_float(normal.entr, "special_entr"),
    _row("special_xlog1py", normal.xlog1py, "self other", "special_xlog1py", promotion="float"),
    _unary_float(normal.erfcx, "special_erfcx"),
    _unary_float(normal.log_ndtr, "special_log_ndtr"),
    _unary_float(normal.ndtri, "special_ndtri"),
    _unary_float(normal.angle, "angle"),
    _row("nextafter", normal.nextafter, "self other", "nextafter", widens=False),
    _row("frexp_mantissa", normal.frexp_mantissa, "self"),
    _row("frexp_exponent", normal.frexp_exponent, "self"),
    _row("gcd", arithmetic.gcd, "self other", "gcd"),
    _row("lcm", arithmetic.lcm, "self other", "lcm"),
    *map(_polynomial, _POLYNOMIALS.split()),
)

_ACTIVATION = (
    _row("relu", activation.relu, "self", "relu"),
    _row("leaky_relu", activation.leaky_relu, "self negative_slope", "leaky_relu"),
    _row(
        "leaky_relu_backward", activation.leaky_relu_backward, "grad_output self negative_slope", "leaky_relu_backward"
    ),
    _row("prelu", activation.prelu, "self weight", "_prelu_kernel"),
    _row("threshold", activation.threshold, "self threshold value", "threshold"),
    _row("threshold_backward", activation.threshold_backward, "grad_output self threshold", "threshold_backward"),
    _row("hardtanh_backward", activation.hardtanh_backward, "grad_output self min_val max_val", "hardtanh_backward"),
    _unary_float(activation.sigmoid, "sigmoid"),
    _row("sigmoid_backward", activation.sigmoid_backward, "grad_output output", "sigmoid_backward"),
    _row("tanh_backward", activation.tanh_backward, "grad_output output", "tanh_backward"),
    _row("silu", activation.silu, "self", "silu"),
    _row("silu_backward", activation.silu_backward, "grad_output self", "silu_backward"),
    _row("glu", activation.glu, "self gate"),
    _row("gelu", activation.gelu_erf, "self", "gelu[approximate=none]"),
    _row("gelu_backward", activation.gelu_erf_backward, "grad_output self", "gelu_backward[approximate=none]"),
    _row("gelu_tanh", activation.gelu_tanh, "self", "gelu[approximate=tanh]"),
    _row("gelu_tanh_backward", activation.gelu_tanh_backward, "grad_output self", "gelu_backward[approximate=tanh]"),
    _row("softplus", activation.softplus, "self beta threshold", "softplus"),
    _row("softplus_backward", activation.softplus_backward, "grad_output self beta threshold", "softplus_backward"),
    _row("mish", activation.mish, "self", "mish"),
    _row("mish_backward", activation.mish_backward, "grad_output self", "mish_backward"),
    _row("hardswish", activation.hardswish, "self", "hardswish"),
    _row("hardswish_backward", activation.hardswish_backward, "grad_output self", "hardswish_backward"),
    _row("hardsigmoid", activation.hardsigmoid, "self", "hardsigmoid"),
    _row("hardsigmoid_backward", activation.hardsigmoid_backward, "grad_output self", "hardsigmoid_backward"),
    _row("elu", activation.elu, "self alpha scale input_scale", "elu"),
    _row(
        "elu_backward_of_result",
        activation.elu_backward_of_result,
        "grad_output alpha scale input_scale self_or_result",
        "elu_backward[is_result=True]",
    ),
    _row(
        "elu_backward_of_input",
        activation.elu_backward_of_input,
        "grad_output alpha scale input_scale self_or_result",
        "elu_backward[is_result=False]",
    ),
    _row("log_sigmoid", activation.log_sigmoid, "self", "log_sigmoid_forward"),
    _row("log_sigmoid_backward", activation.log_sigmoid_backward, "grad_output self", "log_sigmoid_backward"),
    _row("softshrink", activation.softshrink, "self lambd", "softshrink"),
    _row("softshrink_backward", activation.shrink_backward, "grad_output self lambd", "softshrink_backward"),
    _row("hardshrink", activation.hardshrink, "self lambd", "hardshrink"),
    _row("hardshrink_backward", activation.shrink_backward, "grad_out self lambd", "hardshrink_backward"),
    _row("mse_loss", activation.mse_loss, "self target", "mse_loss[reduction=0]"),
    _row("mse_loss_backward", activation.mse_loss_backward, "grad_output self target norm", "mse_loss_backward"),
    _row("l1_loss_backward", activation.l1_loss_backward, "grad_output self target norm"),
    _row("smooth_l1_loss", activation.smooth_l1_loss, "self target beta", "smooth_l1_loss[reduction=0]"),
    _row(
        "smooth_l1_loss_backward",
        activation.smooth_l1_loss_backward,
        "grad_output self target beta norm",
        "smooth_l1_loss_backward",
    ),
    _row("huber_loss", activation.huber_loss, "self target delta", "huber_loss[reduction=0]"),
    _row(
        "huber_loss_backward",
        activation.huber_loss_backward,
        "grad_output self target delta norm",
        "huber_loss_backward",
    ),
    _row("label", activation.label, "target classes", outside=0),
    _row(
        "binary_cross_entropy",
        activation.binary_cross_entropy,
        "self target weight",
        "binary_cross_entropy[reduction=0]",
        outside=0,
    ),
    _row(
        "binary_cross_entropy_backward",
        activation.binary_cross_entropy_backward,
        "grad_output self target weight norm",
        "binary_cross_entropy_backward",
    ),
    _row(
        "binary_cross_entropy_with_logits",
        activation.binary_cross_entropy_with_logits,
        "self target weight pos_weight",
        "binary_cross_entropy_with_logits[reduction=0]",
    ),
)


# Rows that complex numbers have too: the expression's name where it is not the row's.
_COMPLEX = (
    "fill=identity add=add_unscaled add_scaled=add sub=sub_unscaled sub_scaled=sub rsub mul div square cube pow=power "
    "neg=negate abs=absolute angle sign=sgn where masked_fill addcmul addcdiv lerp nan_to_num eq=equal ne=not_equal "
    "logical_and logical_or logical_xor logical_not isnan=is_nan isinf=is_infinite "
    "isfinite=is_finite exp exp2 expm1 log log2 log10 log1p sqrt rsqrt "
    "reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid silu sigmoid_backward "
    "tanh_backward sinc logaddexp"
)
_COMPLEX_EXPRESSIONS: dict[str, Any] = {
    row: getattr(complex_numbers, expression or row)
    for row, _, expression in (entry.partition("=") for entry in _COMPLEX.split())
}


def _with_complex(row: Elementwise) -> Elementwise:
    if row.name not in _COMPLEX_EXPRESSIONS:
        return row
    result = "real" if row.name in ("abs", "angle") else "common"
    return replace(row, complex=_COMPLEX_EXPRESSIONS[row.name], complex_result=result)


def elementwise_table() -> tuple[Elementwise, ...]:
    """All rows; names are unique."""
    return tuple(map(_with_complex, _ARITHMETIC + _TRANSCENDENTAL + _SPECIAL + _ACTIVATION))
