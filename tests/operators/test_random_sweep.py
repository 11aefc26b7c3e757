"""Random numbers of every dtype and form: they stay inside their ranges, ends that are excluded are never drawn, and
means and deviations are the distribution's."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
COUNT = 200_000


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_numbers_stay_below_one(dtype: torch.dtype) -> None:
    base = torch.empty(COUNT, dtype=dtype, device=DEVICE)
    for draw in (torch.rand_like(base), torch.rand(COUNT, dtype=dtype, device=DEVICE), base.uniform_()):
        assert draw.dtype == dtype and draw.min().item() >= 0 and draw.max().item() < 1
        assert abs(draw.double().mean().item() - 0.5) < 5 / math.sqrt(12 * COUNT) + torch.finfo(dtype).eps
        assert draw.max().item() > 0.98


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_numbers_stay_in_any_range(dtype: torch.dtype) -> None:
    generator = random.Random(5)
    for _ in range(12):
        scale = 10.0 ** generator.uniform(-3, 3)
        low = generator.uniform(-scale, scale)
        high = low + scale * 10.0 ** generator.uniform(-3, 0)
        rounded = torch.tensor([low, high], dtype=dtype)
        draw = torch.empty(20_000, dtype=dtype, device=DEVICE).uniform_(low, high)
        assert draw.min() >= rounded[0].item(), (low, high)
        assert draw.max().item() < high or rounded[0] >= rounded[1], (low, high)


@pytest.mark.parametrize("dtype", FLOATS)
def test_exponential_numbers_are_positive_and_finite(dtype: torch.dtype) -> None:
    for rate in (0.5, 1.0, 30.0):
        draw = torch.empty(COUNT, dtype=dtype, device=DEVICE).exponential_(rate)
        assert draw.min().item() > 0 and draw.isfinite().all()
        assert abs(draw.double().mean().item() * rate - 1) < 5 / math.sqrt(COUNT) + torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("draw", "quantiles"),
    [
        (lambda x: x.log_normal_(0.5, 0.25), (1.3929, 1.6487, 1.9516)),
        (lambda x: x.cauchy_(2, 0.5), (1.5, 2.0, 2.5)),
        (lambda x: x.normal_(-1, 2), (-1 - 2 * 0.6745, -1.0, -1 + 2 * 0.6745)),
        (lambda x: x.exponential_(2), (-math.log(0.75) / 2, math.log(2) / 2, math.log(4) / 2)),
    ],
)
def test_quartiles(draw: Callable[[Tensor], Tensor], quantiles: tuple[float, ...], dtype: torch.dtype) -> None:
    numbers = draw(torch.empty(50_000, dtype=dtype, device=DEVICE)).cpu().double()
    got = numbers.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    torch.testing.assert_close(got, torch.tensor(quantiles, dtype=torch.float64), rtol=0.03, atol=0.03)
    assert numbers.unique().numel() > 300


def test_probabilities_of_one_and_zero_are_certain() -> None:
    for dtype in FLOATS:
        ones = torch.ones(COUNT, dtype=dtype, device=DEVICE)
        assert torch.bernoulli(ones).all() and not torch.bernoulli(ones * 0).any()
        assert torch.empty_like(ones).bernoulli_(1.0).all() and not torch.empty_like(ones).bernoulli_(0.0).any()


def test_complex_normal_numbers() -> None:
    draw = torch.randn(COUNT, dtype=torch.complex64, device=DEVICE)
    assert abs(draw.real.var().item() - 0.5) < 0.01 and abs(draw.imag.var().item() - 0.5) < 0.01
    assert abs((draw.real * draw.imag).mean().item()) < 0.01


@pytest.mark.parametrize("dtype", FLOATS)
def test_ranges_beyond_the_dtype_are_refused_as_on_the_cpu(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    for place in ("cpu", DEVICE):
        numbers = torch.empty(3, dtype=dtype, device=place)
        for low, high in ((2.0, 1.0), (-largest, largest), (float("nan"), 1.0), (0.0, float("inf"))):
            with pytest.raises(RuntimeError):
                numbers.uniform_(low, high)
