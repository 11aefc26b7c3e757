"""Scaled dots of MX formats against float64: every pair of formats, packing along every dimension, batches, groups of
32 and 16, on chips without blocks of an exponent, with 16 elements a block, and with 32 and numbers as scales."""

import numpy as np
import pytest
import reference_interpreter
import triton
import triton.language as tl
from execution import build, run, types
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mtia_core import chips
from triton_mtia_sim import libdevice
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.explain.explaining import generic_ttir
from triton_mtia_sim.strips.splitting import Strips
from triton_mtia_sim.translate import translate

RANDOM = np.random.default_rng(7)
M, N, K = 16, 32, 64
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6] + [-0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


@triton.jit
def scaled(
    a, a_scale, b, b_scale, out,
    A: tl.constexpr, B: tl.constexpr, A_PACK: tl.constexpr, B_PACK: tl.constexpr,
    AM: tl.constexpr, AK: tl.constexpr, BK: tl.constexpr, BN: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, GROUPS: tl.constexpr, BATCH: tl.constexpr,
    FACTOR: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    batch = tl.arange(0, BATCH)[:, None, None]
    x = tl.load(a + batch * AM * AK + tl.arange(0, AM)[None, :, None] * AK + tl.arange(0, AK)[None, None, :])
    y = tl.load(b + batch * BK * BN + tl.arange(0, BK)[None, :, None] * BN + tl.arange(0, BN)[None, None, :])
    groups = tl.arange(0, GROUPS)[None, None, :]
    x_scale = tl.load(a_scale + (batch * M + tl.arange(0, M)[None, :, None]) * GROUPS + groups)
    y_scale = tl.load(b_scale + (batch * N + tl.arange(0, N)[None, :, None]) * GROUPS + groups)
    if NUMBERS:
        x_scale, y_scale = x_scale.to(tl.float8e4nv, bitcast=True), y_scale.to(tl.float8e4nv, bitcast=True)
    if A == "bf16":
        x = x.to(tl.bfloat16, bitcast=True)
    if BATCH == 1:
        x, y = x.reshape(AM, AK), y.reshape(BK, BN)
        x_scale, y_scale = x_scale.reshape(M, GROUPS), y_scale.reshape(N, GROUPS)
    if FACTOR == 16 and not NUMBERS:
        x_scale, y_scale = libdevice.block_exponents(x_scale), libdevice.block_exponents(y_scale)
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


def check(a_kind, b_kind, a_pack=True, b_pack=True, batch=1, factor=32, numbers=False, chip="mtia300"):
    """Runs it; returns the mnemonics of the program's products."""
    a_bits, a = operand(a_kind, (batch, M, K), 2 if a_pack else 1)
    b_bits, b = operand(b_kind, (batch, K, N), 1 if b_pack else 2)
    low, high = (0x28, 0x48) if numbers else (120, 134)
    scales = [RANDOM.integers(low, high, (batch, rows, K // factor), np.uint8) for rows in (M, N)]
    a_scale, b_scale = (float8(scale, 3, 7) if numbers else 2.0 ** (scale.astype(np.float64) - 127) for scale in scales)
    expected = (a * a_scale.repeat(factor, 2)) @ (b * b_scale.repeat(factor, 2).transpose(0, 2, 1))
    arguments = {"a": a_bits, "a_scale": scales[0], "b": b_bits, "b_scale": scales[1]}
    arguments["out"] = np.full((batch, M, N), 7, np.float32)
    constants = {"A": a_kind, "B": b_kind, "A_PACK": a_pack, "B_PACK": b_pack, "M": M, "N": N, "BATCH": batch}
    constants |= {"AM": a_bits.shape[1], "AK": a_bits.shape[2], "BK": b_bits.shape[1], "BN": b_bits.shape[2]}
    constants |= {"GROUPS": K // factor, "FACTOR": factor, "NUMBERS": numbers}
    got = run(scaled, arguments, constants, chip=chip)["out"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    names = [item.mnemonic for item in build(scaled, arguments, constants, chip=chip).instructions]
    return [name for name in names if name.startswith("dot")]


CHIPS = ["mtia300", "mtia400", "b200"]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("b_kind", ["e2m1", "e4m3", "e5m2"])
@pytest.mark.parametrize("a_kind", ["e2m1", "e4m3", "e5m2", "bf16"])
def test_pairs_of_formats(a_kind, b_kind, chip):
    native = chip != "mtia300" and a_kind != "bf16"
    assert check(a_kind, b_kind, chip=chip) == ["dot_scaled" if native else "dot"]


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("a_pack", "b_pack"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("batch", [1, 2])
def test_packing_along_rows_and_columns(a_pack, b_pack, batch, chip):
    assert check("e2m1", "e2m1", a_pack, b_pack, batch, chip=chip) == ["dot"]


@pytest.mark.parametrize(("chip", "name"), [("mtia300", "dot"), ("mtia400", "dot"), ("b200", "dot_scaled")])
@pytest.mark.parametrize("batch", [1, 2])
def test_scales_in_float8_for_groups_of_16(batch, chip, name):
    assert check("e2m1", "e2m1", batch=batch, factor=16, numbers=True, chip=chip) == [name]


@pytest.mark.parametrize(("chip", "four", "eight"), [("mtia300", 0, 0), ("mtia400", 1, 1), ("b200", 1, 0)])
@pytest.mark.parametrize("batch", [1, 2])
def test_exponents_for_groups_of_16(batch, chip, four, eight):
    names = ["dot", "dot_scaled"]
    assert check("e2m1", "e2m1", batch=batch, factor=16, chip=chip) == [names[four]]
    assert check("e4m3", "e5m2", batch=batch, factor=16, chip=chip) == [names[eight]]


def test_four_bits_go_through_eight_where_the_engine_lacks_them(tmp_path):
    chip = tmp_path / "eight.toml"
    rate = 'dot_f4_macs_per_cycle = { value = 0, kind = "assumed", range = [0, 0], how = "none" }'
    chip.write_text(f'name = "eight"\nbase = "mtia400"\n[dot_product_engine]\n{rate}\n')
    assert check("e2m1", "e2m1", factor=16, chip=str(chip)) == ["dot_scaled"]


@triton.jit
def exponents_elsewhere(x, out):
    at = tl.arange(0, 16)
    tl.store(out + at, libdevice.block_exponents(tl.load(x + at)).to(tl.float32))


def test_exponents_of_blocks_are_nothing_but_scales():
    with pytest.raises(UnsupportedOperation, match=r"not given to tl\.dot_scaled as it is; reshape and move"):
        build(exponents_elsewhere, {"x": np.zeros(16, np.uint8), "out": np.zeros(16, np.float32)}, {})


def test_strips_of_rows_are_those_of_the_whole():
    a_bits, a = operand("e2m1", (1, M, K), 2)
    b_bits, b = operand("e4m3", (1, K, N), 1)
    scales = [RANDOM.integers(120, 134, (1, rows, K // 32), np.uint8) for rows in (M, N)]
    arguments = {"a": a_bits, "a_scale": scales[0], "b": b_bits, "b_scale": scales[1]}
    arguments["out"] = np.zeros((1, M, N), np.float32)
    constants = {"A": "e2m1", "B": "e4m3", "A_PACK": True, "B_PACK": True, "M": M, "N": N, "BATCH": 1}
    constants |= {"AM": M, "AK": K // 2, "BK": K, "BN": N, "GROUPS": K // 32, "FACTOR": 32, "NUMBERS": False}
    signature = types(arguments) | dict.fromkeys(constants, "constexpr")
    source = ASTSource(scaled, {name: signature[name] for name in scaled.arg_names}, constants, None)
    text = generic_ttir(triton.compile(source, target=GPUTarget("mtia_sim", "mtia400", 1)))
    counts = set()
    for strips in (None, Strips(4, False, least=16)):
        program = translate(text, chips.load("mtia400"), strips=strips)
        counts.add(sum(item.mnemonic == "dot_scaled" for item in program.instructions))
        memory = reference_interpreter.Memory()
        addresses = [memory.put(arguments[name].tobytes()) for name in scaled.arg_names if name in arguments]
        reference_interpreter.run(program, memory, addresses)
        got = np.frombuffer(memory.get(addresses[-1]), np.float32).reshape(M, N)
        expected = (a * (2.0 ** (scales[0] - 127.0)).repeat(32, 2)) @ (
            b * (2.0 ** (scales[1] - 127.0)).repeat(32, 2).transpose(0, 2, 1)
        )
        np.testing.assert_allclose(got, expected[0], rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert counts == {1, 4}
