"""Scaled dots of OCP MX formats against float64: every pair of formats, packing along every dimension, batches."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import run

RANDOM = np.random.default_rng(7)
M, N, K = 16, 32, 64
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6] + [-0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


@triton.jit
def scaled(
    a, a_scale, b, b_scale, out,
    A: tl.constexpr, B: tl.constexpr, A_PACK: tl.constexpr, B_PACK: tl.constexpr,
    AM: tl.constexpr, AK: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, GROUPS: tl.constexpr, BATCH: tl.constexpr, FACTOR: tl.constexpr,
):  # fmt: skip
    batch = tl.arange(0, BATCH)[:, None, None]
    x = tl.load(a + batch * AM * AK + tl.arange(0, AM)[None, :, None] * AK + tl.arange(0, AK)[None, None, :])
    y = tl.load(b + batch * BK * BN + tl.arange(0, BK)[None, :, None] * BN + tl.arange(0, BN)[None, None, :])
    groups = tl.arange(0, GROUPS)[None, None, :]
    x_scale = tl.load(a_scale + (batch * M + tl.arange(0, M)[None, :, None]) * GROUPS + groups)
    y_scale = tl.load(b_scale + (batch * N + tl.arange(0, N)[None, :, None]) * GROUPS + groups)
    if FACTOR == 16:
        x_scale, y_scale = x_scale.to(tl.float8e4nv, bitcast=True), y_scale.to(tl.float8e4nv, bitcast=True)
    if A == "bf16":
        x = x.to(tl.bfloat16, bitcast=True)
    if BATCH == 1:
        x, y = x.reshape(AM, AK), y.reshape(BK, BN)
        x_scale, y_scale = x_scale.reshape(M, GROUPS), y_scale.reshape(N, GROUPS)
    product = tl.dot_scaled(x, x_scale, A, y, y_scale, B, lhs_k_pack=A_PACK, rhs_k_pack=B_PACK)
    at = (batch * M + tl.arange(0, M)[None, :, None]) * N + tl.arange(0, N)[None, None, :]
    tl.store(out + at, product.reshape(BATCH, M, N))


def operand(kind: str, shape: tuple[int, ...], packed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits as the kernel gets them, and the numbers they mean."""
    if kind == "e2m1":
        codes = RANDOM.integers(0, 16, shape, np.uint8)
        low = np.take(codes, np.arange(0, shape[packed], 2), packed)
        high = np.take(codes, np.arange(1, shape[packed], 2), packed)
        return low | high << 4, E2M1[codes]
    if kind == "bf16":
        numbers = RANDOM.standard_normal(shape).astype(np.float32)
        bits = (numbers.view(np.uint32) >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    mantissa_bits, bias = (3, 7) if kind == "e4m3" else (2, 15)
    bits = RANDOM.integers(0, 0x60, shape, np.uint8)
    return bits, float8(bits, mantissa_bits, bias)


def float8(bits: np.ndarray, mantissa_bits: int, bias: int) -> np.ndarray:
    exponent, mantissa = bits >> mantissa_bits, (bits & (1 << mantissa_bits) - 1) / 2.0**mantissa_bits
    return np.where(exponent > 0, 1 + mantissa, mantissa) * 2.0 ** (np.maximum(exponent, 1).astype(np.float64) - bias)


def check(a_kind, b_kind, a_pack=True, b_pack=True, batch=1, factor=32):
    a_bits, a = operand(a_kind, (batch, M, K), 2 if a_pack else 1)
    b_bits, b = operand(b_kind, (batch, K, N), 1 if b_pack else 2)
    if factor == 32:
        scales = [RANDOM.integers(120, 134, (batch, rows, K // 32), np.uint8) for rows in (M, N)]
        a_scale, b_scale = (2.0 ** (scale.astype(np.float64) - 127) for scale in scales)
    else:
        scales = [RANDOM.integers(0x28, 0x48, (batch, rows, K // 16), np.uint8) for rows in (M, N)]
        a_scale, b_scale = (float8(scale, 3, 7) for scale in scales)
    expected = (a * a_scale.repeat(factor, 2)) @ (b * b_scale.repeat(factor, 2).transpose(0, 2, 1))
    arguments = {"a": a_bits, "a_scale": scales[0], "b": b_bits, "b_scale": scales[1]}
    arguments["out"] = np.full((batch, M, N), 7, np.float32)
    constants = {"A": a_kind, "B": b_kind, "A_PACK": a_pack, "B_PACK": b_pack, "M": M, "N": N, "BATCH": batch}
    constants |= {"AM": a_bits.shape[1], "AK": a_bits.shape[2], "BK": b_bits.shape[1], "BN": b_bits.shape[2]}
    got = run(scaled, arguments, constants | {"GROUPS": K // factor, "FACTOR": factor})["out"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("b_kind", ["e2m1", "e4m3", "e5m2"])
@pytest.mark.parametrize("a_kind", ["e2m1", "e4m3", "e5m2", "bf16"])
def test_pairs_of_formats(a_kind, b_kind):
    check(a_kind, b_kind)


@pytest.mark.parametrize(("a_pack", "b_pack"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("batch", [1, 2])
def test_packing_along_rows_and_columns(a_pack, b_pack, batch):
    check("e2m1", "e2m1", a_pack, b_pack, batch)


@pytest.mark.parametrize("batch", [1, 2])
def test_scales_in_float8_for_groups_of_16(batch):
    check("e2m1", "e2m1", batch=batch, factor=16)
