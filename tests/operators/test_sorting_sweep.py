"""Sorting, selecting and what follows from it, at random, on both sides of a PE's local memory, against CPU torch."""

from __future__ import annotations

import random

import pytest
import torch

DEVICE = "mtia_sim"
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


def check_unique(draw: random.Random, x: torch.Tensor, device: torch.Tensor, dim: int) -> None:
    for got, expected in zip(
        torch.unique(device, return_inverse=True, return_counts=True),
        torch.unique(x, return_inverse=True, return_counts=True),
        strict=True,
    ):
        assert_same(got, expected)


CHECKS = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_sort,
        check_argsort,
        check_topk,
        check_kthvalue,
        check_unique,
    )
}
# CPU torch numbers NaNs of the same place differently from release to release, or leaves open what they equal.
WITHOUT_NAN = ("unique", "kthvalue")


def run_case(name: str, number: int) -> None:
    draw = random.Random(f"{name} {number}")
    torch.manual_seed(number)
    dtype = draw.choice(DTYPES)
    shape, dim = shape_of(draw, draw.choice(LENGTHS))
    x, device = layout(draw, row_values(draw, shape, dtype, allow_nan=name not in WITHOUT_NAN))
    CHECKS[name](draw, x, device, dim)


@pytest.mark.parametrize("name", CHECKS)
def test_sample(name: str) -> None:
    for number in range(6):
        run_case(name, number)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_sweep(name: str) -> None:
    for number in range(6, 100):
        run_case(name, number)
