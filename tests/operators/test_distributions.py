"""Distributions that are drawn by rejection, against as many numbers of CPU torch: Kolmogorov's distance of the two."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE

COUNT = 100_000
# Two samples of one distribution are farther apart once in a million times.
LIMIT = 2.7 * math.sqrt(2 / COUNT)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Kolmogorov's: the largest difference of the two empirical distribution functions."""
    ours, theirs = ours.cpu().double().sort().values, theirs.double().sort().values
    places = torch.cat([ours, theirs])
    return float((_share_below(ours, places) - _share_below(theirs, places)).abs().max())


def _share_below(numbers: Tensor, places: Tensor) -> Tensor:
    return torch.searchsorted(numbers, places, right=True) / numbers.numel()


@pytest.mark.parametrize("alpha", [0.05, 0.7, 1.0, 4.5, 300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_gamma(alpha: float, dtype: torch.dtype) -> None:
    parameter = torch.full((COUNT,), alpha, dtype=dtype)
    ours = torch._standard_gamma(parameter.to(DEVICE))
    assert ours.dtype == dtype and ours.min().item() > 0
    theirs = torch._standard_gamma(parameter.double()).clamp_min(torch.finfo(dtype).tiny).to(dtype)
    assert distance(ours, theirs) < LIMIT + (0.01 if dtype == torch.bfloat16 else 0)


@pytest.mark.parametrize("rate", [0.0, 0.2, 3.0, 9.99, 10.0, 25.0, 5000.0])
def test_poisson(rate: float) -> None:
    ours = torch.poisson(torch.full((COUNT,), rate, device=DEVICE))
    assert distance(ours, torch.poisson(torch.full((COUNT,), rate))) < LIMIT


@pytest.mark.parametrize(("count", "chance"), [(0, 0.5), (9, 0.4), (30, 0.95), (50, 0.5), (2000, 0.004), (9999, 0.3)])
def test_binomial(count: int, chance: float) -> None:
    parameters = (torch.full((COUNT,), float(count)), torch.tensor(chance).expand(COUNT))
    ours = torch.binomial(*(parameter.to(DEVICE) for parameter in parameters))
    assert distance(ours, torch.binomial(*parameters)) < LIMIT


def test_certain_and_undefined_binomials() -> None:
    count = torch.tensor([5.0, 5.0, float("nan"), 5.0], device=DEVICE)
    chance = torch.tensor([0.0, 1.0, 0.5, float("nan")], device=DEVICE)
    assert torch.binomial(count, chance).tolist()[:2] == [0.0, 5.0]
    assert torch.binomial(count, chance).isnan().tolist()[2:] == [True, True]


def test_dirichlet() -> None:
    alpha = torch.tensor([0.3, 1.0, 4.0]).expand(COUNT, 3)
    ours, theirs = torch._sample_dirichlet(alpha.to(DEVICE)), torch._sample_dirichlet(alpha)
    torch.testing.assert_close(ours.sum(-1).cpu(), torch.ones(COUNT))
    for part in range(3):
        assert distance(ours[:, part], theirs[:, part]) < LIMIT


def test_the_same_seed_draws_the_same_whatever_the_layout() -> None:
    rate = torch.rand(40, 50, device=DEVICE) * 30
    torch.manual_seed(7)
    first = torch.poisson(rate)
    torch.manual_seed(7)
    assert torch.equal(torch.poisson(rate.t().contiguous().t()), first)
    assert not torch.equal(torch.poisson(rate), first)
    generator = torch.Generator(DEVICE).manual_seed(3)
    assert not torch.equal(torch.poisson(rate, generator=generator), first)


def test_refusals() -> None:
    with pytest.raises(RuntimeError, match="expected rate to be non-negative, but got -1"):
        torch.poisson(torch.tensor([2.0, -1.0], device=DEVICE))
        torch.accelerator.synchronize()
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        torch.poisson(torch.tensor([2], device=DEVICE))
    assert torch.poisson(torch.empty(0, 3, device=DEVICE)).shape == (0, 3)


@pytest.mark.parametrize("bad", [-1.0, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_normal_refuses_deviations_below_zero(dtype: torch.dtype, bad: float) -> None:
    mean, deviation = torch.zeros(3, 5, dtype=dtype), torch.ones(5, dtype=dtype.to_real())
    for device in ("cpu", DEVICE):
        assert torch.normal(mean.to(device), deviation.to(device)).dtype == dtype
        deviation[4] = bad
        calls: list[Callable[[torch.Tensor], torch.Tensor]] = [
            lambda std, device=device: torch.normal(mean.to(device), std),
            lambda std: torch.normal(2.0, std),
            lambda std, device=device: torch.normal(mean.to(device), std, out=torch.empty_like(mean, device=device)),
        ]
        for call in calls:
            with pytest.raises(RuntimeError, match=r"normal expects all elements of std >= 0\.0"):
                call(deviation.to(device))
                torch.accelerator.synchronize()
        deviation[4] = 0


def _distributions() -> dict[str, tuple[torch.Tensor, ...]]:
    one, two = torch.tensor([2.0, 5.0]), torch.tensor([0.3, 0.6])
    tries = torch.tensor([20.0, 4.0])
    found = {"Poisson": (one,), "Gamma": (one, two), "Beta": (one, one + 1), "Dirichlet": (one,), "Chi2": (one,)}
    return found | {"StudentT": (one + 3,), "Binomial": (tries, two), "NegativeBinomial": (one, two)}


@pytest.mark.parametrize("kind", list(_distributions()))
def test_torch_distributions_sample_on_the_device(kind: str) -> None:
    arguments = (argument.to(DEVICE) for argument in _distributions()[kind])
    distribution = getattr(torch.distributions, kind)(*arguments)
    numbers = distribution.sample((20_000,))
    error = (numbers.mean(0) - distribution.mean).abs()
    assert (error < 6 * (distribution.variance / 20_000).sqrt() + 1e-6).all()
    assert torch.isfinite(distribution.log_prob(numbers)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradient_of_gamma_numbers(dtype: torch.dtype) -> None:
    """The number stays at its place: P(a + h, x + h dx/da) = P(a, x). CPU torch's is good to 5e-4."""
    alpha = torch.tensor([0.05, 0.4, 1.0, 3.0, 20.0, 300.0]).repeat_interleave(500)
    number = torch._standard_gamma(alpha).clamp_min(1e-20)
    ours = torch._standard_gamma_grad(alpha.to(DEVICE, dtype), number.to(DEVICE, dtype))
    assert ours.dtype == dtype
    slope, a, x = ours.cpu().double(), alpha.double(), number.double()
    step = 1e-4 * a
    moved = torch.special.gammainc(a + step, x + step * slope) - torch.special.gammainc(a - step, x - step * slope)
    still = torch.special.gammainc(a + step, x) - torch.special.gammainc(a - step, x)
    assert moved.norm() < 1e-3 * still.norm()
    torch.testing.assert_close(
        ours.cpu(), torch._standard_gamma_grad(alpha.to(dtype), number.to(dtype)), rtol=2e-3, atol=1e-6
    )
    leaf = torch.tensor([2.0, 0.5], device=DEVICE, requires_grad=True)
    torch.distributions.Gamma(leaf, 1.0).rsample((50_000,)).mean(0).sum().backward()
    torch.testing.assert_close(leaf.grad.cpu(), torch.ones(2), rtol=0.05, atol=0)
