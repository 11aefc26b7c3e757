"""Layout operations, reductions and scans with any combiner, dots, conversions, libdevice, against numpy."""

import math

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import build, run
from narrow_floats import decode_bits, round_to
from triton.language.extra import libdevice

from mtia_core.dtypes import DType
from mtia_core.errors import Unimplemented

RANDOM = np.random.default_rng(3)


@triton.jit
def layout_kernel(x, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tile = tl.load(x + offsets)
    low, high = tl.split(tl.reshape(tile, (BLOCK // 2, 2)))
    tl.store(out + offsets, tl.cat(low, high, can_reorder=True))
    tl.store(out + BLOCK + offsets, tl.reshape(tl.join(high, low), (BLOCK,)))
    tl.store(out + 2 * BLOCK + offsets, tl.reshape(tl.trans(tl.reshape(tile, (4, BLOCK // 4))), (BLOCK,)))
    cube = tl.permute(tl.reshape(tile, (2, 4, BLOCK // 8)), (2, 0, 1))
    tl.store(out + 3 * BLOCK + offsets, tl.reshape(cube, (BLOCK,)))
    tl.store(out + 4 * BLOCK + offsets, tl.gather(tile, BLOCK - 1 - offsets, 0))
    tl.store(out + 5 * BLOCK + offsets, tl.flip(tile, 0))
    tl.store(out + 6 * BLOCK + offsets, tl.sort(tile))


def test_layout_operations():
    x = RANDOM.standard_normal(32).astype(np.float32)
    result = run(layout_kernel, {"x": x, "out": np.zeros((7, 32), np.float32)}, {"BLOCK": 32})["out"]
    expected = [
        np.concatenate([x[::2], x[1::2]]),
        np.stack([x[1::2], x[::2]], -1).reshape(-1),
        x.reshape(4, 8).T.reshape(-1),
        x.reshape(2, 4, 4).transpose(2, 0, 1).reshape(-1),
        x[::-1],
        x[::-1],
        np.sort(x),
    ]
    np.testing.assert_array_equal(result, np.stack(expected))


@triton.jit
def welford(mean_a, m2_a, weight_a, mean_b, m2_b, weight_b):
    weight = weight_a + weight_b
    delta = mean_b - mean_a
    fraction = tl.where(weight == 0.0, 0.0, weight_b / weight)
    return mean_a + delta * fraction, m2_a + m2_b + delta * delta * weight_a * fraction, weight


@triton.jit
def reduction_kernel(x, out, indices, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    rows, columns = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    tile = tl.load(x + rows[:, None] * COLUMNS + columns[None, :])
    tl.store(out + rows, tl.sum(tile, 1))
    tl.store(out + ROWS + rows, tl.max(tile, 1))
    tl.store(out + 2 * ROWS + rows, tl.reduce(tile, 1, multiply_plainly))
    mean, m2, weight = tl.reduce((tile, tl.zeros_like(tile), tl.full(tile.shape, 1.0, tl.float32)), 1, welford)
    tl.store(out + 3 * ROWS + rows, mean)
    tl.store(out + 4 * ROWS + rows, m2 / weight)
    tl.store(out + 5 * ROWS, tl.sum(tile))
    tl.store(indices + rows, tl.argmax(tile, 1))
    tl.store(indices + ROWS + rows, tl.argmin(tile, 1, tie_break_left=False))
    tl.store(indices + 2 * ROWS, tl.max(tl.argmax(tile, 1), 0))


@triton.jit
def multiply_plainly(a, b):
    return a * b


def test_reductions():
    x = RANDOM.standard_normal((4, 16)).astype(np.float32)
    result = run(
        reduction_kernel,
        {"x": x, "out": np.zeros((6, 4), np.float32), "indices": np.zeros((3, 4), np.int32)},
        {"ROWS": 4, "COLUMNS": 16},
    )
    wide = x.astype(np.float64)
    expected = [wide.sum(1), wide.max(1), wide.prod(1), wide.mean(1), wide.var(1)]
    np.testing.assert_allclose(result["out"][:5], np.stack(expected), rtol=1e-4, atol=1e-6)
    assert math.isclose(result["out"][5, 0], wide.sum(), rel_tol=1e-5, abs_tol=1e-5)
    np.testing.assert_array_equal(result["indices"][:2], [wide.argmax(1), wide.argmin(1)])
    assert result["indices"][2, 0] == wide.argmax(1).max()


@triton.jit
def first_order(a_left, b_left, a_right, b_right):
    return a_left * a_right, a_right * b_left + b_right


@triton.jit
def scan_kernel(x, y, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    a, b = tl.load(x + offsets), tl.load(y + offsets)
    tl.store(out + offsets, tl.cumsum(a, 0))
    tl.store(out + BLOCK + offsets, tl.cumsum(a, 0, reverse=True))
    tl.store(out + 2 * BLOCK + offsets, tl.cumprod(b, 0))
    _, state = tl.associative_scan((b, a), 0, first_order)
    tl.store(out + 3 * BLOCK + offsets, state)


def test_scans():
    x, y = RANDOM.standard_normal(16).astype(np.float32), RANDOM.uniform(0.5, 1.5, 16).astype(np.float32)
    state, states = 0.0, []
    for a, b in zip(x, y, strict=True):
        state = b * state + a
        states.append(state)
    result = run(scan_kernel, {"x": x, "y": y, "out": np.zeros((4, 16), np.float32)}, {"BLOCK": 16})["out"]
    expected = np.stack([x.cumsum(), x[::-1].cumsum()[::-1], y.cumprod(), states])
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@triton.jit
def conversion_kernel(x, half, brain, back, whole, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tile = tl.load(x + offsets)
    tl.store(half + offsets, tile.to(tl.float16))
    brain_tile = tile.to(tl.bfloat16)
    tl.store(brain + offsets, brain_tile)
    eight = tile.to(tl.float8e4nv)
    tl.store(back + offsets, eight.to(tl.float32))
    tl.store(back + BLOCK + offsets, tile.to(tl.float8e5).to(tl.float32))
    tl.store(back + 2 * BLOCK + offsets, brain_tile.to(tl.float32))
    tl.store(back + 3 * BLOCK + offsets, tile.to(tl.int32, bitcast=True).to(tl.float32, bitcast=True))
    tl.store(whole + offsets, tile.to(tl.int32))


def test_conversions():
    x = (RANDOM.standard_normal(64) * 20).astype(np.float32)
    zeros = {"half": np.zeros(64, np.float16), "brain": np.zeros(64, np.uint16)}
    arguments = {"x": x, **zeros, "back": np.zeros((4, 64), np.float32), "whole": np.zeros(64, np.int32)}
    result = run(conversion_kernel, arguments, {"BLOCK": 64})
    np.testing.assert_array_equal(result["half"], x.astype(np.float16))
    brain = round_to(x, DType.BF16)
    np.testing.assert_array_equal(decode_bits(result["brain"], DType.BF16), brain)
    expected = [round_to(x, DType.F8E4M3), round_to(x, DType.F8E5M2), brain, x]
    np.testing.assert_array_equal(result["back"], np.stack(expected))
    np.testing.assert_array_equal(result["whole"], x.astype(np.int32))


@triton.jit
def dot_kernel(a, b, c, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(a + m[:, None] * K + k[None, :])
    right = tl.load(b + n[:, None] * K + k[None, :])
    start = tl.load(c + m[:, None] * N + n[None, :])
    tl.store(
        out + m[:, None] * N + n[None, :],
        tl.dot(left, tl.trans(right), start, input_precision="ieee", out_dtype=c.dtype.element_ty),
    )


@pytest.mark.parametrize(("dtype", "wide"), [(np.float32, np.float32), (np.float16, np.float32), (np.int8, np.int32)])
def test_dot_with_a_transposed_operand(dtype, wide):
    a, b = ((RANDOM.standard_normal(shape) * 4).astype(dtype) for shape in ((16, 32), (8, 32)))
    c = (RANDOM.standard_normal((16, 8)) * 4).astype(wide)
    arguments = {"a": a, "b": b, "c": c, "out": np.zeros((16, 8), wide)}
    result = run(dot_kernel, arguments, {"M": 16, "N": 8, "K": 32})["out"]
    expected = a.astype(np.float64) @ b.astype(np.float64).T + c
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)


def test_products_that_a_chip_lacks_go_through_half_precision():
    a, b = (RANDOM.integers(-128, 128, shape).astype(np.int8) for shape in ((16, 2048), (16, 2048)))
    arguments = {"a": a, "b": b, "c": np.full((16, 16), 5, np.int32), "out": np.zeros((16, 16), np.int32)}
    constants = {"M": 16, "N": 16, "K": 2048}
    expected = a.astype(np.int64) @ b.astype(np.int64).T + 5
    np.testing.assert_array_equal(run(dot_kernel, arguments, constants)["out"], expected)
    for chip, count in (("mtia300", 2), ("mtia2i", 1)):
        program = build(dot_kernel, arguments, constants, chip=chip)
        assert sum(item.mnemonic == "dot" for item in program.instructions) == count


@triton.jit
def smaller_or_double(a, b):
    if a < b:
        return a
    return b * 2


@triton.jit
def cross(a0, a1, b0, b1):
    return a0 + b1, a1 * b0


@triton.jit(noinline=True)
def sum_and_product(a, b):
    return a + b, a * b


@triton.jit
def mapped_kernel(x, y, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    a, b = tl.load(x + offsets), tl.load(y + offsets)
    tl.store(out + offsets, tl.map_elementwise(smaller_or_double, a, b))
    tl.store(out + BLOCK + offsets, tl.map_elementwise(cross, a, b, pack=2)[0])
    total, product = sum_and_product(tl.load(x), tl.load(y))
    tl.store(out + 2 * BLOCK, total)
    tl.store(out + 2 * BLOCK + 1, product)


def test_mapped_functions_with_branches_and_calls_that_stay_calls():
    x, y = (RANDOM.standard_normal(16).astype(np.float32) for _ in range(2))
    out = run(mapped_kernel, {"x": x, "y": y, "out": np.zeros((3, 16), np.float32)}, {"BLOCK": 16})["out"]
    crossed = np.stack([x[::2] + y[1::2], x[1::2] * y[::2]], -1).reshape(-1)
    np.testing.assert_array_equal(out[:2], np.stack([np.where(x < y, x, y * 2), crossed]))
    assert out[2, :2].tolist() == [x[0] + y[0], x[0] * y[0]]


@triton.jit
def libdevice_kernel(x, y, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    a, b = tl.load(x + offsets), tl.load(y + offsets)
    tl.store(out + offsets, libdevice.tanh(a))
    tl.store(out + BLOCK + offsets, libdevice.pow(b, a))
    tl.store(out + 2 * BLOCK + offsets, libdevice.round(a * 4))
    tl.store(out + 3 * BLOCK + offsets, libdevice.hypot(a, b))
    tl.store(out + 4 * BLOCK + offsets, libdevice.rsqrt(b))
    tl.store(out + 5 * BLOCK + offsets, libdevice.isnan(a / 0.0 * 0.0).to(tl.float32))
    tl.store(out + 6 * BLOCK + offsets, tl.math.erf(a))
    tl.store(out + 7 * BLOCK + offsets, libdevice.fmod(a * 8, b))


def test_libdevice():
    x, y = RANDOM.standard_normal(32).astype(np.float32), RANDOM.uniform(0.1, 3, 32).astype(np.float32)
    result = run(libdevice_kernel, {"x": x, "y": y, "out": np.zeros((8, 32), np.float32)}, {"BLOCK": 32})["out"]
    a, b = x.astype(np.float64), y.astype(np.float64)
    expected = [np.tanh(a), b**a, np.rint(a * 4), np.hypot(a, b), b**-0.5, np.ones(32), [math.erf(v) for v in a]]
    expected.append(np.fmod(a * 8, b))
    np.testing.assert_allclose(result, np.stack(expected), rtol=1e-5, atol=1e-5)


@triton.jit
def random_kernel(out, seed, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.rand(seed, offsets))


def test_random_numbers_are_uniform_and_repeatable():
    arguments = {"out": np.zeros(1024, np.float32), "seed": 123}
    first = run(random_kernel, arguments, {"BLOCK": 256}, (4,))["out"]
    assert np.array_equal(first, run(random_kernel, arguments, {"BLOCK": 512}, (2,))["out"])
    assert first.min() >= 0 and first.max() < 1 and abs(first.mean() - 0.5) < 0.05 and np.unique(first).size > 1000


@triton.jit
def print_kernel(x, BLOCK: tl.constexpr):
    tile = tl.load(x + tl.arange(0, BLOCK))
    tl.device_print("tile", tile)
    tl.device_assert(tile < 4, "too large")


def test_print_and_assert():
    from reference_interpreter import Fault

    x = np.arange(4).astype(np.int32)
    assert run(print_kernel, {"x": x}, {"BLOCK": 4}, options={"debug": True})["printed"] == [
        "(0, 0, 0) tile: [0 1 2 3]"
    ]
    with pytest.raises(Fault, match="too large"):
        run(print_kernel, {"x": x + 1}, {"BLOCK": 4}, options={"debug": True})


@triton.jit
def assembly_kernel(x):
    value = tl.load(x)
    tl.store(x, tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [value], tl.int32, True, 1))


def test_an_unknown_operation_is_refused_with_its_line():
    with pytest.raises(Unimplemented, match=r"test_shapes_and_reductions.py:\d+: tt.elementwise_inline_asm: .*; "):
        build(assembly_kernel, {"x": np.zeros(1, np.int32)}, {})


@triton.jit
def checked_add(a, b):
    if a > 0:
        tl.device_assert(b < 100, "too large")
    return a + b


@triton.jit(debug=True)
def checked_reduction_kernel(x, out, scanned, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tile = tl.load(x + offsets)
    tl.store(out, tl.reduce(tile, 0, checked_add))
    tl.store(scanned + offsets, tl.associative_scan(tile, 0, checked_add))


def test_assertions_of_combiners():
    for x, fails in ((np.full(8, -200), False), (np.arange(8), False), (np.array([1, 1, 1, 1, 1, 1, 1, 100]), True)):
        x = x.astype(np.int32)
        arrays = {"x": x, "out": np.full(1, 7, np.int32), "scanned": np.full(8, 7, np.int32)}
        if fails:
            with pytest.raises(Exception, match="too large"):
                run(checked_reduction_kernel, arrays, {"BLOCK": 8}, options={"debug": True})
        else:
            result = run(checked_reduction_kernel, arrays, {"BLOCK": 8}, options={"debug": True})
            assert result["out"][0] == x.sum()
            np.testing.assert_array_equal(result["scanned"], x.cumsum())


@triton.jit(debug=True)
def overflow_kernel(x, out):
    tl.store(out, tl.load(x) + tl.load(x + 1))
    tl.store(out + 1, tl.load(x) * tl.load(x + 1))
    tl.store(out + 2, tl.load(x) - tl.load(x + 1))


def test_overflow_is_an_assertion_under_debug():
    for a, b, fails in ((5, -7, False), (2**31 - 1, 1, True), (1 << 20, 1 << 12, True), (-(2**31), 1, True)):
        arrays = {"x": np.array([a, b], np.int32), "out": np.full(3, 7, np.int32)}
        assert run(overflow_kernel, arrays, {}, options={"debug": False})["out"][0] == np.int32(
            (a + b + 2**31) % 2**32 - 2**31
        )
        if fails:
            with pytest.raises(Exception, match="overflow"):
                run(overflow_kernel, arrays, {}, options={"debug": True})
        else:
            result = run(overflow_kernel, arrays, {}, options={"debug": True})["out"]
            assert result.tolist() == [a + b, a * b, a - b]
