"""Reductions, scans, medians, searches and sorts of NaN, infinities, zeros of both signs and extreme numbers, drawn at
random with shape, dimension and dtype, against CPU torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE, compare

INF, NAN = float("inf"), float("nan")
FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}

ALONG: dict[str, Callable[[Tensor, int], Any]] = {
    "sum": lambda x, d: x.sum(d),
    "nansum": lambda x, d: x.nansum(d),
    "mean": lambda x, d: x.mean(d),
    "amax": lambda x, d: x.amax(d),
    "amin": lambda x, d: x.amin(d),
    "aminmax": lambda x, d: tuple(torch.aminmax(x, dim=d)),
    "max": lambda x, d: tuple(x.max(d)),
    "min": lambda x, d: tuple(x.min(d)),
    "argmax": lambda x, d: x.argmax(d),
    "argmin": lambda x, d: x.argmin(d),
    "any": lambda x, d: x.any(d),
    "all": lambda x, d: x.all(d),
    "count_nonzero": lambda x, d: x.count_nonzero(d),
    "median": lambda x, d: tuple(x.median(d)),
    "nanmedian": lambda x, d: x.nanmedian(d)[0],
    "kthvalue": lambda x, d: x.kthvalue(1, d)[0],
    "sort": lambda x, d: tuple(x.sort(stable=True, dim=d)),
    "sort descending": lambda x, d: tuple(x.sort(stable=True, dim=d, descending=True)),
    "topk": lambda x, d: x.topk(1, d)[0],
    "cumsum": lambda x, d: x.cumsum(d),
    "logsumexp": lambda x, d: x.logsumexp(d),
    "softmax": lambda x, d: x.softmax(d),
    "log_softmax": lambda x, d: x.log_softmax(d),
    "norm": lambda x, d: torch.linalg.vector_norm(x, 2, d),
    "norm_1": lambda x, d: torch.linalg.vector_norm(x, 1, d),
    "norm_inf": lambda x, d: torch.linalg.vector_norm(x, INF, d),
    "norm_-inf": lambda x, d: torch.linalg.vector_norm(x, -INF, d),
    "norm_0": lambda x, d: torch.linalg.vector_norm(x, 0, d),
    "norm_3": lambda x, d: torch.linalg.vector_norm(x, 3, d),
    "var": lambda x, d: x.var(d),
    "std": lambda x, d: x.std(d),
    "prod": lambda x, d: x.prod(d),
    "cumprod": lambda x, d: x.cumprod(d),
}


def drawn(shape: tuple[int, ...], dtype: torch.dtype, generator: random.Random) -> Tensor:
    """Ordinary numbers with some special ones among them; finite ones are small enough for every sum to be exact."""
    special = generator.choice(
        [[], [0.0], [NAN], [INF], [INF, -INF], [0.0, -0.0, 1.0], [0.0, INF], [NAN, INF, -INF, 0.0]]
    )
    count = 1
    for size in shape:
        count *= size
    values = [
        generator.choice(special) if special and generator.random() < 0.3 else generator.randrange(-8, 9) / 4
        for _ in range(count)
    ]
    return torch.tensor(values, dtype=torch.float64).reshape(shape).to(dtype)


def assert_same(got: Any, want: Any, bound: float, told: str) -> None:
    if isinstance(want, tuple):
        for one, other in zip(got, want, strict=True):
            assert_same(one, other, bound, told)
        return
    result = got.cpu()
    assert result.shape == want.shape, told
    if not want.is_floating_point():
        assert torch.equal(result, want), f"{told}: {result} instead of {want}"
        return
    # rtol and atol, NaN for NaN, infinities for infinities.
    torch.testing.assert_close(result.double(), want.double(), rtol=bound, atol=bound, equal_nan=True, msg=told)


def check(seed: int) -> None:
    generator = random.Random(seed)
    name, dtype = generator.choice(list(ALONG)), generator.choice(FLOATS)
    shape = tuple(generator.choice([1, 2, 3, 5, 17, 40]) for _ in range(generator.choice([1, 2, 3])))
    dim = generator.randrange(-len(shape), len(shape))
    values = drawn(shape, dtype, generator)
    turned = values.permute(*reversed(range(len(shape)))).contiguous().permute(*reversed(range(len(shape))))
    values = generator.choice([values, turned])
    want = ALONG[name](values.double(), dim) if name not in ("argmax", "argmin") else ALONG[name](values, dim)
    got = ALONG[name](values.to(DEVICE), dim)
    told = f"seed {seed}: {name} along {dim} of {values.tolist()} in {dtype}"
    if isinstance(want, tuple) or not want.is_floating_point():
        assert_same(got, want, BOUNDS[dtype], told)
    else:
        assert got.dtype == dtype, told
        assert_same(got, want.to(dtype), BOUNDS[dtype], told)


@pytest.mark.parametrize("seed", range(80))
def test_reductions(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_many_reductions(seed: int) -> None:
    check(seed)


def exact_product(values: list[float]) -> float:
    """0 where a factor is 0 and none is infinite, NaN where 0 meets an infinity: of Python's integers and fractions."""
    from fractions import Fraction

    if any(value != value for value in values) or (0 in values and any(abs(v) == INF for v in values)):
        return NAN
    sign = -1.0 if sum(str(value).startswith("-") for value in values) % 2 else 1.0
    if any(abs(value) == INF for value in values):
        return sign * INF
    product = Fraction(1)
    for value in values:
        product *= Fraction(value)
    try:
        return float(product)
    except OverflowError:
        return sign * INF


