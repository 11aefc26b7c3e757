"""Indices that are taken apart, wrap around, or are carried by control flow: what is one descriptor, and is right."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import build, run
from reference_interpreter import Fault

RANDOM = np.random.default_rng(11)
INDEXED = {"gather", "scatter"}


def indexed(kernel, arguments, constants):
    """Indexed DMAs of a compiled kernel."""
    return [item.mnemonic for item in build(kernel, arguments, constants).instructions if item.mnemonic in INDEXED]


@triton.jit
def permuted_kernel(x, out, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr):
    """out[c, b, a] = x[a, b, c] as Inductor writes it."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = index % A
    b = (index // A) % B
    c = index // (A * B)
    tl.store(out + index, tl.load(x + c + C * b + C * B * a))


@pytest.mark.parametrize(("a", "b", "c", "block"), [(4, 8, 16, 128), (64, 4, 2, 32), (16, 2, 4, 128), (2, 3, 64, 64)])
def test_a_flattened_index_taken_apart_is_one_descriptor(a, b, c, block):
    x = RANDOM.standard_normal((a, b, c)).astype(np.float32)
    arguments = {"x": x, "out": np.full(x.size, np.nan, np.float32)}
    constants = {"A": a, "B": b, "C": c, "BLOCK": block}
    found = run(permuted_kernel, arguments, constants, (x.size // block,))["out"]
    np.testing.assert_array_equal(found.reshape(c, b, a), x.transpose(2, 1, 0))
    # 2 * 3 = 6 does not divide blocks of 64: those are indexed.
    assert bool(indexed(permuted_kernel, arguments, constants)) == (b == 3)


@triton.jit
def rejoined_kernel(x, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < n
    tl.store(out + index, tl.load(x + (index // 16) * 16 + index % 16, mask=inside), mask=inside)


def test_what_is_put_together_again_keeps_its_bound():
    x = RANDOM.standard_normal(150).astype(np.float32)
    arguments = {"x": x, "out": np.full(256, 7, np.float32), "n": 150}
    found = run(rejoined_kernel, arguments, {"BLOCK": 64}, (4,))["out"]
    np.testing.assert_array_equal(found, np.concatenate([x, np.full(106, 7, np.float32)]))
    assert not indexed(rejoined_kernel, arguments, {"BLOCK": 64})


@triton.jit
def bounded_rows_kernel(x, out, n, BLOCK: tl.constexpr):
    """A bound that falls inside a row of the taken-apart index becomes a mask."""
    index = tl.arange(0, BLOCK)
    tl.store(out + index, tl.load(x + (index // 8) * 20 + index % 8, mask=index < n, other=-1.0))


@pytest.mark.parametrize("n", [0, 5, 8, 19, 64, 99])
def test_a_bound_across_pieces(n):
    x = RANDOM.standard_normal(160).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(64, np.float32), "n": n}
    index = np.arange(64)
    expected = np.where(index < n, x[index // 8 * 20 + index % 8], np.float32(-1))
    np.testing.assert_array_equal(run(bounded_rows_kernel, arguments, {"BLOCK": 64})["out"], expected)
    assert not indexed(bounded_rows_kernel, arguments, {"BLOCK": 64})


@triton.jit
def two_wraps_kernel(x, out, rows, columns, first, second, R: tl.constexpr, C: tl.constexpr):
    r = (first + tl.arange(0, R)) % rows
    c = (second + tl.arange(0, C)) % columns
    i = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    tl.store(out + i, tl.load(x + r[:, None] * columns + c[None, :]))


def test_several_modulos_are_one_descriptor():
    x = RANDOM.standard_normal((5, 11)).astype(np.float32)
    arguments = {"x": x, "out": np.zeros((4, 8), np.float32), "rows": 5, "columns": 11, "first": 3, "second": 9}
    found = run(two_wraps_kernel, arguments, {"R": 4, "C": 8})["out"]
    expected = x[np.ix_((3 + np.arange(4)) % 5, (9 + np.arange(8)) % 11)]
    np.testing.assert_array_equal(found, expected)
    assert not indexed(two_wraps_kernel, arguments, {"R": 4, "C": 8})


@triton.jit
def chosen_kernel(x, y, out, n, BLOCK: tl.constexpr):
    """A pointer chosen by select, one chosen by a branch, and one that a loop carried out."""
    index = tl.arange(0, BLOCK)
    base = x if n > 3 else y
    selected = tl.load(base + index)
    if n > 5:
        pointers = x + 2 * index
    else:
        pointers = x + 2 * index + 1
    for _ in range(n):
        pointers += BLOCK
    tl.store(out + index, selected + tl.load(pointers))


@pytest.mark.parametrize("n", [0, 4, 7])
def test_pointers_that_control_flow_chooses(n):
    x, y = RANDOM.standard_normal((2, 160)).astype(np.float32)
    arguments = {"x": x, "y": y, "out": np.zeros(16, np.float32), "n": n}
    expected = (x if n > 3 else y)[:16] + x[2 * np.arange(16) + (n <= 5) + 16 * n]
    np.testing.assert_array_equal(run(chosen_kernel, arguments, {"BLOCK": 16})["out"], expected)
    assert not indexed(chosen_kernel, arguments, {"BLOCK": 16})


@triton.jit
def wrapping_kernel(x, out, big, BLOCK: tl.constexpr):
    """The sum wraps around at 32 bits inside the tile, and back."""
    index = tl.arange(0, BLOCK) + big
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + (index - big) * 3 % 64))


@triton.jit
def scalar_wrap_kernel(x, out, big, BLOCK: tl.constexpr):
    """big * 4 wraps to a small number: scalars compute in their own width."""
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + (tl.arange(0, BLOCK) + big * 4)))


def test_index_arithmetic_wraps_at_its_width():
    x = RANDOM.standard_normal(64).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(16, np.float32), "big": 2**31 - 5}
    found = run(wrapping_kernel, arguments, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(found, x[np.arange(16) * 3 % 64])
    arguments = {"x": x, "out": np.zeros(16, np.float32), "big": 2**30 + 3}
    found = run(scalar_wrap_kernel, arguments, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(found, x[12:28])
    assert not indexed(scalar_wrap_kernel, arguments, {"BLOCK": 16})


@triton.jit
def masked_start_kernel(x, out, start, n, BLOCK: tl.constexpr):
    index = start + tl.arange(0, BLOCK)
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + tl.arange(0, BLOCK), mask=index < n, other=0.0))


def test_a_comparison_that_wraps_is_refused():
    x = RANDOM.standard_normal(16).astype(np.float32)
    arguments = {"x": x, "out": np.ones(16, np.float32), "start": 90, "n": 99}
    found = run(masked_start_kernel, arguments, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(found, np.where(np.arange(16) < 9, x, 0))
    with pytest.raises(Fault, match="wraps around at its width"):
        run(masked_start_kernel, {**arguments, "start": 2**31 - 8}, {"BLOCK": 16})


@triton.jit
def negative_in_a_dead_branch_kernel(x, out, shift, n, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    if shift >= 0:
        tl.store(out + index, tl.load(x + (index + shift) % n))
    for _step in range(shift):
        tl.store(out + index, tl.load(x + (index + shift) % n))


def test_a_check_is_not_made_where_the_access_is_not():
    x = RANDOM.standard_normal(16).astype(np.float32)
    arguments = {"x": x, "out": np.ones(16, np.float32), "shift": -3, "n": 16}
    constants = {"BLOCK": 16}
    np.testing.assert_array_equal(run(negative_in_a_dead_branch_kernel, arguments, constants)["out"], np.ones(16))
    found = run(negative_in_a_dead_branch_kernel, {**arguments, "shift": 3}, constants)["out"]
    np.testing.assert_array_equal(found, np.roll(x, -3))


@triton.jit
def far_bound_kernel(x, out, start, end, BLOCK: tl.constexpr):
    index = start + tl.arange(0, BLOCK).to(tl.int64)
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + tl.arange(0, BLOCK), mask=index < end, other=0.0))


@pytest.mark.parametrize(("start", "end", "expected"), [(-(2**62), 2**62 + 5, 16), (2**62, -(2**62), 0), (7, 12, 5)])
def test_bounds_of_64_bits_do_not_overflow(start, end, expected):
    x = RANDOM.standard_normal(16).astype(np.float32) + 10
    wide = {"x": x, "out": np.ones(16, np.float32), "start": start, "end": end}
    found = run(far_bound_kernel, wide, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(found, np.where(np.arange(16) < expected, x, 0))


@triton.jit
def rows_of_an_argument_kernel(x, out, n, stride, limit, BLOCK: tl.constexpr):
    """FlagGems' way of a strided copy: row and column of a flattened index by an argument."""
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < limit
    values = tl.load(x + (index // n) * stride + index % n, mask=inside, other=-5.0)
    tl.store(out + (index // n) * stride + index % n, values, mask=inside)


@pytest.mark.parametrize("n", [1, 5, 16, 64, 1000])
def test_rows_by_an_argument_take_a_descriptor_inside_a_row(n):
    limit, stride = 150, n + 3
    x = RANDOM.standard_normal(stride * (limit // n + 1)).astype(np.float32)
    arguments = {"x": x, "out": np.full_like(x, 9), "n": n, "stride": stride, "limit": limit}
    found = run(rows_of_an_argument_kernel, arguments, {"BLOCK": 16}, (10,))["out"]
    places = np.arange(limit) // n * stride + np.arange(limit) % n
    expected = np.full_like(x, 9)
    expected[places] = x[places]
    np.testing.assert_array_equal(found, expected)
    names = [item.mnemonic for item in build(rows_of_an_argument_kernel, arguments, {"BLOCK": 16}).instructions]
    assert names.count("dma_load") == names.count("dma_store") == names.count("gather") == names.count("scatter") == 1
