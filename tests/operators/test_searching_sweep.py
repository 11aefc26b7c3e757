"""Looking up and selecting by masks, at random, against CPU torch: the same numbers, bit for bit.

Searches go on both sides of a PE's local memory, with NaNs in rows and values, rows out of order and sorters.
"""

from __future__ import annotations

import random

import pytest
import torch

from tests.operators.test_sorting_sweep import DEVICE, DTYPES, FLOATS, INTEGERS, SLOW, assert_same, layout, row_values

LENGTHS = (0, 1, 2, 3, 7, 64, 1000, 4097, 70_000)
MASKED = (1, 2, 63, 64, 65, 1000, 4613, 40_001, 1 << 18)


def sorted_row(draw: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Sorted as a rule; NaNs and numbers out of order have a result too, that of torch's halving."""
    x = row_values(draw, shape, dtype, allow_nan=draw.random() < 0.3)
    return x if draw.random() < 0.15 else x.sort(dim=-1).values


def check_searchsorted(draw: random.Random) -> None:
    dtype = draw.choice((*FLOATS, *INTEGERS))
    length = draw.choice(LENGTHS)
    batch = tuple(draw.choice([1, 2, 5]) for _ in range(draw.choice([0, 0, 1, 2])))
    row = sorted_row(draw, (*batch, length), dtype)
    count = draw.choice([0, 1, 7, 100, 3000]) if length < 70_000 else draw.choice([1, 100])
    values = row_values(draw, (*batch, count), dtype)
    if row.numel() and draw.random() < 0.5:  # values that occur
        values = values.where(torch.rand(values.shape) < 0.5, row.flatten()[torch.randint(row.numel(), values.shape)])
    options = {"out_int32": draw.random() < 0.3}
    if draw.random() < 0.5:
        options["right"] = draw.random() < 0.5
    else:
        options["side"] = draw.choice(["left", "right"])
    _, device_row = layout(draw, row) if row.numel() else (row, row.to(DEVICE))
    _, device_values = layout(draw, values) if values.numel() else (values, values.to(DEVICE))
    if draw.random() < 0.3 and length:
        sorter = torch.stack([torch.randperm(length) for _ in range(torch.Size(batch).numel())]).view(row.shape)
        want = torch.searchsorted(row, values, sorter=sorter, **options)
        assert_same(torch.searchsorted(device_row, device_values, sorter=sorter.to(DEVICE), **options), want)
        return
    want = torch.searchsorted(row, values, **options)
    assert_same(torch.searchsorted(device_row, device_values, **options), want)
    out = torch.empty(values.shape[::-1], dtype=want.dtype, device=DEVICE).permute(*reversed(range(values.dim())))
    torch.searchsorted(device_row, device_values, out=out, **options)
    assert_same(out, want)
    if not batch:
        chosen = {"out_int32": options["out_int32"], "right": options.get("right", options.get("side") == "right")}
        shaped = values.view(1, -1, 1)
        want = torch.bucketize(shaped, row, **chosen)
        assert_same(torch.bucketize(device_values.view(1, -1, 1), device_row, **chosen), want)
        if count and not values[0].isnan():
            number = values[0].item()
            assert_same(torch.searchsorted(device_row, number, **chosen), torch.searchsorted(row, number, **chosen))


def check_isin(draw: random.Random) -> None:
    dtype, other = draw.choice(((torch.float32,) * 2, (torch.float64,) * 2, *((dtype,) * 2 for dtype in INTEGERS)) + (
        (torch.int32, torch.int64), (torch.float32, torch.int64), (torch.uint8, torch.int16)))  # fmt: skip
    shape = tuple(draw.choice([0, 1, 3, 17, 100]) for _ in range(draw.choice([0, 1, 2])))
    elements = row_values(draw, shape, dtype)
    tests = row_values(draw, (draw.choice([0, 1, 2, 9, 500, 5000]),), other)
    if tests.numel() and elements.numel() and dtype == other:
        picked = tests[torch.randint(tests.numel(), elements.shape)]
        elements = elements.where(torch.rand(elements.shape) < 0.5, picked)
    options = {"invert": draw.random() < 0.5}
    _, device = layout(draw, elements) if elements.dim() and elements.numel() else (elements, elements.to(DEVICE))
    assert_same(torch.isin(device, tests.to(DEVICE), **options), torch.isin(elements, tests, **options))
    if tests.numel():
        number = tests[0].item()
        assert_same(torch.isin(device, number, **options), torch.isin(elements, number, **options))
        assert_same(torch.isin(number, device, **options), torch.isin(number, elements, **options))


def masks(draw: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
    """A tensor and a mask that broadcasts with it."""
    count = draw.choice(MASKED)
    shape = draw.choice([(count,), (count, 1), (1, count), (3, count), (count, 2, 3)])
    if count > 4613:
        shape = (count,)
    x = row_values(draw, shape, draw.choice(DTYPES))
    kept = draw.choice([0.0, 0.01, 0.5, 0.99, 1.0])
    narrowed = tuple(1 if draw.random() < 0.2 else size for size in shape)
    return x, torch.rand(narrowed) < kept


def check_masked_select(draw: random.Random) -> None:
    x, mask = masks(draw)
    _, device = layout(draw, x)
    _, device_mask = layout(draw, mask)
    want = x.masked_select(mask)
    assert_same(device.masked_select(device_mask), want)
    out = torch.empty(draw.choice([0, want.numel()]), dtype=x.dtype, device=DEVICE)
    torch.masked_select(device, device_mask, out=out)
    assert_same(out, want)
    if mask.shape == x.shape:
        assert_same(device[device_mask], x[mask])


def check_nonzero(draw: random.Random) -> None:
    x, mask = masks(draw)
    x = x * mask if x.dtype != torch.bool else x & mask
    _, device = layout(draw, x)
    assert_same(device.nonzero(), x.nonzero())
    for got, want in zip(device.nonzero(as_tuple=True), x.nonzero(as_tuple=True), strict=True):
        assert_same(got, want)
    turned = torch.empty((x.dim(), 0), dtype=torch.int64, device=DEVICE).t()
    torch.nonzero(device, out=turned)
    assert_same(turned, x.nonzero())


CHECKS = {
    "searchsorted": check_searchsorted,
    "isin": check_isin,
    "masked_select": check_masked_select,
    "nonzero": check_nonzero,
}


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=SLOW) for seed in range(8, 160))])
def test_sweep(kind, seed):
    torch.manual_seed(seed)
    CHECKS[kind](random.Random(f"{kind} {seed}"))


