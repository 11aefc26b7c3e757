"""Kernels of the tutorials' kinds through the compiler and the reference interpreter, against numpy."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import build, run

RANDOM = np.random.default_rng(0)


def mnemonics(program):
    return [item.mnemonic for item in program.instructions]


@triton.jit
def add_kernel(x, y, out, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out + offsets, tl.load(x + offsets, mask=mask) + tl.load(y + offsets, mask=mask), mask=mask)


def test_add_is_three_descriptors_and_one_instruction():
    n = 1000
    x, y = (RANDOM.standard_normal(n, np.float32) for _ in range(2))
    arguments = {"x": x, "y": y, "out": np.full(n, np.nan, np.float32), "n": n}
    np.testing.assert_array_equal(run(add_kernel, arguments, {"BLOCK": 256}, (4,))["out"], x + y)
    program = build(add_kernel, arguments, {"BLOCK": 256})
    tile_work = [name for name in mnemonics(program) if name.startswith(("dma", "add_f", "gather", "iota", "copy"))]
    assert tile_work == ["dma_load", "dma_load", "add_f", "dma_store"]
    assert program.local_memory_bytes == 2 * 1024  # the sum takes an operand's place


@triton.jit
def softmax_kernel(out, x, stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + row * stride + offsets, mask=offsets < columns, other=-float("inf"))
    numerator = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * stride + offsets, numerator / tl.sum(numerator, axis=0), mask=offsets < columns)


def test_softmax():
    x = RANDOM.standard_normal((7, 100), np.float32)
    arguments = {"out": np.full_like(x, np.nan), "x": x, "stride": 100, "columns": 100}
    expected = np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(1, keepdims=True)
    np.testing.assert_allclose(run(softmax_kernel, arguments, {"BLOCK": 128}, (7,))["out"], expected, rtol=2e-6)
    assert build(softmax_kernel, arguments, {"BLOCK": 128}).local_memory_bytes == 512


@triton.jit
def matmul_kernel(
    a, b, c, M, N, K, stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    blocks_m, blocks_n = tl.cdiv(M, BM), tl.cdiv(N, BN)
    group = pid // (GROUP * blocks_n)
    first = group * GROUP
    size = min(blocks_m - first, GROUP)
    block_m = first + (pid % (GROUP * blocks_n)) % size
    block_n = (pid % (GROUP * blocks_n)) // size
    rows = (block_m * BM + tl.arange(0, BM)) % M
    columns = (block_n * BN + tl.arange(0, BN)) % N
    inner = tl.arange(0, BK)
    a_pointers = a + (rows[:, None] * stride_am + inner[None, :] * stride_ak)
    b_pointers = b + (inner[:, None] * stride_bk + columns[None, :] * stride_bn)
    accumulator = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(tl.cdiv(K, BK)):
        left = tl.load(a_pointers, mask=inner[None, :] < K - k * BK, other=0.0)
        right = tl.load(b_pointers, mask=inner[:, None] < K - k * BK, other=0.0)
        accumulator = tl.dot(left, right, accumulator)
        a_pointers += BK * stride_ak
        b_pointers += BK * stride_bk
    rows = block_m * BM + tl.arange(0, BM)
    columns = block_n * BN + tl.arange(0, BN)
    pointers = c + stride_cm * rows[:, None] + stride_cn * columns[None, :]
    tl.store(pointers, accumulator.to(tl.float16), mask=(rows[:, None] < M) & (columns[None, :] < N))


def matmul_arguments(M, N, K):
    a = RANDOM.standard_normal((M, K)).astype(np.float16)
    b = RANDOM.standard_normal((K, N)).astype(np.float16)
    strides = {"stride_am": K, "stride_ak": 1, "stride_bk": N, "stride_bn": 1, "stride_cm": N, "stride_cn": 1}
    return {"a": a, "b": b, "c": np.full((M, N), np.nan, np.float16), "M": M, "N": N, "K": K, **strides}


def test_matmul_wraps_and_carries_pointers_in_descriptors():
    arguments = matmul_arguments(100, 70, 90)
    constants = {"BM": 32, "BN": 32, "BK": 32, "GROUP": 8}
    expected = arguments["a"].astype(np.float64) @ arguments["b"].astype(np.float64)
    result = run(matmul_kernel, arguments, constants, (4 * 3,))["c"]
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-2)
    names = mnemonics(build(matmul_kernel, arguments, constants))
    assert "gather" not in names and "scatter" not in names and "iota" not in names
    body = names[names.index("for_begin") : names.index("end")]
    assert [name for name in body if name in ("dma_load", "dot", "copy")] == [
        "dma_load",
        "dma_load",
        "dot",
        "copy",
        "copy",
    ]


def test_num_stages_rotates_the_loads_and_gives_way_when_memory_is_short():
    arguments = matmul_arguments(64, 64, 64)
    constants = {"BM": 32, "BN": 32, "BK": 32, "GROUP": 8}
    for stages in (1, 3):
        program = build(matmul_kernel, arguments, constants, {"num_stages": stages})
        assert sorted(slot.buffers for slot in program.slots)[-2:] == [stages, stages]
    large = {"BM": 128, "BN": 64, "BK": 256, "GROUP": 8}
    program = build(matmul_kernel, arguments, large, {"num_stages": 8}, chip="mtia1")
    assert program.local_memory_bytes <= 128 * 1024


def test_refuses_what_does_not_fit_local_memory():
    from triton.runtime.errors import OutOfResources

    constants = {"BM": 256, "BN": 256, "BK": 64, "GROUP": 8}
    with pytest.raises(
        OutOfResources, match=r"test_first_kernels.py:\d+ .* needs \d+ KiB of local memory, a PE of mtia1 has 128 KiB"
    ):
        build(matmul_kernel, matmul_arguments(64, 64, 64), constants, chip="mtia1")
