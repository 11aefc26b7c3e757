"""Arithmetic, integer, logical and selecting expressions of the element-wise table."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.triton.checks import check_value

PROBABILITY = tl.constexpr("mtia.check_value a probability of {value} is not between 0 and 1; clamp it to [0, 1]")
DEVIATION = tl.constexpr("mtia.check_value normal expects all elements of std >= 0.0, found {value}")
ZERO_DIVISOR = tl.constexpr("mtia.check_value ZeroDivisionError: an integer is divided by 0; divide floats instead")


@triton.jit
def identity(x):
    return x


@triton.jit
def fused(x, y, z):
    """x * y + z, of floats rounded once as CPU torch's vector loops do: no product overflows on its way."""
    if x.dtype.is_floating():
        return tl.fma(x, y, z)
    else:
        return x * y + z


@triton.jit
def add(x, y, alpha):
    return fused(y, alpha, x)


@triton.jit
def add_unscaled(x, y):
    return x + y


@triton.jit
def sub(x, y, alpha):
    return fused(y, -alpha, x)


@triton.jit
def sub_unscaled(x, y):
    return x - y


@triton.jit
def rsub(x, y, alpha):
    return fused(x, -alpha, y)


@triton.jit
def mul(x, y):
    return x * y


@triton.jit
def div(x, y):
    return x / y


@triton.jit
def refuse_zero_divisor(y):
    check_value((y == 0).to(tl.int32), 0, 0, ZERO_DIVISOR)


@triton.jit
def div_trunc(x, y):
    if x.dtype.is_floating():
        return libdevice.trunc(x / y)
    else:
        refuse_zero_divisor(y)
        return x // y


@triton.jit
def div_floor(x, y):
    if x.dtype.is_floating():
        # Python's floor division: exact where x / y rounds up to an integer.
        modulus = x % y
        quotient = (x - modulus) / y
        quotient = tl.where((modulus != 0) & ((y < 0) != (modulus < 0)), quotient - 1, quotient)
        floored = tl.floor(quotient)
        floored = tl.where(quotient - floored > 0.5, floored + 1, floored)
        floored = tl.where(quotient == 0, libdevice.copysign(quotient * 0, x / y), floored)
        return tl.where(y == 0, x / y, floored)
    else:
        refuse_zero_divisor(y)
        quotient = x // y
        modulus = x - quotient * y
        return tl.where((modulus != 0) & ((y < 0) != (modulus < 0)), quotient - 1, quotient)


@triton.jit
def fmod(x, y):
    if not x.dtype.is_floating():
        refuse_zero_divisor(y)
    return x % y


@triton.jit
def remainder(x, y):
    if not x.dtype.is_floating():
        refuse_zero_divisor(y)
    modulus = x % y
    return tl.where((modulus != 0) & ((y < 0) != (modulus < 0)), modulus + y, modulus)


@triton.jit
def any_of(condition):
    if condition.type.is_block():
        return tl.max(condition.to(tl.int32)) != 0
    else:
        return condition


@triton.jit
def integer_power(x, y):
    # Binary exponentiation with wrap-around; a negative exponent leaves only 1 and -1 other than zero.
    base = x + y * 0
    exponent = tl.where(y < 0, -y, y) + x * 0
    result = base * 0 + 1
    while any_of(exponent > 0):
        result = tl.where((exponent & 1) != 0, result * base, result)
        base = base * base
        exponent = exponent >> 1
    unit = (x == 1) | (x == -1)
    return tl.where((y < 0) & (unit == 0), result * 0, result)


@triton.jit
def power(x, y):
    if x.dtype.is_floating():
        return libdevice.pow(x, y)
    else:
        return integer_power(x, y)


@triton.jit
def square(x):
    return x * x


@triton.jit
def cube(x):
    return x * x * x


@triton.jit
def negate(x):
    if x.dtype.is_floating():
        # Triton's -x is 0 - x, which has no negative zero.
        return x * -1.0
    else:
        return -x


@triton.jit
def absolute(x):
    return tl.abs(x)


@triton.jit
def sign(x):
    zero = x * 0
    result = tl.where(x > 0, zero + 1, zero)
    result = tl.where(x < 0, zero - 1, result)
    if x.dtype.is_floating():
        # NaN and infinities have no zero multiple.
        result = tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0)).to(x.dtype)
    return result


@triton.jit
def signbit(x):
    if x.dtype.is_floating():
        return libdevice.copysign(tl.where(x == x, 1.0, 1.0).to(x.dtype), x) < 0
    else:
        return x < 0


@triton.jit
def copysign(x, y):
    return libdevice.copysign(x, y)


@triton.jit
def heaviside(x, values):
    return tl.where(x == 0, values, (x > 0).to(x.dtype))


@triton.jit
def maximum(x, y):
    if x.dtype.is_floating():
        return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    else:
        return tl.maximum(x, y)