@pytest.mark.parametrize("dtype", (*FLOATS, torch.int32))
def test_topk_of_many_short_rows_and_of_ties(dtype):
    torch.manual_seed(3)
    for length, kept in ((64, 1), (100, 25), (1000, 8), (4096, 50), (4096, 1024)):
        x = torch.randn(37, length, dtype=torch.float64).mul(3).to(dtype)
        x[:5] = x[:5].to(torch.int32).to(dtype)
        x[5] = 1
        if dtype.is_floating_point:
            x[6, ::3] = float("nan")
        for largest in (True, False):
            order = x.sort(dim=-1, descending=largest, stable=True)
            values, indices = x.to(DEVICE).topk(kept, largest=largest)
            assert_same(values, order.values[:, :kept])
            assert torch.equal(indices.cpu(), order.indices[:, :kept])


def test_searchsorted_refuses_what_torch_refuses():
    row, values = torch.arange(6.0), torch.rand(2, 3)
    for call in (
        lambda d: torch.searchsorted(row.to(d).view(2, 3), values.to(d).view(3, 2)),
        lambda d: torch.searchsorted(row.to(d), values.to(d), side="middle"),
        lambda d: torch.searchsorted(row.to(d), values.to(d), right=True, side="left"),
        lambda d: torch.searchsorted(row.to(d), values.to(d), sorter=torch.full((6,), 6, device=d)),
        lambda d: torch.searchsorted(row.to(d), values.to(d), sorter=torch.arange(6.0, device=d)),
        lambda d: torch.searchsorted(row.to(d), values.to(d), out=torch.empty(2, 3, device=d)),
        lambda d: torch.searchsorted(row.to(d) > 2, values.to(d) > 0.5),
        lambda d: torch.bucketize(values.to(d), values.to(d)),
        lambda d: torch.isin(values.to(d) > 0.5, row.to(d) > 2),
    ):
        with pytest.raises((RuntimeError, ValueError)) as expected:
            call("cpu")
        with pytest.raises(expected.type):
            call(DEVICE)
