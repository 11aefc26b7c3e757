"""Functions of tl.extra.libdevice on the device, against mpmath, exact fractions and integers of Python."""

import math
import struct
from collections.abc import Callable
from fractions import Fraction

import mpmath
import pytest
import torch
import triton
import triton.language as tl

from triton_mtia_sim import libdevice

DEVICE = "mtia_sim"
COUNT = 128


@triton.jit
def one_operand(x, out, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, FUNCTION(tl.load(x + offsets)))


@triton.jit
def two_operands(x, y, out, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, FUNCTION(tl.load(x + offsets), tl.load(y + offsets)))


@triton.jit
def three_operands(x, y, z, out, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, FUNCTION(tl.load(x + offsets), tl.load(y + offsets), tl.load(z + offsets)))


def run(name: str, operands: list[torch.Tensor], dtype: torch.dtype) -> list[float]:
    out = torch.full((COUNT,), 77, dtype=dtype, device=DEVICE)
    kernel = (one_operand, two_operands, three_operands)[len(operands) - 1]
    kernel[(1,)](*(item.to(DEVICE) for item in operands), out, FUNCTION=getattr(libdevice, name), BLOCK=COUNT)
    result: list[float] = out.cpu().tolist()
    return result


def between(low: float, high: float, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(COUNT, generator=generator, dtype=torch.float64) * (high - low) + low).to(dtype)


MATHEMATICS: list[tuple[str, float, float, Callable[..., float]]] = [
    ("tgamma", -6.3, 12.0, mpmath.gamma),
    ("tgamma", 20.0, 34.0, mpmath.gamma),
    ("erfcx", -3.0, 40.0, lambda x: mpmath.exp(x * x) * mpmath.erfc(x)),
    ("normcdfinv", 1e-5, 1.0 - 1e-5, lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)),
    ("erfcinv", 1e-4, 2.0 - 1e-4, lambda x: mpmath.erfinv(1 - x)),
    ("rcbrt", 0.1, 300.0, lambda x: 1 / mpmath.cbrt(x)),
    ("j0", -30.0, 30.0, lambda x: mpmath.besselj(0, x)),
    ("j1", -30.0, 30.0, lambda x: mpmath.besselj(1, x)),
    ("y0", 0.01, 30.0, lambda x: mpmath.bessely(0, x)),
    ("y1", 0.01, 30.0, lambda x: mpmath.bessely(1, x)),
    ("cyl_bessel_i0", -20.0, 20.0, lambda x: mpmath.besseli(0, x)),
    ("cyl_bessel_i1", -20.0, 20.0, lambda x: mpmath.besseli(1, x)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "low", "high", "oracle"), MATHEMATICS)
def test_mathematics(name: str, low: float, high: float, oracle: Callable[..., float], dtype: torch.dtype) -> None:
    x = between(low, high, dtype)
    relative, absolute = (2e-7, 1e-8) if dtype is torch.float32 else (2e-13, 2e-15)
    with mpmath.workdps(40):
        expected = [float(oracle(mpmath.mpf(item))) for item in x.tolist()]
    for item, got, want in zip(x.tolist(), run(name, [x], dtype), expected, strict=True):
        assert abs(got - want) <= relative * abs(want) + absolute, (name, item, got, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms(dtype: torch.dtype) -> None:
    scale = 1e30 if dtype is torch.float32 else 1e200
    x, y, z = (between(-1, 1, dtype, seed) * scale for seed in range(3))
    lengths = [
        float(mpmath.sqrt(mpmath.mpf(a) ** 2 + mpmath.mpf(b) ** 2 + mpmath.mpf(c) ** 2))
        for a, b, c in zip(x.tolist(), y.tolist(), z.tolist(), strict=True)
    ]
    torch.testing.assert_close(
        torch.tensor(run("norm3d", [x, y, z], dtype), dtype=dtype), torch.tensor(lengths, dtype=dtype)
    )
    got = torch.tensor(run("rnorm3d", [x, y, z], dtype), dtype=dtype)
    torch.testing.assert_close(got * torch.tensor(lengths, dtype=dtype), torch.ones(COUNT, dtype=dtype))
    flat = torch.tensor(run("rhypot", [x, y], dtype), dtype=dtype)
    torch.testing.assert_close(flat * torch.hypot(x, y), torch.ones(COUNT, dtype=dtype))


def as_float32(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0])


def rounded(value: Fraction, rounding: str) -> float:
    """An exact number as a float32."""
    near = torch.tensor(float(value), dtype=torch.float64).float()
    candidates = {float(near)}
    for towards in (math.inf, -math.inf):
        candidates.add(float(torch.nextafter(near, torch.tensor(towards))))
    below = max(item for item in candidates if not math.isinf(item) and Fraction(item) <= value)
    above = min(item for item in candidates if not math.isinf(item) and Fraction(item) >= value)
    if rounding == "rz":
        rounding = "rd" if value > 0 else "ru"
    return below if rounding == "rd" else above


