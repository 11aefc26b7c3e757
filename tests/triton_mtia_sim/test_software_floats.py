"""float8 formats that the chip lacks: every code up, and numbers of every size down, against their definition."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import run

from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.number_formats import FORMATS

RANDOM = np.random.default_rng(11)
NAMES = {"fp8e4b8": "f8E4M3FNUZ", "fp8e5b16": "f8E5M2FNUZ", "fp8e4b15": "fp8e4b15"}


@triton.jit
def decode(codes, out, FORMAT: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, tl.load(codes + at).to(FORMAT, bitcast=True).to(out.dtype.element_ty))


@triton.jit
def encode(x, out, FORMAT: tl.constexpr, ROUNDING: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    codes = tl.load(x + at).to(FORMAT, fp_downcast_rounding=ROUNDING)
    tl.store(out + at, codes.to(tl.int8, bitcast=True))


def numbers(name: str) -> np.ndarray:
    """The number of each of the 256 codes, from the format's definition."""
    form = FORMATS[NAMES[name]]
    result = []
    for code in range(256):
        e, m = code >> form.mantissa_bits & (1 << form.exponent_bits) - 1, code & (1 << form.mantissa_bits) - 1
        fraction = m / 2**form.mantissa_bits
        value = (1 + fraction) * 2.0 ** (e - form.bias) if e else fraction * 2.0 ** (1 - form.bias)
        result.append(float("nan") if code == form.nan else -value if code & 0x80 else value)
    return np.array(result)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", NAMES)
def test_every_code_is_its_number(name, dtype):
    arguments = {"codes": np.arange(256, dtype=np.uint8), "out": np.zeros(256, dtype)}
    got = run(decode, arguments, {"FORMAT": tl.dtype(name), "N": 256})["out"]
    np.testing.assert_array_equal(got, numbers(name).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("rounding", ["rtne", "rtz"])
@pytest.mark.parametrize("name", NAMES)
def test_numbers_become_the_code_that_rounding_asks_for(name, rounding, dtype):
    table = numbers(name)
    form = FORMATS[NAMES[name]]
    kept = table[: form.largest + 1]
    middles = (kept[1:] + kept[:-1]) / 2
    few = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 1e5, -6e4])
    exact = np.concatenate([kept, -kept, middles, -middles, np.nextafter(middles, 0), few])
    x = np.zeros(1024, dtype)
    with np.errstate(over="ignore"):
        x[: len(exact)] = exact.astype(dtype)
    x[len(exact) :] = (RANDOM.standard_normal(1024 - len(exact)) * np.exp2(RANDOM.uniform(-20, 16))).astype(dtype)
    got = run(
        encode, {"x": x, "out": np.zeros(1024, np.int8)}, {"FORMAT": tl.dtype(name), "ROUNDING": rounding, "N": 1024}
    )
    codes = got["out"].view(np.uint8)
    size = np.minimum(np.abs(x.astype(np.float64)), kept[-1])
    below = np.clip(np.searchsorted(kept, size, "right") - 1, 0, len(kept) - 1)
    above = np.minimum(below + 1, len(kept) - 1)
    down, up = size - kept[below], kept[above] - size
    nearest = np.where((up < down) | ((up == down) & (above % 2 == 0)), above, below)
    expected = below if rounding == "rtz" else nearest
    expected = np.where(np.signbit(x) & ((expected > 0) | (form.nan is None)), expected | 0x80, expected)
    nan = form.largest if form.nan is None else form.nan
    missing = np.isnan(x)
    np.testing.assert_array_equal(codes[~missing], expected[~missing])
    assert (codes[missing] & (0xFF if form.nan is not None else 0x7F) == nan).all()


@triton.jit
def computed(a, b, out, N: tl.constexpr):
    x = tl.load(a + tl.arange(0, N)).to(tl.float8e4b8, bitcast=True)
    y = tl.load(b + tl.arange(0, N)).to(tl.float8e4b8, bitcast=True)
    tl.store(out + tl.arange(0, N), tl.abs(x * y).to(tl.float32))
    tl.store(out + N + tl.arange(0, N), tl.where(x < y, 1.0, 0.0))


def test_arithmetic_goes_through_float32():
    table = numbers("fp8e4b8")
    a, b = RANDOM.integers(0, 256, (2, 64), np.uint8)
    got = run(computed, {"a": a, "b": b, "out": np.zeros(128, np.float32)}, {"N": 64})["out"]
    form = FORMATS["f8E4M3FNUZ"]
    products = np.array([abs(table[form.encode(value)]) for value in table[a] * table[b]])
    np.testing.assert_array_equal(got[:64], products)
    np.testing.assert_array_equal(got[64:], table[a] < table[b])


@triton.jit
def summed(codes, out, N: tl.constexpr):
    x = tl.load(codes + tl.arange(0, N)).to(tl.float8e4b8, bitcast=True)
    tl.store(out, tl.reduce(x, 0, _sum).to(tl.float32))


@triton.jit
def _sum(a, b):
    return a + b


def test_a_reduction_in_such_a_format_is_refused():
    with pytest.raises(UnsupportedOperation, match="does not compute with f8E4M3FNUZ"):
        run(summed, {"codes": np.zeros(16, np.uint8), "out": np.zeros(1, np.float32)}, {"N": 16})


@triton.jit
def product(a, b, out, N: tl.constexpr):
    at = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    x, y = (tl.load(a + at).to(tl.float8e5b16, bitcast=True), tl.load(b + at).to(tl.float8e5b16, bitcast=True))
    tl.store(out + at, tl.dot(x, y))


def test_a_dot_of_such_a_format():
    table = numbers("fp8e5b16")
    a, b = RANDOM.integers(0x30, 0x48, (2, 16, 16), np.uint8) | RANDOM.choice([0, 0x80], (2, 16, 16)).astype(np.uint8)
    got = run(product, {"a": a, "b": b, "out": np.zeros((16, 16), np.float32)}, {"N": 16})["out"]
    np.testing.assert_allclose(got, table[a] @ table[b], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_float8e5_saturates(dtype):
    x = np.array([np.inf, -np.inf, np.nan, 6.1e4, -6.2e4, 57344, 3.0, -0.0] * 128, dtype)
    got = run(encode, {"x": x, "out": np.zeros(1024, np.int8)}, {"FORMAT": tl.float8e5, "ROUNDING": "rtne", "N": 1024})[
        "out"
    ].view(np.uint8)[:8]
    assert got[2] & 0x7F > 0x7C
    np.testing.assert_array_equal(np.delete(got, 2), [0x7B, 0xFB, 0x7B, 0xFB, 0x7B, 0x42, 0x80])
