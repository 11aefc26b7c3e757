"""Gamma functions of the element-wise table: digamma, polygamma, Hurwitz's zeta, incomplete gamma. All in float64."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.triton.expressions.arithmetic import any_of

# Bernoulli's numbers B2, B4, ... over 2, 4, ...: Stirling's series of digamma (Abramowitz and Stegun, 6.3.18).
DIGAMMA_SERIES = tl.constexpr((1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12))
# B2 / 2!, B4 / 4!, ...: Euler and Maclaurin's sum of the zeta function (DLMF 25.11.5).
ZETA_SERIES = tl.constexpr(
    (
        *(1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000),
        *(1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000),
        *(-174611 / 802857662698291200000, 77683 / 14101100039391805440000, -236364091 / 1693824136731743669452800000),
    )
)
# The logarithm of the gamma function beside (a - 1/2) log a - a + log(2 pi) / 2, in odd powers of 1 / a.
STIRLING_SERIES = tl.constexpr((1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188))
# Temme's expansion of the incomplete gamma function (DLMF 8.12.7): the coefficients of powers of 1 / a as power series
# in eta, from c0 = 1 / (lambda - 1) - 1 / eta by c_k = c_(k-1)' / eta + (-1)^k g_k / (lambda - 1) in exact fractions.
TEMME_0 = tl.constexpr(
    (
        *(-0.3333333333333333, 0.08333333333333333, -0.014814814814814815, 0.0011574074074074073),
        *(0.0003527336860670194, -0.0001787551440329218, 3.919263178522438e-05, -2.185448510679992e-06),
        *(-1.85406221071516e-06, 8.296711340953087e-07, -1.7665952736826078e-07, 6.707853543401498e-09),
        *(1.0261809784240309e-08, -4.382036018453353e-09, 9.14769958223679e-10, -2.5514193994946248e-11),
    )
)
TEMME_1 = tl.constexpr(
    (
        *(-0.001851851851851852, -0.003472222222222222, 0.0026455026455026454, -0.0009902263374485596),
        *(0.00020576131687242798, -4.018775720164609e-07, -1.8098550334489977e-05, 7.64916091608111e-06),
        *(-1.6120900894563446e-06, 4.647127802807434e-09, 1.378633446915721e-07, -5.752545603517705e-08),
    )
)
TEMME_2 = tl.constexpr(
    (
        *(0.004133597883597883, -0.0026813271604938273, 0.0007716049382716049, 2.0093878600823047e-06),
        *(-0.0001073665322636516, 5.2923448829120125e-05, -1.2760635188618728e-05, 3.423578734096138e-08),
        *(1.3721957309062934e-06, -6.298992138380055e-07),
    )
)
TEMME_3 = tl.constexpr(
    (
        *(0.0006494341563786008, 0.00022947209362139917, -0.0004691894943952557, 0.00026772062206283885),
        *(-7.561801671883977e-05, -2.396505113867297e-07, 1.1082654115347302e-05, -5.6749528269915965e-06),
    )
)
PI = tl.constexpr(3.141592653589793)
# Shifts of an argument, terms of a series: both are reached by no argument that the function is asked for.
MOST_TERMS = tl.constexpr(2000)
EPSILON = tl.constexpr(1.1e-16)


@triton.jit
def power_series(x, COEFFICIENTS: tl.constexpr):
    """Lowest power first."""
    COUNT: tl.constexpr = len(COEFFICIENTS)
    total = x * 0.0 + COEFFICIENTS[COUNT - 1]
    for i in tl.static_range(COUNT - 1):
        # No fma, to which a number comes as a float32.
        total = total * x + COEFFICIENTS[COUNT - 2 - i]
    return total


@triton.jit
def digamma_of_positive(x):
    total = x * 0.0
    for _ in tl.static_range(10):
        low = x < 10.0
        total -= tl.where(low, 1.0 / x, 0.0)
        x = tl.where(low, x + 1.0, x)
    inverse = 1.0 / (x * x)
    return total + tl.log(x) - 0.5 / x - inverse * power_series(inverse, DIGAMMA_SERIES)


@triton.jit
def digamma(x):
    x = x.to(tl.float64)
    negative = x < 0
    fraction = x - libdevice.trunc(x)
    reflected = tl.where(fraction == 0, float("nan"), PI / libdevice.tan(PI * fraction))
    result = digamma_of_positive(tl.where(negative, 1.0 - x, x))
    result = tl.where(negative, result - reflected, result)
    # The infinity of zero has the sign that zero has not.
    return tl.where(x == 0, -1.0 / x, tl.where(x == float("inf"), x, result))


@triton.jit
def trigamma(x):
    # The angle is rounded where x is, as CPU torch does: poles other than zero are large numbers.
    sine = tl.sin((x * PI).to(tl.float64))
    x = x.to(tl.float64)
    low = x < 0.5
    total = tl.where(low, -(PI * PI) / (sine * sine), 0.0)
    x = tl.where(low, 1.0 - x, x)
    for _ in tl.static_range(10):
        total += 1.0 / (x * x)
        x += 1.0
    inverse = 1.0 / (x * x)
    series = inverse * (1 / 6 - inverse * (1 / 30 - inverse * (1 / 42 - inverse * (1 / 30 - inverse * (5 / 66)))))
    total += (1.0 + 0.5 / x + series) / x
    return tl.where(low, -total, total)


@triton.jit
def zeta_beyond_zero(x, q):
    """For x > 1 and q > 0: nine terms, the rest by Euler and Maclaurin's sum."""
    total = libdevice.pow(q, -x)
    term = total
    at = q
    for _ in tl.static_range(9):
        at += 1.0
        term = libdevice.pow(at, -x)
        total += term
    # Where the terms no longer count, their factors may overflow.
    rest = tl.abs(term) > EPSILON * tl.abs(total)
    integral = term * at / (x - 1.0) - 0.5 * term
    total = tl.where(rest | (integral != integral), total + integral, total)
    factor = tl.where(rest, x * term / at, 0.0)
    for i in tl.static_range(12):
        total += factor * ZETA_SERIES[i]
        factor = tl.where(rest, factor * ((x + (2 * i + 1)) / at) * ((x + (2 * i + 2)) / at), 0.0)
    return total


