"""Complex expressions of the element-wise table: a number is a tuple of its real and its imaginary part.

Sums and products are computed in the parts' dtype, all else in float64."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.triton.expressions.arithmetic import negate as negative

LN2 = tl.constexpr(0.6931471805599453)
LN10 = tl.constexpr(2.302585092994046)
PI = tl.constexpr(3.141592653589793)


@triton.jit
def wide(z):
    return z[0].to(tl.float64), z[1].to(tl.float64)


@triton.jit
def identity(z):
    return z


@triton.jit
def add_unscaled(a, b):
    return a[0] + b[0], a[1] + b[1]


@triton.jit
def sub_unscaled(a, b):
    return a[0] - b[0], a[1] - b[1]


@triton.jit
def mul(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


@triton.jit
def add(a, b, alpha):
    return add_unscaled(a, mul(b, alpha))


@triton.jit
def sub(a, b, alpha):
    return sub_unscaled(a, mul(b, alpha))


@triton.jit
def rsub(a, b, alpha):
    return sub_unscaled(b, mul(a, alpha))


@triton.jit
def square(z):
    return mul(z, z)


@triton.jit
def cube(z):
    return mul(mul(z, z), z)


@triton.jit
def negate(z):
    return negative(z[0]), negative(z[1])


@triton.jit
def conjugate(z):
    return z[0], negative(z[1])


@triton.jit
def quotient(a, b):
    """By the ratio of the divisor's parts (Smith, CACM 5, 1962): no square overflows or vanishes, and what is divided
    by an infinite part beside a finite one is 0."""
    first = tl.abs(b[0]) >= tl.abs(b[1])
    larger = tl.where(first, b[0], b[1])
    smaller = tl.where(first, b[1], b[0])
    ratio = smaller / larger
    size = larger + smaller * ratio
    above = tl.where(first, a[0] + a[1] * ratio, a[0] * ratio + a[1]) / size
    beside = tl.where(first, a[1] - a[0] * ratio, a[1] * ratio - a[0]) / size
    none = (b[0] == 0) & (b[1] == 0)
    return tl.where(none, a[0] / tl.abs(larger), above), tl.where(none, a[1] / tl.abs(larger), beside)


@triton.jit
def div(a, b):
    return quotient(wide(a), wide(b))


@triton.jit
def one_like(z):
    one = tl.where(z[0] == z[0], 1.0, 1.0).to(z[0].dtype)
    return one, one * 0.0


@triton.jit
def reciprocal(z):
    z = wide(z)
    return quotient(one_like(z), z)


@triton.jit
def absolute(z):
    return libdevice.hypot(z[0], z[1])


@triton.jit
def angle(z):
    return libdevice.atan2(z[1], z[0])


@triton.jit
def sgn(z):
    z = wide(z)
    size = absolute(z)
    return tl.where(size == 0, 0.0, z[0] / size), tl.where(size == 0, 0.0, z[1] / size)


@triton.jit
def addcmul(x, y, z, value):
    return add_unscaled(x, mul(value, mul(y, z)))


@triton.jit
def addcdiv(x, y, z, value):
    return add_unscaled(wide(x), mul(wide(value), quotient(wide(y), wide(z))))


@triton.jit
def select(condition, a, b):
    return tl.where(condition, a[0], b[0]), tl.where(condition, a[1], b[1])


@triton.jit
def where(condition, a, b):
    return select(condition[0], a, b)


@triton.jit
def masked_fill(z, mask, value):
    return select(mask[0], value, z)


@triton.jit
def lerp(start, end, weight):
    difference = sub_unscaled(end, start)
    small = weight[0] * weight[0] + weight[1] * weight[1] < 0.25
    from_start = add_unscaled(start, mul(weight, difference))
    from_end = sub_unscaled(end, mul(difference, (1.0 - weight[0], -weight[1])))
    return select(small, from_start, from_end)


@triton.jit
def nan_to_num_part(x, nan, posinf, neginf):
    result = tl.where(x != x, nan, x)
    result = tl.where(x == float("inf"), posinf, result)
    return tl.where(x == float("-inf"), neginf, result)


@triton.jit
def nan_to_num(z, nan, posinf, neginf):
    return (
        nan_to_num_part(z[0], nan[0], posinf[0], neginf[0]),
        nan_to_num_part(z[1], nan[0], posinf[0], neginf[0]),
    )


@triton.jit
def equal(a, b):
    return (a[0] == b[0]) & (a[1] == b[1])


@triton.jit
def not_equal(a, b):
    return (a[0] != b[0]) | (a[1] != b[1])


@triton.jit
def truth(z):
    return (z[0] != 0) | (z[1] != 0)


@triton.jit
def logical_and(a, b):
    return truth(a) & truth(b)


@triton.jit
def logical_or(a, b):
    return truth(a) | truth(b)


@triton.jit
def logical_xor(a, b):
    return truth(a) != truth(b)


@triton.jit
def logical_not(z):
    return (z[0] == 0) & (z[1] == 0)


@triton.jit
def is_nan(z):
    return (z[0] != z[0]) | (z[1] != z[1])


@triton.jit
def is_infinite(z):
    return (tl.abs(z[0]) == float("inf")) | (tl.abs(z[1]) == float("inf"))


@triton.jit
def is_finite(z):
    return (tl.abs(z[0]) < float("inf")) & (tl.abs(z[1]) < float("inf"))


@triton.jit
def is_aimless(z):
    """Whether z says the size of an exponential, 0 or infinity, but no direction."""
    return (tl.abs(z[0]) == float("inf")) & ((tl.abs(z[1]) < float("inf")) == 0)


@triton.jit
def exp_of(z):
    size = tl.exp(z[0])
    aimless = is_aimless(z)
    beside = tl.where(aimless & (z[0] < 0), libdevice.copysign(size, z[1]), size * tl.sin(z[1]))
    # A real number stays one, infinities among them.
    return tl.where(aimless, size, size * tl.cos(z[1])), tl.where(z[1] == 0, z[1], beside)


@triton.jit
def exp(z):
    return exp_of(wide(z))


@triton.jit
def exp2(z):
    z = wide(z)
    return exp_of((z[0] * LN2, z[1] * LN2))


@triton.jit
def expm1(z):
    x, y = wide(z)
    half = tl.sin(y * 0.5)
    return libdevice.expm1(x) * tl.cos(y) - 2.0 * half * half, tl.exp(x) * tl.sin(y)


@triton.jit
def logarithm_of_size(x, y):
    size = libdevice.hypot(x, y)
    larger = tl.maximum(tl.abs(x), tl.abs(y))
    smaller = tl.minimum(tl.abs(x), tl.abs(y))
    near = libdevice.log1p((larger - 1.0) * (larger + 1.0) + smaller * smaller) * 0.5
    return tl.where((size > 0.7) & (size < 1.5), near, tl.log(size))


@triton.jit
def log_of(z):
    return logarithm_of_size(z[0], z[1]), libdevice.atan2(z[1], z[0])


@triton.jit
def log(z):
    return log_of(wide(z))


@triton.jit
def log2(z):
    result = log_of(wide(z))
    return result[0] / LN2, result[1] / LN2


@triton.jit
def log10(z):
    result = log_of(wide(z))
    return result[0] / LN10, result[1] / LN10


@triton.jit
def log1p(z):
    x, y = wide(z)
    near = libdevice.log1p(x * (x + 2.0) + y * y) * 0.5
    far = logarithm_of_size(x + 1.0, y)
    return tl.where(tl.abs(x) + tl.abs(y) < 0.5, near, far), libdevice.atan2(y, x + 1.0)


@triton.jit
def sqrt_of(z):
    size = libdevice.hypot(z[0], z[1])
    root = tl.sqrt(0.5 * (tl.abs(z[0]) + size))
    other = tl.where(root == 0, 0.0, 0.5 * tl.abs(z[1]) / root)
    endless = tl.abs(z[1]) == float("inf")
    root = tl.where(endless, float("inf"), root)
    other = tl.where(endless, float("inf"), tl.where(tl.abs(z[0]) == float("inf"), 0.0 * z[1], other))
    right = z[0] >= 0
    return tl.where(right, root, other), libdevice.copysign(tl.where(right, other, root), z[1])


@triton.jit
def sqrt(z):
    return sqrt_of(wide(z))


@triton.jit
def rsqrt(z):
    root = sqrt_of(wide(z))
    return quotient(one_like(root), root)


@triton.jit
def power(base, exponent):
    base = wide(base)
    exponent = wide(exponent)
    result = exp_of(mul(exponent, log_of(base)))
    # Zero to the power of a number with a positive real part.
    zero = (base[0] == 0) & (base[1] == 0)
    vanishes = zero & (exponent[0] > 0) & (exponent[1] == 0)
    result = select(vanishes, (result[0] * 0.0, result[0] * 0.0), result)
    vanished = (tl.where(vanishes, 0.0, result[0]), tl.where(vanishes, 0.0, result[1]))
    unit = (exponent[0] == 0) & (exponent[1] == 0)
    return tl.where(unit, 1.0, vanished[0]), tl.where(unit, 0.0, vanished[1])


@triton.jit
def sinh_of(z):
    real = tl.where(z[0] == 0, z[0], libdevice.sinh(z[0]) * tl.cos(z[1]))
    return tl.where(is_aimless(z), tl.abs(z[0]), real), tl.where(z[1] == 0, z[1], libdevice.cosh(z[0]) * tl.sin(z[1]))


@triton.jit
def cosh_of(z):
    beside = libdevice.sinh(z[0]) * tl.sin(z[1])
    one = one_like(z)[0]
    none = libdevice.copysign(one, z[0]) * libdevice.copysign(one * 0.0, z[1])
    real = libdevice.cosh(z[0]) * tl.cos(z[1])
    return tl.where(is_aimless(z), tl.abs(z[0]), real), tl.where((z[1] == 0) | (z[0] == 0), none, beside)


@triton.jit
def tanh_of(z):
    """Kahan's: in the tangent of the imaginary part, which loses nothing beside its poles."""
    x, y = z
    tangent = libdevice.tan(y)
    sine = libdevice.sinh(x)
    root = tl.sqrt(1.0 + sine * sine)
    beta = 1.0 + tangent * tangent
    below = 1.0 + beta * sine * sine
    far = tl.abs(x) > 22.0
    tail = 4.0 * tl.sin(y) * tl.cos(y) * tl.exp(-2.0 * tl.abs(x))
    steep = tangent == tangent * 2.0
    real = tl.where(far, libdevice.copysign(one_like(z)[0], x), beta * root * sine / below)
    imaginary = tl.where(far, tl.where(tl.abs(y) < float("inf"), tail, 0.0), tangent / below)
    real = tl.where(steep & (y != 0), root / sine, real)
    return tl.where(x == 0, x, real), tl.where(y == 0, y, imaginary)


