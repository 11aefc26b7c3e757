"""How a number of a Dirichlet distribution moves with its concentration: torch's _dirichlet_grad, in float64.

-(d/da I_x(a, b)) / p(x) / (1 - x) for x of Beta(a, b) with the cumulative distribution I and the density p: the
derivative of the hypergeometric series of I_x(a, b) (DLMF 8.17.8), or of I_(1-x)(b, a) where that one is the shorter.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.triton.expressions.arithmetic import any_of
from mtia_sim_kernels.triton.expressions.gamma import EPSILON, MOST_TERMS, digamma_of_positive


@triton.jit
def dirichlet_grad(x, alpha, total):
    given = x.to(tl.float64)
    a = alpha.to(tl.float64)
    both = total.to(tl.float64)
    regular = (given > 0) & (given <= 1) & (a > 0) & (both > a)
    x = tl.where(regular, given, 0.5)
    a = tl.where(regular, a, 1.0)
    both = tl.where(regular, both, 2.0)
    b = both - a
    # The series in x sums what lies below x, that in 1 - x what lies above: the smaller one keeps its digits. Near an
    # edge the other one takes very many terms, and goes on to where its sum still leaves 6 digits of the rest.
    low_reach = a + 1.0 + tl.where(x < 0.1, 12.0 + 4.0 * tl.sqrt(a), 0.0)
    high_reach = b + 1.0 + tl.where(x > 0.9, 12.0 + 4.0 * tl.sqrt(b), 0.0)
    low = tl.where(x > 0.5, (1.0 - x) * (both + 2.0) > high_reach, x * (both + 2.0) <= low_reach)
    near = tl.where(low, x, 1.0 - x)
    shape = tl.where(low, a, b)
    term = x * 0.0 + 1.0
    series = term
    # Of the logarithm of each term, the derivative in a: both of its factors' or the numerator's alone.
    slope = term * 0.0
    slopes = slope
    going = regular
    step = 0
    while any_of(going) & (step < MOST_TERMS):
        step += 1
        index = step.to(tl.float64)
        upper = both + (index - 1.0)
        lower = shape + index
        term = tl.where(going, term * (upper / lower * near), 0.0)
        slope += 1.0 / upper - tl.where(low, 1.0 / lower, 0.0)
        series += term
        slopes += term * slope
        going = term > EPSILON * series
    # log(x) where x is near 1 comes from 1 - x, which is exact there.
    logarithm = tl.where(x < 0.5, tl.log(x), libdevice.log1p(x - 1.0))
    middle = logarithm + digamma_of_positive(both) - digamma_of_positive(a)
    low_result = -(series * (middle - 1.0 / a) + slopes) * x / a
    high_result = (series * middle + slopes) * x / b
    edge = tl.where(given == 0, 0.0, float("nan"))
    return tl.where(regular, tl.where(low, low_result, high_result), edge)
