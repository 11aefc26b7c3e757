"""Tensor descriptors as values: what loops and branches carry, and the signs of their elements."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import run

RANDOM = np.random.default_rng(5)


@triton.jit
def chosen(x, y, out, M, N, flag, steps, BM: tl.constexpr, BN: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [M, N], [N, 1], [BM, BN])
    if flag > 0:
        source = tl.make_tensor_descriptor(y, [M - 1, N], [N, 1], [BM, BN])
    target = tl.make_tensor_descriptor(out, [M, N], [N, 1], [BM, BN])
    for step in range(steps):
        target.store([step * BM, 0], source.load([step * BM, 0]))
        # Two carried descriptors that change places.
        if step % 2 == 0:
            source = tl.make_tensor_descriptor(x, [M, N - 1], [N, 1], [BM, BN])
        else:
            source = tl.make_tensor_descriptor(y, [M, N], [N, 1], [BM, BN])


@pytest.mark.parametrize("flag", [0, 1])
def test_a_branch_and_a_loop_choose_the_descriptor(flag):
    x, y = (RANDOM.standard_normal((13, 11)).astype(np.float32) for _ in range(2))
    out = np.full((13, 11), 7, np.float32)
    expected = out.copy()
    first = np.vstack([y[:12], np.zeros((1, 11), np.float32)]) if flag else x
    second = np.hstack([x[:, :10], np.zeros((13, 1), np.float32)])
    for step, source in enumerate((first, second, y, second)):
        expected[4 * step : 4 * step + 4] = source[4 * step : 4 * step + 4]
    arguments = {"x": x, "y": y, "out": out, "M": 13, "N": 11, "flag": flag, "steps": 4}
    np.testing.assert_array_equal(run(chosen, arguments, {"BM": 4, "BN": 16})["out"], expected)


@triton.jit
def swapped(x, y, out, n, steps, B: tl.constexpr):
    first = tl.make_tensor_descriptor(x, [n], [1], [B])
    second = tl.make_tensor_descriptor(y, [n], [1], [B])
    step = 0
    while step < steps:
        first, second = second, first
        step += 1
    tl.store(out + tl.arange(0, B), first.load([0]) - 2 * second.load([0]))


@pytest.mark.parametrize("steps", [1, 2])
def test_a_while_loop_swaps_descriptors(steps):
    x, y = RANDOM.standard_normal((2, 32)).astype(np.float32)
    arguments = {"x": x, "y": y, "out": np.zeros(32, np.float32), "n": 32, "steps": steps}
    first, second = (y, x) if steps % 2 else (x, y)
    np.testing.assert_array_equal(run(swapped, arguments, {"B": 32})["out"], first - 2 * second)


@triton.jit
def smallest(x, out, n, B: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [n], [1], [B])
    tl.make_tensor_descriptor(out, [n], [1], [B]).atomic_min([0], source.load([0]))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_a_descriptor_of_unsigned_numbers_compares_them_so(dtype):
    x, out = RANDOM.integers(0, 2**32, (2, 29), np.uint32).view(dtype)
    got = run(smallest, {"x": x, "out": out, "n": 29}, {"B": 32})["out"]
    np.testing.assert_array_equal(got, np.minimum(x, out))
