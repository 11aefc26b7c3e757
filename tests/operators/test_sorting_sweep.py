"""Sorting, selecting and what follows from it, at random, on both sides of a PE's local memory, against CPU torch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

DEVICE = "mtia_sim"
SLOW = pytest.mark.slow
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
DTYPES = (*FLOATS, *INTEGERS, torch.bool)
# Rows of one run, cut rows, rows of more than one run a PE and with an odd run at their end.
LENGTHS = (1, 2, 47, 49, 1000, 4096, 4097, 8193, 13_000, 20_011, 65_536, 128_256)


def row_values(draw: random.Random, shape: tuple[int, ...], dtype: torch.dtype, allow_nan: bool = True) -> torch.Tensor:
    """Numbers with ties, both zeros, infinities and NaN in some of the draws."""
    count = torch.Size(shape).numel()
    if dtype == torch.bool:
        return (torch.rand(count) < 0.5).view(shape)
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        low, high = draw.choice([(0, 3), (max(limits.min, -1000), min(limits.max, 1000)), (limits.min, limits.max)])
        return torch.randint(low, high, (count,), dtype=dtype).view(shape)
    x = torch.randn(count, dtype=torch.float64) * draw.choice([1.0, 1e-3, 1e3])
    if draw.random() < 0.3:
        x = x.round()
    x = x.to(dtype)
    if count > 3 and draw.random() < 0.5:
        special = [0.0, -0.0, float("inf"), float("-inf")] + ([float("nan")] if allow_nan else [])
        for value in special:
            x[torch.randint(count, (draw.randint(1, max(1, count // 50)),))] = value
    return x.view(shape)


def layout(draw: random.Random, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same numbers on the CPU and on the device, in a layout that may have gaps or a turned order."""
    device = x.to(DEVICE)
    kind = draw.choice(["dense", "dense", "turned", "gaps", "rows of a wider matrix"])
    if kind == "turned" and x.dim() > 1:
        return x, device.transpose(0, -1).contiguous().transpose(0, -1)
    if kind == "gaps":
        return x, device.repeat_interleave(2, dim=-1)[..., ::2]
    if kind == "rows of a wider matrix" and x.dim() > 1:
        return x, torch.cat([device, device], -1)[..., : x.size(-1)]
    return x, device


def shape_of(draw: random.Random, length: int) -> tuple[tuple[int, ...], int]:
    """A shape of which a dimension has this length, and that dimension."""
    others = [draw.choice([1, 2, 3]) for _ in range(draw.choice([0, 1, 1, 2]))]
    if length <= 1000:
        others = [size * draw.choice([1, 5]) for size in others]
    if length >= 65_536:
        others = others[:1]
    dim = draw.randint(0, len(others))
    return (*others[:dim], length, *others[dim:]), dim if draw.random() < 0.5 else dim - len(others) - 1


def assert_same(got: torch.Tensor, expected: torch.Tensor) -> None:
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.device.type == DEVICE
    torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=0, equal_nan=True)


def assert_picks(indices: torch.Tensor, values: torch.Tensor, x: torch.Tensor, dim: int) -> None:
    """Indices are int64 and name elements that have the values: where several do, torch leaves open which."""
    assert indices.dtype == torch.int64 and indices.device.type == DEVICE
    torch.testing.assert_close(x.gather(dim, indices.cpu()), values.cpu(), rtol=0, atol=0, equal_nan=True)


