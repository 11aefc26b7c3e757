"""libdevice's conversions, reinterpretations and the rest that takes numbers apart."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import run
from triton.language.extra import libdevice

RANDOM = np.random.default_rng(3)


@triton.jit
def apply1(x, out, FUNCTION: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, getattr(libdevice, FUNCTION)(tl.load(x + at)))


@triton.jit
def apply2(x, y, out, FUNCTION: tl.constexpr, N: tl.constexpr):
    at = tl.arange(0, N)
    tl.store(out + at, getattr(libdevice, FUNCTION)(tl.load(x + at), tl.load(y + at)))


def result(name, dtype, *operands):
    arguments = dict(zip(("x", "y"), operands, strict=False)) | {"out": np.full(operands[0].shape, 7, dtype)}
    kernel = apply1 if len(operands) == 1 else apply2
    return run(kernel, arguments, {"FUNCTION": name, "N": operands[0].size})["out"]


@pytest.mark.parametrize(("mode", "rounded"), [("rn", np.rint), ("rz", np.trunc), ("rd", np.floor), ("ru", np.ceil)])
@pytest.mark.parametrize(("whole", "dtype"), [("int", np.int32), ("uint", np.uint32), ("ll", np.int64)])
@pytest.mark.parametrize(("real", "source"), [("float", np.float32), ("double", np.float64)])
def test_floats_become_integers(real, source, whole, dtype, mode, rounded):
    x = np.concatenate([RANDOM.uniform(0.6, 1e9, 60), [0.5, 1.5, 2.5, 3e9]]).astype(source)
    if whole != "uint":
        x[:30] *= -1
        x[-1] = 7
    np.testing.assert_array_equal(result(f"{real}2{whole}_{mode}", dtype, x), rounded(x).astype(dtype))


@pytest.mark.parametrize(("whole", "dtype"), [("int", np.int32), ("uint", np.uint32), ("ll", np.int64)])
@pytest.mark.parametrize(("real", "target"), [("float", np.float32), ("double", np.float64)])
def test_integers_become_floats(real, target, whole, dtype):
    limits = np.iinfo(dtype)
    x = RANDOM.integers(limits.min, limits.max, 64, dtype)
    np.testing.assert_array_equal(result(f"{whole}2{real}_rn", target, x), x.astype(target))


def test_bits_under_another_type():
    x = RANDOM.standard_normal(32)
    np.testing.assert_array_equal(result("double_as_longlong", np.int64, x), x.view(np.int64))
    narrow = x.astype(np.float32)
    np.testing.assert_array_equal(result("float_as_int", np.int32, narrow), narrow.view(np.int32))
    np.testing.assert_array_equal(result("int_as_float", np.float32, narrow.view(np.int32)), narrow)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ldexp_rounds_once(dtype):
    reach = 310 if dtype is np.float32 else 2200
    x = (RANDOM.standard_normal(1024) * np.exp2(RANDOM.integers(-120, 120, 1024))).astype(dtype)
    n = RANDOM.integers(-reach, reach, 1024, np.int32)
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(result("ldexp", dtype, x, n), np.ldexp(x, n))


def test_lengths_and_roots():
    x, y = (RANDOM.standard_normal(64) * 10.0 ** RANDOM.integers(-150, 150, 64) for _ in range(2))
    np.testing.assert_allclose(result("rhypot", np.float64, x, y), 1 / np.hypot(x, y), rtol=1e-12)
    np.testing.assert_allclose(result("rcbrt", np.float64, x), 1 / np.cbrt(x), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_integers_of_both_signs(dtype):
    x, y = RANDOM.integers(0, 2**32, (2, 128), np.uint32).view(dtype)
    wide, other = x.astype(np.int64), y.astype(np.int64)
    np.testing.assert_array_equal(result("hadd", dtype, x, y), (wide + other >> 1).astype(dtype))
    np.testing.assert_array_equal(result("rhadd", dtype, x, y), (wide + other + 1 >> 1).astype(dtype))
    product = [int(a) * int(b) >> 32 for a, b in zip(wide, other, strict=True)]
    np.testing.assert_array_equal(result("mulhi", dtype, x, y), np.array(product).astype(dtype))
    low = [(value << 40 >> 40 if dtype is np.int32 else value & 0xFFFFFF) for value in (wide, other)]
    np.testing.assert_array_equal(result("mul24", dtype, x, y), (low[0] * low[1]).astype(dtype))
