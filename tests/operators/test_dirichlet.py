"""Gradients of numbers of Dirichlet and beta distributions, against exact forms and CPU torch's approximation."""

import pytest
import torch
from torch import Tensor, distributions

from tests.operators.comparison import DEVICE


def spread(count: int) -> Tensor:
    """From 1e-3 to 1e3, evenly by their logarithms."""
    return 10 ** (6 * torch.rand(count, dtype=torch.float64) - 3)


def on_device(x: Tensor, alpha: Tensor, total: Tensor) -> Tensor:
    return torch._dirichlet_grad(x.to(DEVICE), alpha.to(DEVICE), total.to(DEVICE)).cpu()


def test_where_the_distribution_is_a_power() -> None:
    alpha, x = spread(2000), torch.rand(2000, dtype=torch.float64).clamp_min(1e-9)
    exact = -x * x.log() / (alpha * (1 - x))  # I_x(alpha, 1) = x^alpha
    torch.testing.assert_close(on_device(x, alpha, alpha + 1), exact, rtol=2e-6, atol=0)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 3e-3), (torch.float32, 4e-3)])
def test_against_cpu_torch(dtype: torch.dtype, bound: float) -> None:
    alpha, beta = spread(3000), spread(3000)
    x = distributions.Beta(alpha, beta).sample().clamp(1e-6, 1 - 1e-6)
    inputs = [each.to(dtype) for each in (x, alpha, alpha + beta)]
    expected = torch._dirichlet_grad(*[each.double() for each in inputs]).to(dtype)
    torch.testing.assert_close(on_device(*inputs), expected, rtol=bound, atol=1e-6)


def test_edges() -> None:
    x = torch.tensor([0.0, 1.0, float("nan"), 0.5])
    two, five = torch.full((4,), 2.0), torch.full((4,), 5.0)
    torch.testing.assert_close(on_device(x, two, five), torch._dirichlet_grad(x, two, five), equal_nan=True)


def test_means_move_with_their_concentrations() -> None:
    shape = torch.tensor([0.5, 2.0, 3.0], device=DEVICE, requires_grad=True)
    distributions.Dirichlet(shape.expand(20000, 3)).rsample()[:, 0].mean().backward()
    expected = torch.tensor([5 / 5.5**2, -0.5 / 5.5**2, -0.5 / 5.5**2])
    assert shape.grad is not None
    torch.testing.assert_close(shape.grad.cpu(), expected, rtol=0.1, atol=0)
