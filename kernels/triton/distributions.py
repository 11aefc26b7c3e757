"""Numbers of distributions that are drawn by rejection: gamma, Poisson and binomial.

Each element has Philox counters of its own, so that neither chip nor thread count changes what is drawn. The rounds are
a fixed number, enough for all elements but one in 10^10 to have been accepted, so that no value decides how long a
launch takes. Gamma: Marsaglia and Tsang, ACM TOMS 26 (2000). Poisson from 10 on: Hoermann's PTRS, Insurance:
Mathematics and Economics 12 (1993). Binomial from n p = 10 on: Hoermann's BTRS, J. Statist. Comput. Simul. 46 (1993).
Both below by inversion.
"""

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    block_limit,
    ceil_div,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
)
from mtia_sim_kernels.triton.checks import check_value
from mtia_sim_kernels.triton.expressions.transcendental import lgamma

GAMMA_ROUNDS = 12
REJECTION_ROUNDS = 32
INVERSION_STEPS = 64
# Counters that each element may use; a part of what a seed means.
COUNTERS = 64


@triton.jit
def normal_of(first, second):
    """A standard normal number of two uniform ones (Box and Muller)."""
    return tl.sqrt(-2.0 * tl.log(tl.maximum(first, 1.0e-7))) * tl.cos(6.283185307179586 * second)


@triton.jit
def gamma_number(alpha, seed, counter, ROUNDS: tl.constexpr):
    small = alpha < 1.0
    shape = tl.where(small, alpha + 1.0, alpha)
    d = shape - 1.0 / 3.0
    c = 1.0 / tl.sqrt(9.0 * d)
    drawn = d
    pending = alpha == alpha
    for round in range(ROUNDS):
        one, two, three, _ = tl.rand4x(seed, counter + round)
        x = normal_of(one, two)
        v = 1.0 + c * x
        cube = v * v * v
        bound = 0.5 * x * x + d - d * cube + d * tl.log(tl.maximum(cube, 1.0e-30))
        fits = (v > 0.0) & (tl.log(tl.maximum(three, 1.0e-30)) < bound)
        drawn = tl.where(pending & fits, d * cube, drawn)
        pending = pending & (fits == 0)
    one, _, _, _ = tl.rand4x(seed, counter + ROUNDS)
    boost = tl.exp(tl.log(tl.maximum(one, 1.0e-10)) / alpha)
    return tl.where(small, drawn * boost, drawn)


@triton.jit
def poisson_number(rate, seed, counter, ROUNDS: tl.constexpr, STEPS: tl.constexpr):
    # By inversion.
    uniform, _, _, _ = tl.rand4x(seed, counter)
    small_rate = tl.minimum(rate, 10.0)
    term = tl.exp(-small_rate)
    below = term
    few = tl.zeros_like(rate)
    for step in range(1, STEPS):
        few += tl.where(uniform >= below, 1.0, 0.0)
        term = term * small_rate / step
        below += term
    # By transformed rejection.
    large = tl.maximum(rate, 10.0)
    log_rate = tl.log(large)
    b = 0.931 + 2.53 * tl.sqrt(large)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    many = tl.floor(large)
    pending = rate == rate
    for round in range(1, ROUNDS):
        one, v, _, _ = tl.rand4x(seed, counter + round)
        u = one - 0.5
        us = 0.5 - tl.abs(u)
        k = tl.floor((2.0 * a / us + b) * u + large + 0.43)
        quick = (us >= 0.07) & (v <= v_r)
        refused = (k < 0.0) | ((us < 0.013) & (v > us))
        held = tl.maximum(k, 0.0)
        bound = tl.log(tl.maximum(v, 1.0e-30)) + tl.log(inverse_alpha / (a / (us * us) + b))
        slow = bound <= held * log_rate - large - lgamma(held + 1.0)
        fits = quick | ((refused == 0) & slow)
        many = tl.where(pending & fits, k, many)
        pending = pending & (fits == 0)
    return tl.where(rate < 10.0, few, many)