@triton.jit
def turned(z):
    """i z."""
    return negative(z[1]), z[0]


@triton.jit
def turned_back(z):
    """-i z."""
    return z[1], negative(z[0])


@triton.jit
def sinh(z):
    return sinh_of(wide(z))


@triton.jit
def cosh(z):
    return cosh_of(wide(z))


@triton.jit
def tanh(z):
    return tanh_of(wide(z))


@triton.jit
def sin(z):
    return turned_back(sinh_of(turned(wide(z))))


@triton.jit
def cos(z):
    return cosh_of(turned(wide(z)))


@triton.jit
def tan(z):
    return turned_back(tanh_of(turned(wide(z))))


# W. Kahan, "Branch cuts for complex elementary functions", 1987.
@triton.jit
def asin_of(z):
    left = sqrt_of((1.0 - z[0], negative(z[1])))
    right = sqrt_of((1.0 + z[0], z[1]))
    return (
        libdevice.atan2(z[0], left[0] * right[0] - left[1] * right[1]),
        libdevice.asinh(left[0] * right[1] - left[1] * right[0]),
    )


@triton.jit
def atanh_of(z):
    x, y = z
    square = (1.0 - x) * (1.0 - x) + y * y
    # Far away the real part is that of 1 / z.
    size = libdevice.hypot(x, y)
    far = size > 1e100
    real = tl.where(far, x / size / size, 0.25 * libdevice.log1p(4.0 * x / square))
    beside = libdevice.atan2(2.0 * y, (1.0 - x) * (1.0 + x) - y * y) * 0.5
    endless = libdevice.copysign(one_like(z)[0] * (0.5 * PI), y)
    return real, tl.where(far, endless, beside)