@pytest.mark.parametrize("rounding", ["rd", "ru", "rz"])
def test_arithmetic_in_a_rounding_mode(rounding: str) -> None:
    x, y = between(-3, 3, torch.float32, 1), between(-3, 3, torch.float32, 2)
    y[:40] *= 1e-9
    x[40:50] *= 1e-20
    y[40:50] *= 1e-20
    z = between(-1, 1, torch.float32, 3)
    operations: dict[str, Callable[..., Fraction]] = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    }  # fmt: skip
    for name, operation in operations.items():
        got = run(f"{name}_{rounding}", [x, y], torch.float32)
        exact = [operation(Fraction(a), Fraction(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        assert got == [rounded(value, rounding) for value in exact], name
    exact = [
        Fraction(a) * Fraction(b) + Fraction(c) for a, b, c in zip(x.tolist(), y.tolist(), z.tolist(), strict=True)
    ]
    assert run(f"fma_{rounding}", [x, y, z], torch.float32) == [rounded(value, rounding) for value in exact]
    root = run(f"sqrt_{rounding}", [x.abs()], torch.float32)
    for value, got_root in zip(x.abs().tolist(), root, strict=True):
        low, high = Fraction(got_root), Fraction(float(torch.nextafter(torch.tensor(got_root), torch.tensor(math.inf))))
        if rounding == "ru":
            low, high = Fraction(float(torch.nextafter(torch.tensor(got_root), torch.tensor(0.0)))), low
        assert low**2 <= Fraction(value) <= high**2


@pytest.mark.parametrize("rounding", ["rn", "rd", "ru", "rz"])
def test_conversions_in_a_rounding_mode(rounding: str) -> None:
    generator = torch.Generator().manual_seed(5)
    whole = torch.randint(-(2**63), 2**63 - 1, (COUNT,), generator=generator)
    whole[:60] >>= 25
    whole[60:62] = torch.tensor([2**63 - 1, -(2**63)])
    got = run(f"ll2float_{rounding}", [whole], torch.float32)
    want = [
        float(torch.tensor(item).float()) if rounding == "rn" else rounded(Fraction(item), rounding)
        for item in whole.tolist()
    ]
    assert got == want
    x = between(-1e5, 1e5, torch.float64)
    steps = {"rn": round, "rd": math.floor, "ru": math.ceil, "rz": math.trunc}
    assert run(f"double2int_{rounding}", [x], torch.int32) == [steps[rounding](item) for item in x.tolist()]
    assert run(f"double2ull_{rounding}", [x.abs()], torch.int64) == [steps[rounding](item) for item in x.abs().tolist()]
    if rounding != "rn":
        narrow = run(f"double2float_{rounding}", [x], torch.float32)
        assert narrow == [rounded(Fraction(item), rounding) for item in x.tolist()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponents(dtype: torch.dtype) -> None:
    x = between(-2, 2, dtype)
    x[:6] = torch.tensor([0.0, math.inf, math.nan, 1e-44, -math.inf, 3e38])
    n = torch.randint(-160 if dtype is torch.float32 else -1090, 130, (COUNT,), dtype=torch.int32)
    wide = run("ldexp", [x, n], dtype)
    expected = torch.tensor([math.ldexp(a, b) for a, b in zip(x.tolist(), n.tolist(), strict=True)], dtype=dtype)
    torch.testing.assert_close(torch.tensor(wide, dtype=dtype), expected, rtol=0, atol=0, equal_nan=True)
    y = between(-2, 2, dtype, 4)
    y[10] = x[10]
    after = torch.tensor(run("nextafter", [x, y], dtype), dtype=dtype)
    torch.testing.assert_close(after, torch.nextafter(x, y), rtol=0, atol=0, equal_nan=True)
    exponents = run("ilogb", [x], torch.int32)
    assert exponents[:3] == [-(2**31), 2**31 - 1, -(2**31)]
    assert exponents[5:] == [math.frexp(item)[1] - 1 for item in x.tolist()[5:]]
    assert exponents[3] == math.frexp(x[3].item())[1] - 1
    assert run("logb", [x], dtype)[:2] == [-math.inf, math.inf]


def test_bits_and_integers() -> None:
    x, y, z = (
        torch.randint(-(2**31), 2**31, (COUNT,), generator=torch.Generator().manual_seed(seed)).int()
        for seed in range(3)
    )
    pairs = list(zip(x.tolist(), y.tolist(), z.tolist(), strict=True))

    def signed(value: int) -> int:
        return (value + 2**31) % 2**32 - 2**31

    def permuted(a: int, b: int, selector: int) -> int:
        source, result = ((b % 2**32) << 32 | a % 2**32).to_bytes(8, "little"), 0
        for place in range(4):
            nibble = selector >> 4 * place & 15
            byte = source[nibble & 7]
            result |= (255 * (byte >> 7) if nibble & 8 else byte) << 8 * place
        return signed(result)

    def low24(value: int) -> int:
        return (value % 2**24 + 2**23) % 2**24 - 2**23

    assert run("brev", [x], torch.int32) == [signed(int(f"{a % 2**32:032b}"[::-1], 2)) for a, _, _ in pairs]
    assert run("byte_perm", [x, y, z], torch.int32) == [permuted(*items) for items in pairs]
    assert run("hadd", [x, y], torch.int32) == [a + b >> 1 for a, b, _ in pairs]
    assert run("rhadd", [x, y], torch.int32) == [a + b + 1 >> 1 for a, b, _ in pairs]
    assert run("mul24", [x, y], torch.int32) == [signed(low24(a) * low24(b)) for a, b, _ in pairs]
    reals = run("int_as_float", [x], torch.float32)
    assert [struct.pack("<f", item) for item in reals if item == item] == [
        struct.pack("<f", as_float32(a)) for a in x.tolist() if as_float32(a) == as_float32(a)
    ]
    halves = between(-9, 9, torch.float64)
    words = [struct.unpack("<Ii", struct.pack("<d", item)) for item in halves.tolist()]
    assert run("double2hiint", [halves], torch.int32) == [high for _, high in words]
    assert run("double2loint", [halves], torch.int32) == [signed(low) for low, _ in words]
    assert run("hiloint2double", [torch.tensor([high for _, high in words], dtype=torch.int32),
                                  torch.tensor([signed(low) for low, _ in words], dtype=torch.int32)],
               torch.float64) == halves.tolist()  # fmt: skip
