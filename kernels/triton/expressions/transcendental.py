"""Exponential, trigonometric, rounding and special-function expressions of the element-wise table."""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def exp(x):
    return tl.exp(x)


@triton.jit
def exp2(x):
    return tl.exp2(x)


@triton.jit
def expm1(x):
    return libdevice.expm1(x)


@triton.jit
def log(x):
    return tl.log(x)


@triton.jit
def log2(x):
    return tl.log2(x)


@triton.jit
def log10(x):
    return libdevice.log10(x)


@triton.jit
def log1p(x):
    return libdevice.log1p(x)


@triton.jit
def sqrt(x):
    return tl.sqrt(x)


@triton.jit
def rsqrt(x):
    return tl.rsqrt(x)


@triton.jit
def reciprocal(x):
    return 1.0 / x


@triton.jit
def sin(x):
    return tl.sin(x)


@triton.jit
def cos(x):
    return tl.cos(x)


@triton.jit
def tan(x):
    return libdevice.tan(x)


@triton.jit
def asin(x):
    return libdevice.asin(x)


@triton.jit
def acos(x):
    return libdevice.acos(x)


@triton.jit
def atan(x):
    return libdevice.atan(x)


@triton.jit
def atan2(x, y):
    return libdevice.atan2(x, y)


@triton.jit
def sinh(x):
    return libdevice.sinh(x)


@triton.jit
def cosh(x):
    return libdevice.cosh(x)


@triton.jit
def tanh(x):
    return libdevice.tanh(x)


@triton.jit
def asinh(x):
    return libdevice.asinh(x)


@triton.jit
def acosh(x):
    return libdevice.acosh(x)


@triton.jit
def atanh(x):
    return libdevice.atanh(x)


@triton.jit
def erf(x):
    return tl.erf(x)


@triton.jit
def erfc(x):
    return libdevice.erfc(x)


@triton.jit
def erfinv_guess(x):
    """Giles 2010, "Approximating the erfinv function": right to 7 digits where 1 - |x| is a float32's."""
    w = -tl.log((1.0 - x) * (1.0 + x))
    near = w - 2.5
    p = 2.81022636e-08 * near + 3.43273939e-07
    p = p * near - 3.5233877e-06
    p = p * near - 4.39150654e-06
    p = p * near + 0.00021858087
    p = p * near - 0.00125372503
    p = p * near - 0.00417768164
    p = p * near + 0.246640727
    p = p * near + 1.50140941
    far = tl.sqrt(w) - 3.0
    q = -0.000200214257 * far + 0.000100950558
    q = q * far + 0.00134934322
    q = q * far - 0.00367342844
    q = q * far + 0.00573950773
    q = q * far - 0.0076224613
    q = q * far + 0.00943887047
    q = q * far + 1.00167406
    q = q * far + 2.83297682
    return tl.where(w < 5.0, p, q) * x


@triton.jit
def erfinv(x):
    guess = erfinv_guess(x)
    if x.dtype == tl.float64:
        # Newton's steps: on erf near 0, and where erf has lost the digits of 1 - |x| on the logarithm of erfc.
        size = tl.abs(x)
        rest = 1.0 - size
        at = tl.abs(guess)
        for _ in tl.static_range(4):
            bell = tl.exp(at * at) * 0.886226925452758
            tail = libdevice.erfc(at)
            inner = (size - tl.erf(at)) * bell
            outer = (tl.log(tail) - tl.log(rest)) * tail * bell
            at += tl.where(size < 0.5, inner, outer)
        improved = libdevice.copysign(at, x)
    else:
        # 2 / sqrt(pi) is the slope of erf at 0. At the ends, where it is 0, there is nothing to improve.
        step = (tl.erf(guess) - x) / (1.1283791670955126 * tl.exp(-guess * guess))
        improved = tl.where((1.0 - x) * (1.0 + x) > 0.006737947, guess - step, guess)
    return tl.where(tl.abs(x) == 1.0, x * float("inf"), improved)


@triton.jit
def lgamma(x):
    return libdevice.lgamma(x)


@triton.jit
def hypot(x, y):
    return libdevice.hypot(x, y)


@triton.jit
def floor(x):
    if x.dtype.is_floating():
        return tl.floor(x)
    else:
        return x


@triton.jit
def ceil(x):
    if x.dtype.is_floating():
        return tl.ceil(x)
    else:
        return x


@triton.jit
def round_half_even(x):
    if x.dtype.is_floating():
        return libdevice.rint(x)
    else:
        return x


@triton.jit
def round_decimals(x, decimals):
    # The power of ten is exact in float64 up to 10^22, and rounded once to the compute dtype.
    scale = libdevice.pow(tl.full([], 10.0, tl.float64), tl.abs(decimals).to(tl.float64)).to(x.dtype)
    return tl.where(decimals < 0, libdevice.rint(x / scale) * scale, libdevice.rint(x * scale) / scale)


@triton.jit
def trunc(x):
    if x.dtype.is_floating():
        return libdevice.trunc(x)
    else:
        return x


@triton.jit
def frac(x):
    return x - libdevice.trunc(x)


@triton.jit
def logaddexp(x, y):
    largest = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    same = (x == y) & (tl.abs(x) == float("inf"))
    return tl.where(same, x, largest + libdevice.log1p(tl.exp(-tl.abs(x - y))))


@triton.jit
def logaddexp2(x, y):
    largest = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    same = (x == y) & (tl.abs(x) == float("inf"))
    return tl.where(same, x, largest + libdevice.log1p(tl.exp2(-tl.abs(x - y))) * 1.4426950408889634)


@triton.jit
def xlogy(x, y):
    return tl.where((x == 0) & (y == y), 0.0, x * tl.log(y))


@triton.jit
def logit(x):
    return tl.log(x / (1 - x))


@triton.jit
def logit_eps(x, eps):
    clamped = tl.where(x < eps, eps, tl.where(x > 1 - eps, 1 - eps, x))
    return tl.log(clamped / (1 - clamped))


@triton.jit
def logit_backward_within(grad, x, low, high, outside):
    return tl.where((x < low) | (x > high), outside, grad / (x * (1 - x)))


@triton.jit
def logit_backward(grad, x):
    return logit_backward_within(grad, x, 0.0, 1.0, float("nan"))


@triton.jit
def logit_backward_eps(grad, x, eps):
    return logit_backward_within(grad, x, eps, 1 - eps, 0.0)


@triton.jit
def sinc(x):
    scaled = x * 3.141592653589793
    return tl.where(x == 0, 1.0, tl.sin(scaled) / scaled)
