"""Orthogonal polynomials of the element-wise table, in float64; their order is a number an element, cut to an integer.

A negative order gives 0, as does one that is no int64 number."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.triton.expressions.arithmetic import any_of


@triton.jit
def order_of(n):
    n = n.to(tl.float64)
    # What an int64 number cannot hold becomes the lowest one.
    return tl.where(tl.abs(n) < 9.223372036854775808e18, libdevice.trunc(n), -1.0)


@triton.jit
def is_odd(n):
    return (n % 2.0) == 1.0


@triton.jit
def of_order(x, n, value, FALLING: tl.constexpr = False):
    """The value, or the limit where x is infinite: that of x^n, or of (-x)^n where FALLING."""
    negative = is_odd(n) & (x > 0) if FALLING else is_odd(n) & (x < 0)
    limit = tl.where(negative, float("-inf"), float("inf"))
    value = tl.where((tl.abs(x) == float("inf")) & (n > 0), limit, value)
    return tl.where(n < 0, 0.0, value)


@triton.jit
def chebyshev_t_of(x, n):
    """cos(n arccos x), and beyond 1 cosh(n arcosh |x|) with the sign of x^n."""
    size = tl.abs(x)
    far = libdevice.cosh(n * libdevice.acosh(tl.maximum(size, 1.0)))
    far = tl.where((x < 0) & is_odd(n), -far, far)
    near = tl.cos(n * libdevice.acos(tl.minimum(tl.maximum(x, -1.0), 1.0)))
    result = tl.where(size > 1.0, far, near)
    result = tl.where(size == 1.0, tl.where((x < 0) & is_odd(n), -1.0, 1.0), result)
    result = tl.where(n == 0, 1.0, tl.where((n == 1) | (x != x), x, result))
    return of_order(x, n, result)


@triton.jit
def chebyshev_u_of(x, n):
    """sin((n + 1) t) / sin t with cos t = x."""
    size = tl.abs(x)
    angle = libdevice.acosh(tl.maximum(size, 1.0))
    far = libdevice.sinh((n + 1.0) * angle) / libdevice.sinh(angle)
    far = tl.where((x < 0) & is_odd(n), -far, far)
    angle = libdevice.acos(tl.minimum(tl.maximum(x, -1.0), 1.0))
    near = tl.sin((n + 1.0) * angle) / tl.sin(angle)
    result = tl.where(size > 1.0, far, near)
    result = tl.where(size == 1.0, tl.where((x < 0) & is_odd(n), -(n + 1.0), n + 1.0), result)
    result = tl.where(n == 0, 1.0, tl.where((n == 1) | (x != x), x + x, result))
    return of_order(x, n, result)


@triton.jit
def chebyshev_w_of(x, n):
    """sin((n + 1/2) t) / sin(t / 2) with cos t = x; beyond -1 the quotient of hyperbolic cosines."""
    size = tl.abs(x)
    angle = libdevice.acosh(tl.maximum(size, 1.0)) * 0.5
    turns = 2.0 * n + 1.0
    above = libdevice.sinh(turns * angle) / libdevice.sinh(angle)
    below = libdevice.cosh(turns * angle) / libdevice.cosh(angle)
    below = tl.where(is_odd(n), -below, below)
    angle = libdevice.acos(tl.minimum(tl.maximum(x, -1.0), 1.0)) * 0.5
    near = tl.sin(turns * angle) / tl.sin(angle)
    result = tl.where(x > 1.0, above, tl.where(x < -1.0, below, near))
    result = tl.where(x == 1.0, turns, tl.where(x == -1.0, tl.where(is_odd(n), -1.0, 1.0), result))
    result = tl.where(n == 0, 1.0, tl.where((n == 1) | (x != x), x + x + 1.0, result))
    return of_order(x, n, result)


@triton.jit
def chebyshev_v_of(x, n):
    """The third kind at x is the fourth at -x, with the sign of (-1)^n."""
    result = chebyshev_w_of(-x, n)
    return tl.where(is_odd(n), -result, result)


@triton.jit
def chebyshev_t(x, n):
    return chebyshev_t_of(x.to(tl.float64), order_of(n))


@triton.jit
def chebyshev_u(x, n):
    return chebyshev_u_of(x.to(tl.float64), order_of(n))


@triton.jit
def chebyshev_v(x, n):
    return chebyshev_v_of(x.to(tl.float64), order_of(n))


@triton.jit
def chebyshev_w(x, n):
    return chebyshev_w_of(x.to(tl.float64), order_of(n))


@triton.jit
def shifted(x):
    x = x.to(tl.float64)
    return x + x - 1.0


@triton.jit
def shifted_chebyshev_t(x, n):
    return chebyshev_t_of(shifted(x), order_of(n))


@triton.jit
def shifted_chebyshev_u(x, n):
    return chebyshev_u_of(shifted(x), order_of(n))


@triton.jit
def shifted_chebyshev_v(x, n):
    return chebyshev_v_of(shifted(x), order_of(n))


@triton.jit
def shifted_chebyshev_w(x, n):
    return chebyshev_w_of(shifted(x), order_of(n))


@triton.jit
def recurrence(x, n, first, MOST: tl.constexpr, KIND: tl.constexpr):
    """p_n from p_0 = 1 and p_1 = first, step by step up to the largest order of the tile. MOST: an order beyond gives
    NaN; 0 for none. A lane that is no number any more stays as it is."""
    zero = x * 0.0 + n * 0.0
    before = zero + 1.0
    last = zero + first
    step = tl.full([], 1.0, tl.float64)
    reach = tl.where(x == x, n, 0.0)
    if MOST:
        reach = tl.where(n > MOST, 0.0, reach)
    going = reach > step
    while any_of(going):
        if KIND == "hermite_h":
            after = 2.0 * (x * last - step * before)
        elif KIND == "hermite_he":
            after = x * last - step * before
        elif KIND == "laguerre_l":
            after = ((2.0 * step + 1.0 - x) * last - step * before) / (step + 1.0)
        else:
            after = ((2.0 * step + 1.0) * x * last - step * before) / (step + 1.0)
        before = tl.where(going, last, before)
        last = tl.where(going, after, last)
        step += 1.0
        going = (reach > step) & (last == last)
    result = of_order(x, n, tl.where(n == 0, 1.0, last), KIND == "laguerre_l")
    if MOST:
        result = tl.where(n > MOST, float("nan"), result)
    return result


@triton.jit
def hermite_h(x, n):
    MOST: tl.constexpr = 512 if x.dtype == tl.float64 else 128
    x = x.to(tl.float64)
    return recurrence(x, order_of(n), x + x, MOST, "hermite_h")


@triton.jit
def hermite_he(x, n):
    MOST: tl.constexpr = 512 if x.dtype == tl.float64 else 128
    x = x.to(tl.float64)
    return recurrence(x, order_of(n), x, MOST, "hermite_he")


@triton.jit
def laguerre_l(x, n):
    x = x.to(tl.float64)
    n = order_of(n)
    return tl.where((x == 0) & (n >= 0), 1.0, recurrence(x, n, 1.0 - x, 0, "laguerre_l"))


@triton.jit
def legendre_p(x, n):
    x = x.to(tl.float64)
    n = order_of(n)
    size = tl.abs(x)
    ends = tl.where((x < 0) & is_odd(n), -1.0, 1.0)
    return tl.where((size == 1.0) & (n >= 0), ends, recurrence(x, n, x, 0, "legendre_p"))