@triton.jit
def minimum(x, y):
    if x.dtype.is_floating():
        return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)
    else:
        return tl.minimum(x, y)


@triton.jit
def fmax(x, y):
    return tl.maximum(x, y)


@triton.jit
def fmin(x, y):
    return tl.minimum(x, y)


@triton.jit
def at_least(x, low):
    """Of two zeros the second is taken: that of a tensor, and of two tensors the limit's."""
    if low.type.is_block():
        return maximum(x, low)
    else:
        return maximum(low, x)


@triton.jit
def at_most(x, high):
    if high.type.is_block():
        return minimum(x, high)
    else:
        return minimum(high, x)


@triton.jit
def clamp(x, low, high):
    return at_most(at_least(x, low), high)


@triton.jit
def where(condition, x, y):
    return tl.where(condition, x, y)


@triton.jit
def masked_fill(x, mask, value):
    return tl.where(mask, value, x)


@triton.jit
def masked_scale(x, mask, scale):
    # A product, as torch has it: what is dropped of an infinity is no number.
    if mask.dtype == tl.int1:
        return x * tl.where(mask, scale, 0.0)
    else:
        return x * mask.to(x.dtype) * scale


@triton.jit
def addcmul(x, y, z, value):
    return x + value * y * z


@triton.jit
def addcdiv(x, y, z, value):
    return x + value * (y / z)


@triton.jit
def bernoulli(draw, p):
    check_value(p, 0.0, 1.0, PROBABILITY)
    return draw < p


@triton.jit
def scaled_draw(draw, deviation):
    check_value(deviation, 0.0, float("inf"), DEVIATION)
    return draw * deviation


@triton.jit
def lerp(x, end, weight):
    # The two forms keep both ends exact, as torch does.
    return tl.where(tl.abs(weight) < 0.5, x + weight * (end - x), end - (end - x) * (1 - weight))


@triton.jit
def nan_to_num(x, nan, posinf, neginf):
    result = tl.where(x != x, nan, x)
    result = tl.where(x == float("inf"), posinf, result)
    return tl.where(x == float("-inf"), neginf, result)


@triton.jit
def equal(x, y):
    return x == y


@triton.jit
def not_equal(x, y):
    return x != y


@triton.jit
def less(x, y):
    return x < y


@triton.jit
def less_equal(x, y):
    return x <= y


@triton.jit
def greater(x, y):
    return x > y


@triton.jit
def greater_equal(x, y):
    return x >= y


@triton.jit
def logical_and(x, y):
    return (x != 0) & (y != 0)


@triton.jit
def logical_or(x, y):
    return (x != 0) | (y != 0)


@triton.jit
def logical_xor(x, y):
    return (x != 0) != (y != 0)


@triton.jit
def logical_not(x):
    return x == 0


@triton.jit
def bitwise_and(x, y):
    return x & y


@triton.jit
def bitwise_or(x, y):
    return x | y


@triton.jit
def bitwise_xor(x, y):
    return x ^ y


@triton.jit
def bitwise_not(x):
    if x.dtype == tl.int1:
        return x == 0
    else:
        return ~x


@triton.jit
def shift_left(x, y):
    bits: tl.constexpr = x.dtype.primitive_bitwidth
    inside = (y >= 0) & (y < bits)
    return tl.where(inside, x << tl.where(inside, y, y * 0), x * 0)


@triton.jit
def shift_right(x, y):
    # An over-long shift leaves the sign, as a shift by all bits but one does.
    bits: tl.constexpr = x.dtype.primitive_bitwidth
    inside = (y >= 0) & (y < bits)
    return x >> tl.where(inside, y, y * 0 + (bits - 1))


@triton.jit
def is_nan(x):
    return x != x


@triton.jit
def is_infinite(x):
    return tl.abs(x) == float("inf")


@triton.jit
def is_finite(x):
    return tl.abs(x) < float("inf")


@triton.jit
def is_negative_infinity(x):
    return x == float("-inf")


@triton.jit
def is_positive_infinity(x):
    return x == float("inf")


@triton.jit
def gcd(x, y):
    """Euclid's, on all numbers of a tile until the last has ended."""
    first = tl.abs(x) + y * 0
    second = tl.abs(y) + x * 0
    while any_of(first != 0):
        here = first != 0
        rest = second % tl.where(here, first, first + 1)
        second = tl.where(here, first, second)
        first = tl.where(here, rest, first)
    return second


@triton.jit
def lcm(x, y):
    divisor = gcd(x, y)
    if x.dtype.primitive_bitwidth < 32:
        # As C does it: the product is no narrower than an int, and its size is cut off last.
        x, y, divisor = x.to(tl.int32), y.to(tl.int32), divisor.to(tl.int32)
    none = divisor == 0
    return tl.where(none, divisor, tl.abs(x // tl.where(none, divisor + 1, divisor) * y))
