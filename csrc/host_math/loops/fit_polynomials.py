"""Fits the nearly minimax polynomials of polynomials.inc and prints the file (needs mpmath).

Each coefficient is rounded to float32 from the lowest degree up and the rest refitted: rounding costs no accuracy.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.prec = 200

Function = Callable[[mp.mpf], mp.mpf]


def round_to_float32(value: mp.mpf) -> mp.mpf:
    mantissa, exponent = mp.frexp(value)
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, 24)), int(exponent) - 24)


def least_squares(target: Function, weight: Function, low: mp.mpf, high: mp.mpf, powers: list[int]) -> list[mp.mpf]:
    """Coefficients of sum c_i x^powers[i] with the least weighted squared error on Chebyshev nodes: nearly minimax."""
    count = 64
    nodes = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    rows = mp.matrix([[weight(x) * x**power for power in powers] for x in nodes])
    right = mp.matrix([weight(x) * target(x) for x in nodes])
    return list(mp.lu_solve(rows.T * rows, rows.T * right))


def fit(name: str, target: Function, weight: Function, low: float, high: float, degree: int) -> None:
    """Prints `name[]`, the coefficients from degree 0 up."""
    lower, upper = mp.mpf(low), mp.mpf(high)
    fixed: list[mp.mpf] = []
    for step in range(degree + 1):
        rest = least_squares(
            lambda x, known=tuple(fixed): target(x) - sum(c * x**p for p, c in enumerate(known)),
            weight,
            lower,
            upper,
            list(range(step, degree + 1)),
        )
        fixed.append(round_to_float32(rest[0]))
    grid = [lower + (upper - lower) * mp.mpf(i) / 501 for i in range(502)]
    worst = max(abs(weight(x) * (sum(c * x**p for p, c in enumerate(fixed)) - target(x))) for x in grid)
    print(f"// largest weighted error {mp.nstr(worst, 3)} = 2^{mp.nstr(mp.log(worst, 2), 4)}")
    print(f"constexpr float {name}[] = {{{', '.join(float(c).hex() + 'F' for c in fixed)}}};")


def series(x: mp.mpf, near_zero: mp.mpf, value: Callable[[], mp.mpf]) -> mp.mpf:
    return near_zero if abs(x) < mp.mpf(2) ** -40 else value()


def main() -> None:
    half_ln2 = float(mp.log(2) / 2) * 1.001
    low, high = float(mp.sqrt(mp.mpf(1) / 2)) - 1, float(mp.sqrt(mp.mpf(2))) - 1
    quarter = float(mp.pi**2 / 16) * 1.001
    print("// Nearly minimax polynomials, written by fit_polynomials.py; coefficients from degree 0 up.")
    print("\n// exp(r) = 1 + r + r^2 * p(r), |r| <= ln(2) / 2")
    fit(
        "exp_coefficients",
        lambda r: series(r, mp.mpf("0.5"), lambda: (mp.exp(r) - 1 - r) / r**2),
        lambda r: r**2 + mp.mpf("1e-9"),
        -half_ln2,
        half_ln2,
        4,
    )
    print("\n// exp2(r) = 1 + r * p(r), |r| <= 1 / 2")
    fit(
        "exp2_coefficients",
        lambda r: series(r, mp.log(2), lambda: (mp.mpf(2) ** r - 1) / r),
        lambda r: abs(r) + mp.mpf("1e-6"),
        -0.5005,
        0.5005,
        5,
    )
    print("\n// log(1 + f) = f - f^2 / 2 + f^3 * p(f), sqrt(1/2) - 1 <= f <= sqrt(2) - 1")
    fit(
        "log_coefficients",
        lambda f: series(f, mp.mpf(1) / 3, lambda: (mp.log1p(f) - f + f**2 / 2) / f**3),
        lambda f: f**2 + mp.mpf("1e-7"),
        low * 1.001,
        high * 1.001,
        7,
    )
    print("\n// sin(r) = r + r * s * p(s), s = r^2 <= (pi / 4)^2")
    fit(
        "sin_coefficients",
        lambda s: series(s, -mp.mpf(1) / 6, lambda: (mp.sin(mp.sqrt(s)) / mp.sqrt(s) - 1) / s),
        lambda s: s + mp.mpf("1e-7"),
        0.0,
        quarter,
        3,
    )
    print("\n// cos(r) = 1 - s / 2 + s^2 * p(s), s = r^2 <= (pi / 4)^2")
    fit(
        "cos_coefficients",
        lambda s: series(s, mp.mpf(1) / 24, lambda: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2),
        lambda s: s**2 + mp.mpf("1e-7"),
        0.0,
        quarter,
        2,
    )
    print("\n// erf(x) = x + x * p(x^2), |x| <= 0.92")
    fit(
        "erf_coefficients",
        lambda s: series(s, 2 / mp.sqrt(mp.pi) - 1, lambda: mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1),
        lambda s: mp.mpf(1),
        0.0,
        0.92**2,
        6,
    )
    print("\n// erf(t) = 1 - exp(-t * p(t)), 0.92 <= t <= 4")
    fit("erf_tail_coefficients", lambda t: -mp.log(mp.erfc(t)) / t, lambda t: t * mp.erfc(t), 0.91, 4.0, 7)


if __name__ == "__main__":
    main()