@triton.jit
def asin(z):
    return asin_of(wide(z))


@triton.jit
def asinh(z):
    return turned(asin_of(turned_back(wide(z))))


@triton.jit
def acos(z):
    z = wide(z)
    left = sqrt_of((1.0 - z[0], negative(z[1])))
    right = sqrt_of((1.0 + z[0], z[1]))
    return (
        2.0 * libdevice.atan2(left[0], right[0]),
        libdevice.asinh(right[0] * left[1] - right[1] * left[0]),
    )


@triton.jit
def acosh(z):
    z = wide(z)
    left = sqrt_of((z[0] - 1.0, z[1]))
    right = sqrt_of((z[0] + 1.0, z[1]))
    return (
        libdevice.asinh(left[0] * right[0] + left[1] * right[1]),
        2.0 * libdevice.atan2(left[1], right[0]),
    )


@triton.jit
def atanh(z):
    return atanh_of(wide(z))


@triton.jit
def atan(z):
    return turned_back(atanh_of(turned(wide(z))))


@triton.jit
def sigmoid_of(z):
    left = z[0] < 0
    decay = exp_of(select(left, z, negate(z)))
    return quotient(select(left, decay, one_like(z)), (1.0 + decay[0], decay[1]))


@triton.jit
def sigmoid(z):
    return sigmoid_of(wide(z))