@triton.jit
def zeta_of(x, q):
    below = q < 0
    fraction = -q - tl.floor(-q)
    total = zeta_beyond_zero(x, tl.where(below, 1.0 - fraction, q))
    if any_of(below):
        # The terms of negative numbers are those of all numbers from the fraction of -q up, without those beyond -q.
        sizes = zeta_beyond_zero(x, tl.where(below, fraction, 1.0))
        excess = zeta_beyond_zero(x, tl.where(below, 1.0 - q, 1.0))
        odd = x - 2.0 * tl.floor(x * 0.5) == 1.0
        both = tl.where(odd, (total - sizes) + excess, (total + sizes) - excess)
        total = tl.where(below, both, total)
    total = tl.where((q <= 0) & (x != tl.floor(x)), float("nan"), total)
    total = tl.where((q <= 0) & (q == tl.floor(q)), float("inf"), total)
    return tl.where(x == 1.0, float("inf"), tl.where(x < 1.0, float("nan"), total))


@triton.jit
def zeta(x, q):
    return zeta_of(x.to(tl.float64), q.to(tl.float64))


@triton.jit
def polygamma(n, x):
    n = n.to(tl.float64)
    factorial = tl.exp(libdevice.lgamma(n + 1.0))
    result = factorial * zeta_of(n + 1.0, x.to(tl.float64))
    return tl.where(n % 2.0 == 0, -result, result)


@triton.jit
def gamma_density(a, x):
    """x^a e^-x / gamma(a)."""
    relative = (x - a) / a
    ratio = tl.where(tl.abs(relative) < 0.5, libdevice.log1p(relative), tl.log(x / a))
    inverse = 1.0 / a
    stirling = inverse * power_series(inverse * inverse, STIRLING_SERIES)
    large = tl.exp(a * (ratio - relative) - stirling) * tl.sqrt(a / (2.0 * PI))
    small = tl.exp(a * tl.log(x) - x - libdevice.lgamma(a))
    return tl.where(a < 20.0, small, large)


@triton.jit
def lower_series(a, x, here):
    # Below, 1 / a would be infinite; the result is 1 long before.
    a = tl.maximum(a, 1e-300)
    term = 1.0 / a
    total = term
    going = here
    step = 0
    while any_of(going) & (step < MOST_TERMS):
        step += 1
        term = tl.where(going, term * (x / (a + step.to(tl.float64))), 0.0)
        total += term
        going = term > EPSILON * total
    return total * gamma_density(a, x)