def check_sort(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    descending = draw.random() < 0.5
    got = torch.sort(device, dim=dim, descending=descending, stable=True)
    expected = torch.sort(x, dim=dim, descending=descending, stable=True)
    assert_same(got.values, expected.values)
    assert_same(got.indices, expected.indices)


def check_argsort(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    assert_same(torch.argsort(device, dim=dim, stable=True), torch.argsort(x, dim=dim, stable=True))


def check_topk(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    length = x.size(dim)
    k = min(length, draw.choice([1, 7, 50, 1000, length // 2, length]))
    if x.dtype == torch.bool:
        return
    largest = draw.random() < 0.5
    got = device.topk(k, dim, largest=largest)
    # CPU torch's topk, unlike its sort, takes -0.0 and 0.0 for equal and in any order; numbers are compared.
    assert_same(got.values, x.topk(k, dim, largest=largest).values)
    assert_picks(got.indices, got.values, x, dim)
    assert got.indices.cpu().sort(dim).values.diff(dim=dim).gt(0).all()


def check_kthvalue(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    if x.dtype == torch.bool:
        return
    k = draw.randint(1, x.size(dim))
    keepdim = draw.random() < 0.5
    got = device.kthvalue(k, dim, keepdim)
    assert_same(got.values, x.kthvalue(k, dim, keepdim).values)
    axis = dim % x.dim()
    kept = [value if keepdim else value.unsqueeze(axis) for value in got]
    assert_picks(kept[1], kept[0], x, axis)


def check_median(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    if x.dtype == torch.bool:
        return
    name, keepdim = draw.choice(["median", "nanmedian"]), draw.random() < 0.5
    got, expected = getattr(device, name)(dim, keepdim), getattr(x, name)(dim, keepdim)
    assert_same(got.values, expected.values)
    axis = dim % x.dim()
    kept = [value if keepdim else value.unsqueeze(axis) for value in got]
    assert_picks(kept[1], kept[0], x, axis)
    assert_same(getattr(device, name)(), getattr(x, name)())


def check_mode(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    keepdim = draw.random() < 0.5
    got = device.mode(dim, keepdim)
    assert_same(got.values, x.mode(dim, keepdim).values)
    axis = dim % x.dim()
    kept = [value if keepdim else value.unsqueeze(axis) for value in got]
    assert_picks(kept[1], kept[0], x, axis)


def check_unique(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    for got, expected in zip(
        torch.unique(device, return_inverse=True, return_counts=True),
        torch.unique(x, return_inverse=True, return_counts=True),
        strict=True,
    ):
        assert_same(got, expected)


def check_unique_consecutive(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    options: dict[str, Any] = {"return_inverse": draw.random() < 0.5, "return_counts": draw.random() < 0.5}
    got, expected = torch.unique_consecutive(device, **options), torch.unique_consecutive(x, **options)
    if isinstance(expected, torch.Tensor):
        got, expected = (got,), (expected,)
    for g, e in zip(got, expected, strict=True):
        assert_same(g, e)


def check_unique_along(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    """Slices of at most 40 elements, made of few values so that some are equal."""
    options: dict[str, Any] = {"return_inverse": True, "return_counts": True, "dim": dim}
    function = draw.choice([torch.unique, torch.unique_consecutive])
    x, device = (t.movedim(dim, 0).flatten(1)[:, :40] if t.dim() > 1 else t for t in (x, device))
    if x.dtype.is_floating_point:
        x, device = x.sign(), device.sign()
    if x.dim() > 1:
        options["dim"] = 0
    for got, expected in zip(function(device, **options), function(x, **options), strict=True):
        assert_same(got, expected)


CHECKS = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_sort,
        check_argsort,
        check_topk,
        check_kthvalue,
        check_median,
        check_mode,
        check_unique,
        check_unique_consecutive,
        check_unique_along,
    )
}
# CPU torch numbers NaNs of the same place differently from release to release, or leaves open what they equal.
WITHOUT_NAN = ("mode", "unique", "unique_consecutive", "unique_along", "kthvalue")


def run_case(name: str, number: int) -> None:
    draw = random.Random(f"{name} {number}")
    torch.manual_seed(number)
    dtype = draw.choice(DTYPES)
    shape, dim = shape_of(draw, draw.choice(LENGTHS))
    x, device = layout(draw, row_values(draw, shape, dtype, allow_nan=name not in WITHOUT_NAN))
    CHECKS[name](draw, x, device, dim)


@pytest.mark.parametrize(
    "dtype", [dtype if dtype in (torch.float32, torch.int8) else pytest.param(dtype, marks=SLOW) for dtype in DTYPES]
)
def test_rows_merged_in_many_passes(dtype: torch.dtype) -> None:
    """Rows of several runs a PE with an odd one at the end, and the first few of each run sorted again."""
    for length in (300_007, 73 * 4096):
        x = row_values(random.Random(1), (length,), dtype)
        for descending in (False, True):
            got, expected = (t.sort(descending=descending, stable=True) for t in (x.to(DEVICE), x))
            assert_same(got.values, expected.values)
            assert_same(got.indices, expected.indices)
            first = x.to(DEVICE).topk(700, largest=descending) if dtype != torch.bool else None
            if first is not None:
                assert_same(first.values, expected.values[:700])
                assert_same(first.indices, expected.indices[:700])


def test_a_sort_into_given_tensors_and_into_its_own_input() -> None:
    x = torch.randn(2, 20_000)
    device = x.to(DEVICE)
    values, indices = torch.empty(0, device=DEVICE), torch.empty(0, dtype=torch.int64, device=DEVICE)
    torch.sort(device, out=(values, indices))
    assert_same(values, x.sort().values)
    torch.sort(device, stable=True, descending=True, out=(device, indices))
    assert_same(device, x.sort(descending=True).values)
    assert_same(indices, x.sort(stable=True, descending=True).indices)
    turned = torch.empty(20_000, 2, device=DEVICE).t()
    torch.kthvalue(values, 3, out=(values.new_empty(2), indices.new_empty(2)))
    torch.topk(x.to(DEVICE), 20_000, out=(turned, indices))
    assert_same(turned, x.topk(20_000).values)


def test_selections_of_nothing_and_out_of_range_are_refused_as_by_the_cpu() -> None:
    calls = [
        lambda t: t.mode(1),
        lambda t: t.kthvalue(1, 1),
        lambda t: t.new_ones(3).kthvalue(4),
        lambda t: t.new_ones(3).kthvalue(0),
        lambda t: t.new_ones(3).topk(4),
        lambda t: t.unique(dim=0),
        lambda t: t.new_ones(0, 0).unique(dim=0),
        lambda t: t.new_ones(2).sort(1),
    ]
    for call in calls:
        with pytest.raises((RuntimeError, IndexError)) as expected:
            call(torch.ones(2, 0))
        with pytest.raises(expected.type):
            call(torch.ones(2, 0, device=DEVICE))
    for shape in ((0,), (2, 0), (0, 3)):
        x = torch.ones(shape)
        for function in (torch.sort, lambda t: t.topk(0), lambda t: t.unique(return_inverse=True, return_counts=True)):
            for got, wanted in zip(function(x.to(DEVICE)), function(x), strict=True):
                assert_same(got, wanted)
    for got, wanted in zip(torch.ones((), device=DEVICE).mode(), torch.ones(()).mode(), strict=True):
        assert_same(got, wanted)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32])
def test_long_permutations(dtype: torch.dtype) -> None:
    drawn = torch.randperm(150_001, device=DEVICE, dtype=dtype)
    assert drawn.dtype == dtype
    assert torch.equal(drawn.cpu().sort().values, torch.arange(150_001, dtype=dtype))
    assert not torch.equal(drawn.cpu(), torch.arange(150_001, dtype=dtype))


def test_draws_without_replacement_from_a_vocabulary() -> None:
    weights = torch.ones(2, 128_256)
    weights[:, ::2] = 0
    drawn = torch.multinomial(weights.to(DEVICE), 40_000).cpu()
    assert (drawn % 2 == 1).all()
    assert all(row.unique().numel() == 40_000 for row in drawn)


@pytest.mark.parametrize("name", CHECKS)
def test_sample(name: str) -> None:
    for number in range(6):
        run_case(name, number)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_sweep(name: str) -> None:
    for number in range(6, 100):
        run_case(name, number)