@triton.jit
def silu(z):
    z = wide(z)
    return mul(z, sigmoid_of(z))


@triton.jit
def sigmoid_backward(grad, output):
    return mul(grad, conjugate(mul((1.0 - output[0], -output[1]), output)))


@triton.jit
def tanh_backward(grad, output):
    square = mul(output, output)
    return mul(grad, (1.0 - square[0], square[1]))


@triton.jit
def sinc(z):
    z = wide(z)
    scaled = (z[0] * PI, z[1] * PI)
    sine = turned_back(sinh_of(turned(scaled)))
    zero = (z[0] == 0) & (z[1] == 0)
    return select(zero, one_like(z), quotient(sine, scaled))


@triton.jit
def logaddexp(a, b):
    """The larger real part is taken out of the sum."""
    a = wide(a)
    b = wide(b)
    first = a[0] >= b[0]
    larger = select(first, a, b)
    smaller = select(first, b, a)
    difference = exp_of(sub_unscaled(smaller, larger))
    # Two infinite real parts have no difference.
    same = (a[0] == b[0]) & (tl.abs(a[0]) == float("inf"))
    result = add_unscaled(larger, log1p(difference))
    return tl.where(same, a[0], result[0]), tl.where(same, 0.0, result[1])


@triton.jit
def joined(real, imaginary):
    return real[0], imaginary[0]


@triton.jit
def polar(magnitude, angle):
    return magnitude[0] * tl.cos(angle[0]), magnitude[0] * tl.sin(angle[0])