@triton.jit
def binomial_number(count, chance, seed, counter, ROUNDS: tl.constexpr, STEPS: tl.constexpr):
    flipped = chance > 0.5
    p = tl.where(flipped, 1.0 - chance, chance)
    q = 1.0 - p
    mean = count * p
    # By inversion: the terms of the distribution one after the other.
    uniform, _, _, _ = tl.rand4x(seed, counter)
    small_mean = mean < 10.0
    odds = p / q
    term = tl.where(small_mean, tl.exp(count * tl.log(q)), 1.0)
    below = term
    few = tl.zeros_like(count)
    for step in range(1, STEPS):
        few += tl.where(uniform >= below, 1.0, 0.0)
        term = term * odds * tl.maximum(count - step + 1.0, 0.0) / step
        below += term
    few = tl.minimum(few, count)
    # By transformed rejection.
    spread = tl.sqrt(tl.maximum(mean * q, 1.0))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = mean + 0.5
    v_r = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    mode = tl.floor((count + 1.0) * p)
    log_odds = tl.log(tl.maximum(odds, 1.0e-30))
    at_mode = lgamma(mode + 1.0) + lgamma(count - mode + 1.0)
    many = tl.floor(mean)
    pending = mean == mean
    for round in range(1, ROUNDS):
        one, v, _, _ = tl.rand4x(seed, counter + round)
        u = one - 0.5
        us = 0.5 - tl.abs(u)
        k = tl.floor((2.0 * a / us + b) * u + c)
        inside = (k >= 0.0) & (k <= count)
        held = tl.minimum(tl.maximum(k, 0.0), count)
        quick = (us >= 0.07) & (v <= v_r)
        bound = tl.log(tl.maximum(v * alpha / (a / (us * us) + b), 1.0e-30))
        at_held = lgamma(held + 1.0) + lgamma(count - held + 1.0)
        slow = bound <= at_mode + (held - mode) * log_odds - at_held
        fits = inside & (quick | slow)
        many = tl.where(pending & fits, k, many)
        pending = pending & (fits == 0)
    drawn = tl.where(small_mean, few, many)
    drawn = tl.where(flipped, count - drawn, drawn)
    drawn = tl.where(chance <= 0.0, 0.0, tl.where(chance >= 1.0, count, drawn))
    return tl.where((count == count) & (chance == chance), drawn, float("nan"))


RATE = tl.constexpr("mtia.check_value invalid Poisson rate, expected rate to be non-negative, but got {value}")


@triton.jit
def drawn_by_rejection(
    out, first, second, seed, offset, elements, tiles, programs,
    KIND: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr, ROUNDS: tl.constexpr, STEPS: tl.constexpr,
    COUNTERS: tl.constexpr, SMALLEST: tl.constexpr,
):  # fmt: skip
    lane = tl.arange(0, BLOCK)
    for tile in tl.range(tl.program_id(0), tiles, programs):
        place = tile * tl.full([], BLOCK, tl.int64) + lane
        inside = place < elements
        counter = offset + place * COUNTERS
        value = tl.load(first + place, mask=inside, other=1.0).to(COMPUTE)
        if KIND == "gamma":
            drawn = tl.maximum(gamma_number(value, seed, counter, ROUNDS), SMALLEST)
        elif KIND == "poisson":
            check_value(value, 0.0, float("inf"), RATE)
            drawn = poisson_number(value, seed, counter, ROUNDS, STEPS)
        else:
            chance = tl.load(second + place, mask=inside, other=0.5).to(COMPUTE)
            drawn = binomial_number(value, chance, seed, counter, ROUNDS, STEPS)
        tl.store(out + place, drawn.to(out.dtype.element_ty), mask=inside)


def rejection_launch(kind: str, dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, parameters ...), all contiguous and of one dtype; scalars (seed, offset); `sizes` = (elements,).

    Element i has the counters offset + i * COUNTERS and the COUNTERS - 1 behind it.
    """
    (elements,) = sizes
    compute = compute_dtype(dtypes[0])
    block = min(block_limit(chip, 48 * 8, 1024), max(16, next_power_of_2(ceil_div(elements, chip.processing_elements))))
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {"out": Tensor(0), "first": Tensor(1)}
    arguments |= {"second": Tensor(2) if kind == "binomial" else None}
    arguments |= {"seed": Scalar(0, "i64"), "offset": Scalar(1, "i64"), "elements": elements}
    arguments |= {"tiles": tiles, "programs": programs}
    constexprs = {"KIND": kind, "COMPUTE": TRITON_DTYPES[compute], "BLOCK": block, "STEPS": INVERSION_STEPS}
    constexprs |= {"SMALLEST": {"fp16": 2.0**-14, "fp64": 2.0**-1022}.get(dtypes[0], 2.0**-126)}
    constexprs |= {"ROUNDS": GAMMA_ROUNDS if kind == "gamma" else REJECTION_ROUNDS, "COUNTERS": COUNTERS}
    return Launch(drawn_by_rejection, (programs, 1, 1), arguments, constexprs)


@launch_shape("gamma_numbers")
def gamma_numbers_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """Of scale 1 and the shapes given: see rejection_launch."""
    return rejection_launch("gamma", dtypes, sizes, chip)


@launch_shape("poisson_numbers")
def poisson_numbers_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """Of the rates given: see rejection_launch."""
    return rejection_launch("poisson", dtypes, sizes, chip)


@launch_shape("binomial_numbers")
def binomial_numbers_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """Of the counts and probabilities given: see rejection_launch."""
    return rejection_launch("binomial", dtypes, sizes, chip)
