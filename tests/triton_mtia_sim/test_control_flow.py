"""Loops, branches and returns against numpy and plain Python."""

import numpy as np
import triton
import triton.language as tl
from execution import build, run

RANDOM = np.random.default_rng(1)


@triton.jit
def collatz_kernel(x, out, BLOCK: tl.constexpr):
    for i in range(BLOCK):
        value = tl.load(x + i)
        steps = 0
        while value != 1:
            if value % 2 == 0:
                value = value // 2
            else:
                value = 3 * value + 1
            steps += 1
        tl.store(out + i, steps)


def test_while_with_a_branch_inside():
    x = np.array([1, 2, 3, 6, 7, 9, 27, 97], np.int32)

    def steps(value):
        count = 0
        while value != 1:
            value, count = (value // 2 if value % 2 == 0 else 3 * value + 1), count + 1
        return count

    result = run(collatz_kernel, {"x": x, "out": np.full(8, -5, np.int32)}, {"BLOCK": 8})["out"]
    np.testing.assert_array_equal(result, [steps(int(value)) for value in x])


@triton.jit
def fibonacci_kernel(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    a = tl.load(x + offsets)
    b = tl.load(x + BLOCK + offsets)
    for _ in range(n):
        a, b = b, a + b
    tl.store(out + offsets, a)
    tl.store(out + BLOCK + offsets, b)


def test_carried_tiles_that_change_places():
    x = RANDOM.integers(0, 9, 32).astype(np.int32)
    for n in (0, 1, 2, 7):
        a, b = x[:16], x[16:]
        for _ in range(n):
            a, b = b, a + b
        result = run(fibonacci_kernel, {"x": x, "out": np.zeros(32, np.int32), "n": n}, {"BLOCK": 16})["out"]
        np.testing.assert_array_equal(result, np.concatenate([a, b]))


@triton.jit
def early_return_kernel(x, out, n, m, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    if pid >= n:
        if m > 3:
            return
    if pid == 1:
        tl.store(out + pid * BLOCK, 7.0)
        return
    offsets = pid * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.load(x + offsets) * 2)


def test_early_returns():
    x = RANDOM.standard_normal(64).astype(np.float32)
    for m in (3, 4):
        expected = np.full(64, -1, np.float32)
        for pid in range(4):
            if pid >= 2 and m > 3:
                continue
            if pid == 1:
                expected[16] = 7
                continue
            expected[pid * 16 : pid * 16 + 16] = x[pid * 16 : pid * 16 + 16] * 2
        arguments = {"x": x, "out": np.full(64, -1, np.float32), "n": 2, "m": m}
        np.testing.assert_array_equal(run(early_return_kernel, arguments, {"BLOCK": 16}, (4,))["out"], expected)


@triton.jit
def pick(value, n):
    if n > 5:
        return value + 1
    return value * 2


@triton.jit
def call_kernel(x, out, n):
    tl.store(out, pick(tl.load(x), n))


def test_a_called_function_with_two_returns():
    x = np.array([3.0], np.float32)
    for n, expected in ((9, 4.0), (4, 6.0)):
        assert run(call_kernel, {"x": x, "out": np.zeros(1, np.float32), "n": n}, {})["out"][0] == expected


@triton.jit
def branch_kernel(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tile = tl.load(x + offsets)
    total = tl.zeros([BLOCK], tl.float32)
    for i in range(n):
        if i % 2 == 0:
            total = total + tile
            scale = 2.0
        else:
            scale = 3.0
        total = total * scale
    tl.store(out + offsets, total)


def test_branch_results_in_a_loop():
    x = RANDOM.standard_normal(16).astype(np.float32)
    total = np.zeros(16, np.float64)
    for i in range(5):
        total = (total + x) * 2 if i % 2 == 0 else total * 3
    result = run(branch_kernel, {"x": x, "out": np.zeros(16, np.float32), "n": 5}, {"BLOCK": 16})["out"]
    np.testing.assert_allclose(result, total, rtol=1e-5)


@triton.jit
def nested_kernel(x, out, rows, columns, stride, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    row_pointers = x + offsets
    largest = tl.full([BLOCK], -float("inf"), tl.float32)
    for _ in range(rows):
        pointers = row_pointers
        for start in range(0, columns, BLOCK):
            tile = tl.load(pointers, mask=offsets < columns - start, other=-float("inf"))
            largest = tl.maximum(largest, tile)
            pointers += BLOCK
        row_pointers += stride
    tl.store(out + offsets, largest)


def test_nested_loops_carry_pointers_without_tiles_of_addresses():
    x = RANDOM.standard_normal((5, 40)).astype(np.float32)
    padded = np.full((5, 48), -np.inf, np.float32)
    padded[:, :40] = x
    arguments = {"x": x, "out": np.zeros(16, np.float32), "rows": 5, "columns": 40, "stride": 40}
    result = run(nested_kernel, arguments, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(result, padded.reshape(-1, 16).max(0))
    names = [item.mnemonic for item in build(nested_kernel, arguments, {"BLOCK": 16}).instructions]
    assert "gather" not in names and "iota" not in names


@triton.jit
def zero_trip_kernel(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tile = tl.load(x + offsets)
    for _ in range(n):
        tile = tl.exp(tile)
    tl.store(out + offsets, tile)


def test_a_loop_that_does_not_run_keeps_its_initial_value():
    x = RANDOM.standard_normal(16).astype(np.float32)
    result = run(zero_trip_kernel, {"x": x, "out": np.zeros(16, np.float32), "n": 0}, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(result, x)


@triton.jit
def classify(value, n):
    if value > 1.0:
        if n > 5:
            return value * 2, 1
        value += 10.0
    elif value < -1.0:
        return -value, 2
    if n == 3:
        return value - 0.5, 3
    return value + n, 4


@triton.jit(noinline=True)
def classify_apart(value, n):
    return classify(value, n)


@triton.jit
def called_in_a_loop_kernel(x, out, kinds, n, BLOCK: tl.constexpr):
    for i in range(BLOCK):
        value, kind = classify(tl.load(x + i), n)
        again, other = classify_apart(value, n)
        tl.store(out + i, again)
        tl.store(kinds + i, kind * 10 + other)


def test_early_returns_of_functions_called_in_a_loop():
    def expected(value, n):
        if value > 1:
            if n > 5:
                return value * 2, 1
            value += 10
        elif value < -1:
            return -value, 2
        return (value - 0.5, 3) if n == 3 else (value + n, 4)

    x = (RANDOM.standard_normal(16) * 2).astype(np.float32)
    for n in (3, 4, 9):
        arrays = {"x": x, "out": np.full(16, 99, np.float32), "kinds": np.full(16, 99, np.int32), "n": n}
        result = run(called_in_a_loop_kernel, arrays, {"BLOCK": 16})
        first = [expected(float(value), n) for value in x]
        second = [expected(value, n) for value, _ in first]
        np.testing.assert_allclose(result["out"], [value for value, _ in second], rtol=1e-5)
        np.testing.assert_array_equal(result["kinds"], [a[1] * 10 + b[1] for a, b in zip(first, second, strict=True)])