@pytest.mark.parametrize("dtype", FLOATS)
def test_products_neither_overflow_nor_vanish_on_their_way(dtype: torch.dtype) -> None:
    generator = random.Random(7)
    info = torch.finfo(dtype)
    for length in (1, 2, 3, 21, 300, 2500):
        for special in ([], [0.0], [-0.0, 0.0], [INF], [0.0, INF], [NAN]):
            factors = [generator.choice([info.max, info.tiny, 2.0, -0.5, 1 / info.max, -3.0]) for _ in range(length)]
            for value in special:
                factors[generator.randrange(length)] = value
            values = torch.tensor(factors, dtype=dtype)
            want = torch.tensor(exact_product(values.double().tolist()), dtype=torch.float64).to(dtype)
            bound = 4 * length * 2.0**-52 + torch.finfo(dtype).eps
            got = values.to(DEVICE).prod()
            torch.testing.assert_close(got.cpu(), want, rtol=bound, atol=info.tiny, equal_nan=True)
            cumulative = values.to(DEVICE).cumprod(0).cpu()
            torch.testing.assert_close(cumulative[-1], want, rtol=bound, atol=info.tiny, equal_nan=True)
            middle = length // 2
            want = torch.tensor(exact_product(values[: middle + 1].double().tolist()), dtype=torch.float64).to(dtype)
            torch.testing.assert_close(cumulative[middle], want, rtol=bound, atol=info.tiny, equal_nan=True)


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradients_of_products_with_zeros(zeros: int) -> None:
    values = torch.tensor([[1.5, -2.0, 3.0, 0.5], [0.25, 4.0, -1.0, 2.0]])
    values[0, :zeros] = 0
    compare(lambda x: x.prod(), values, gradients=True)
    compare(lambda x: x.prod(1), values, gradients=True)
    compare(lambda x: x.prod(0, keepdim=True), values, gradients=True)
    compare(lambda x: x.cumprod(1), values, gradients=True)


def test_scans_and_means_of_complex_numbers() -> None:
    values = torch.randn(4, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    for function in (
        *(lambda x: x.mean(0), lambda x: x.cumsum(1), lambda x: x.sum(), lambda x: x.conj().mean()),
        *(lambda x: x.prod(), lambda x: x.prod(0), lambda x: x.cumprod(0)),
    ):
        torch.testing.assert_close(function(values.to(DEVICE)).cpu(), function(values), rtol=1e-5, atol=1e-6)


def test_medians_of_nothing() -> None:
    for dtype in (torch.float32, torch.float16, torch.int64, torch.int32, torch.uint8):
        empty = torch.empty(0, dtype=dtype)
        for name in ("median", "nanmedian"):
            torch.testing.assert_close(getattr(empty.to(DEVICE), name)().cpu(), getattr(empty, name)(), equal_nan=True)
    for place in ("cpu", DEVICE):
        with pytest.raises(IndexError, match="non-zero size"):
            torch.empty(0, 3, device=place).median(0)
    assert torch.empty(3, 0, device=DEVICE).median(0)[0].shape == (0,)


@pytest.mark.parametrize("right", [False, True])
def test_searches_put_nan_behind_all_numbers(right: bool) -> None:
    values = torch.tensor([NAN, INF, -INF, 0.0, -0.0, 1.0, 2.0, 2.5])
    for boundaries in ([1.0, 2.0], [-INF, 0.0, 1.0, INF], [0.0, 0.0, 1.0, NAN], [NAN, NAN], []):
        row = torch.tensor(boundaries)
        want = torch.searchsorted(row, values, right=right)
        assert torch.equal(torch.searchsorted(row.to(DEVICE), values.to(DEVICE), right=right).cpu(), want)
        got = torch.bucketize(values.to(DEVICE), row.to(DEVICE), right=right, out_int32=True).cpu()
        assert torch.equal(got, torch.bucketize(values, row, right=right, out_int32=True))