@triton.jit
def upper_fraction(a, x, here):
    """Legendre's continued fraction by the method of Lentz (DLMF 8.9.2)."""
    base = tl.where(here, x + 1.0 - a, 1.0)
    c = x * 0.0 + a * 0.0 + 1e300
    d = 1.0 / base
    total = d
    going = here
    step = 0
    while any_of(going) & (step < MOST_TERMS):
        step += 1
        index = step.to(tl.float64)
        numerator = -index * (index - a)
        base += 2.0
        d = numerator * d + base
        d = 1.0 / tl.where(d == 0, 1e-300, d)
        c = base + numerator / c
        c = tl.where(c == 0, 1e-300, c)
        change = tl.where(going, c * d, 1.0)
        total *= change
        going = tl.abs(change - 1.0) > 2.3e-16
    return total * gamma_density(a, x)


@triton.jit
def upper_series(a, x):
    """1 - P for arguments up to 1.1, without a difference of near numbers where a is small."""
    term = x * 0.0 + 1.0
    total = x * 0.0 + a * 0.0
    for i in tl.static_range(1, 24):
        term = term * (-x / i)
        total += term / (a + i)
    logarithm = a * tl.log(x)
    return -libdevice.expm1(logarithm - libdevice.lgamma(1.0 + a)) - tl.exp(logarithm - libdevice.lgamma(a)) * total


@triton.jit
def near_transition(a, x, UPPER: tl.constexpr):
    relative = (x - a) / a
    half_square = relative - libdevice.log1p(relative)
    eta = libdevice.copysign(tl.sqrt(tl.maximum(2.0 * half_square, 0.0)), relative)
    inverse = 1.0 / a
    series = power_series(eta, TEMME_3)
    series = tl.fma(series, inverse, power_series(eta, TEMME_2))
    series = tl.fma(series, inverse, power_series(eta, TEMME_1))
    series = tl.fma(series, inverse, power_series(eta, TEMME_0))
    rest = tl.exp(-a * half_square) * series / tl.sqrt(2.0 * PI * a)
    root = eta * tl.sqrt(a * 0.5)
    if UPPER:
        return 0.5 * libdevice.erfc(root) + rest
    else:
        return 0.5 * libdevice.erfc(-root) - rest


@triton.jit
def incomplete_gamma(a, x, UPPER: tl.constexpr):
    a = a.to(tl.float64)
    x = x.to(tl.float64)
    infinity: tl.constexpr = float("inf")
    regular = (a > 0) & (x > 0) & (a < infinity) & (x < infinity)
    a_here = tl.where(regular, a, 1.0)
    x_here = tl.where(regular, x, 1.0)
    transition = (a_here > 200.0) & (tl.abs(x_here - a_here) < 0.3 * a_here)
    by_fraction = (x_here > 1.1) & (x_here >= a_here) & (transition == 0)
    by_series = (by_fraction == 0) & (transition == 0)
    low = lower_series(a_here, x_here, by_series)
    high = upper_fraction(a_here, x_here, by_fraction)
    if UPPER:
        few = by_series & (x_here <= 1.1) & (a_here <= tl.maximum(-0.4 / tl.log(tl.minimum(x_here, 0.5)), x_here * 1.1))
        high = tl.where(by_series, tl.where(few, upper_series(a_here, tl.minimum(x_here, 1.1)), 1.0 - low), high)
        result = tl.where(transition, near_transition(a_here, x_here, True), high)
    else:
        low = tl.where(by_fraction, 1.0 - high, low)
        result = tl.where(transition, near_transition(a_here, x_here, False), low)
    at_zero: tl.constexpr = 1.0 if UPPER else 0.0
    at_infinity: tl.constexpr = 0.0 if UPPER else 1.0
    edge = tl.where(x == infinity, at_infinity, float("nan"))
    edge = tl.where(a == infinity, tl.where(x == infinity, float("nan"), at_zero), edge)
    edge = tl.where(x == 0, at_zero, edge)
    edge = tl.where(a == 0, tl.where(x > 0, at_infinity, float("nan")), edge)
    edge = tl.where((a < 0) | (x < 0), float("nan"), edge)
    return tl.where(regular, result, edge)


@triton.jit
def igamma(a, x):
    return incomplete_gamma(a, x, False)


@triton.jit
def igammac(a, x):
    return incomplete_gamma(a, x, True)
