"""Scans in strips give the bits of whole scans; blocks that do not fit local memory agree with torch."""

import itertools

import pytest
import torch
import triton
import triton.language as tl
from whole_and_strips import WAYS, compare

DEVICE = "mtia_sim"


@triton.jit
def maximum(a, b):
    return tl.maximum(a, b)


@triton.jit
def product(a, b):
    return a * b


@triton.jit
def scan_row(out, x, n, BLOCK: tl.constexpr, KIND: tl.constexpr, REVERSE: tl.constexpr):
    """A scan between element-wise work, with a reduction of what it gives."""
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets, mask=offsets < n, other=0)
    if KIND == 0:
        scanned = tl.associative_scan(values + values, 0, _add, reverse=REVERSE)
    elif KIND == 1:
        scanned = tl.associative_scan(values, 0, maximum, reverse=REVERSE)
    else:
        scanned = tl.associative_scan(values, 0, product, reverse=REVERSE)
    tl.store(out + offsets, scanned + values, mask=offsets < n)
    tl.store(out + n, tl.max(scanned, 0))


@triton.jit
def _add(a, b):
    return a + b


@triton.jit
def scan_matrix(out, x, ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr, REVERSE: tl.constexpr):
    place = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    values = tl.load(x + place)
    once = tl.associative_scan(values, AXIS, _add, reverse=REVERSE)
    twice = tl.associative_scan(once * 2, AXIS, _add, reverse=REVERSE)
    tl.store(out + place, twice - tl.sum(once, 0)[None, :])


def drawn(shape, dtype, seed, scale=1.0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale
    return x.to(dtype)


DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int64]


# tl.maximum of bfloat16 is float32, which a combiner must not be.
CASES = [case for case in itertools.product(DTYPES, (0, 1, 2), (False, True)) if case[:2] != (torch.bfloat16, 1)]


@pytest.mark.parametrize(("dtype", "kind", "reverse"), CASES, ids=str)
def test_rows(dtype, kind, reverse):
    n = 250
    x = drawn(n, dtype, kind, 3.0) if kind < 2 else (drawn(n, torch.float32, kind).sign() * 1.02).to(dtype)
    if kind == 0 and dtype.is_floating_point:
        x[5:9] = 0
        x[100] = -0.0
    out = torch.full((n + 1,), 77, dtype=dtype)
    constants = {"BLOCK": 256, "KIND": kind, "REVERSE": reverse}
    found = compare(scan_row, {"out": out, "x": x}, {"n": n}, constants)["out"]
    wide = x.double()
    if reverse:
        wide = wide.flip(0)
    scanned = [lambda v: (v + v).cumsum(0), lambda v: v.cummax(0).values, lambda v: v.cumprod(0)][kind](wide)
    if reverse:
        if kind == 1:  # the block's end, beyond n, holds zeros
            scanned = scanned.clamp(min=0)
        if kind == 2:
            scanned = scanned * 0
        scanned = scanned.flip(0)
    bound = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}.get(dtype, 0)
    torch.testing.assert_close(found[:n].double(), scanned + x.double(), rtol=bound, atol=bound * 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (1, 256), (128, 1)])
@pytest.mark.parametrize(("axis", "reverse"), list(itertools.product((0, 1), (False, True))))
def test_matrices(shape, axis, reverse, dtype):
    if shape[axis] == 1:
        pytest.skip("Triton folds a scan along one element")
    x = drawn(shape, dtype, axis)
    constants = {"ROWS": shape[0], "COLUMNS": shape[1], "AXIS": axis, "REVERSE": reverse}
    found = compare(scan_matrix, {"out": torch.full(shape, 77, dtype=dtype), "x": x}, {}, constants)["out"]
    wide = x.double().flip(axis) if reverse else x.double()
    once, twice = wide.cumsum(axis), (wide.cumsum(axis) * 2).cumsum(axis)
    if reverse:
        once, twice = once.flip(axis), twice.flip(axis)
    error = (found.double() - (twice - once.sum(0))).norm() / (twice - once.sum(0)).norm()
    assert error < (1e-5 if dtype is torch.float32 else 5e-3)


@triton.jit
def prefix_sums(out, x, n, BLOCK: tl.constexpr, REVERSE: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    row = tl.program_id(0) * n
    values = tl.load(x + row + offsets, mask=offsets < n, other=0.0)
    tl.store(out + row + offsets, tl.cumsum(values, 0, reverse=REVERSE), mask=offsets < n)


@pytest.mark.parametrize("n", [100_000, 128_256])
@pytest.mark.parametrize("reverse", [False, True])
def test_rows_that_do_not_fit(n, reverse):
    x = torch.randn(2, n, generator=torch.Generator().manual_seed(n))
    out = torch.zeros(2, n, device=DEVICE)
    prefix_sums[(2,)](out, x.to(DEVICE), n, BLOCK=131072, REVERSE=reverse)
    wide = x.double().flip(1).cumsum(1).flip(1) if reverse else x.double().cumsum(1)
    assert (out.cpu().double() - wide).norm() / wide.norm() < 1e-5
    report = torch.mtia_sim.explain(prefix_sums, out, x.to(DEVICE), n, grid=(2,), BLOCK=131072, REVERSE=reverse)
    assert report.strips > 1 and report.local_memory_bytes <= report.local_memory_available


@triton.jit
def softmax_of_sums(out, x, n, BLOCK: tl.constexpr):
    """What is scanned comes from a reduction, and goes into one."""
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets, mask=offsets < n, other=0.0)
    sums = tl.cumsum(values - tl.sum(values, 0) / n, 0)
    numerator = tl.exp(sums - tl.max(sums, 0))
    tl.store(out + offsets, numerator / tl.sum(numerator, 0), mask=offsets < n)


def test_between_reductions():
    x = drawn(500, torch.float32, 11, 0.1)
    found = compare(softmax_of_sums, {"out": torch.full((500,), 77.0), "x": x}, {"n": 500}, {"BLOCK": 512}, ways=WAYS)
    wide = torch.cat([x.double(), torch.zeros(12, dtype=torch.float64)])
    expected = (wide - wide.sum() / 500).cumsum(0).softmax(0)[:500]
    torch.testing.assert_close(found["out"].double(), expected, rtol=1e-3, atol=1e-6)
