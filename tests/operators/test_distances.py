"""Distances of pairs of points and slices clipped to a norm, against float64 CPU torch."""

import random

import pytest
import torch

from tests.operators.comparison import assert_matches, compare, on_device, random_tensor

NORMS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")]


@pytest.mark.parametrize("p", NORMS)
def test_norms(p: float) -> None:
    for a, b in (([7, 5], [4, 5]), ([2, 70, 33], [2, 9, 33]), ([3, 1, 8, 2], [2, 5, 2]), ([30, 140], [3, 140])):
        x, y = random_tensor(*a), random_tensor(*b)
        y.view(-1, y.size(-1))[0] = x.view(-1, x.size(-1))[0]
        mode = "donot_use_mm_for_euclid_dist"
        compare(lambda x, y, m=mode: torch.cdist(x, y, p, compute_mode=m), x, y, gradients=True, bound=2e-5)
    for points, length in ((1, 4), (2, 3), (9, 20)):
        compare(lambda x: torch.pdist(x, p), random_tensor(points, length), gradients=True, bound=2e-5)


def test_many_points_by_products() -> None:
    x, y = random_tensor(2, 40, 12), random_tensor(2, 30, 12)
    compare(torch.cdist, x, y, gradients=True, bound=2e-5)
    compare(lambda x, y: torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist"), x[:, :3], y[:, :4], bound=2e-5)


def test_edges() -> None:
    for a, b in (([0, 3], [4, 3]), ([2, 0], [4, 0]), ([0, 2, 3], [0, 4, 3])):
        compare(torch.cdist, random_tensor(*a), random_tensor(*b), gradients=True)
    x = random_tensor(4, 6)
    x[1, 2], x[2, 3] = float("nan"), float("inf")
    for p in (0.0, 1.0, 2.0, 3.0, float("inf")):
        y = random_tensor(3, 6)
        torch.testing.assert_close(
            torch.cdist(on_device(x), on_device(y), p).cpu(), torch.cdist(x, y, p), equal_nan=True
        )
    turned = random_tensor(6, 9).t()
    compare(lambda x, y: torch.cdist(x, y, 1.0), turned, random_tensor(3, 6), gradients=True)


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    length = chance.choice([1, 3, 17, 130])
    batch = chance.choice([[], [1], [3], [2, 2]])
    x = random_tensor(*batch, chance.choice([1, 5, 26, 150]), length, dtype=torch.float64)
    y = random_tensor(*batch, chance.choice([1, 4, 40]), length, dtype=torch.float64)
    p = chance.choice(NORMS)
    compare(lambda x, y: torch.cdist(x, y, p), x, y, gradients=True, bound=1e-8)


@pytest.mark.parametrize("seed", range(12))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 120))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


def test_slices_are_clipped_to_a_norm() -> None:
    for p in (0.5, 1.0, 2.0, float("inf")):
        for dim in (0, 1, -1):
            compare(lambda x, p=p, dim=dim: torch.renorm(x, p, dim, 4.0), random_tensor(4, 5, 6), gradients=True)
    x = torch.randn(4, 5, dtype=torch.complex64)
    torch.testing.assert_close(torch.renorm(on_device(x), 2, 0, 1.0).cpu(), torch.renorm(x, 2, 0, 1.0))
    half = random_tensor(3, 40, dtype=torch.float16)
    assert_matches(torch.renorm(on_device(half), 2, 0, 1.0), torch.renorm(half.double(), 2, 0, 1.0))


def test_refused() -> None:
    x = torch.randn(3, 4, device="mtia_sim")
    with pytest.raises(RuntimeError, match="same number of columns"):
        torch.cdist(x, x[:, :2])
    with pytest.raises(NotImplementedError, match="not implemented for 'Half'"):
        torch.cdist(x.half(), x.half())
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        torch.renorm(x[0], 2, 0, 1.0)
