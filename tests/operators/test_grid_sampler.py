"""Samples of images at the positions of a grid, with the gradients of both, against float64 CPU torch."""

import itertools
import random

import pytest
import torch
from torch.nn import functional as F

from tests.operators.comparison import compare, on_device, random_tensor

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


@pytest.mark.parametrize(("mode", "padding"), list(itertools.product(MODES, PADDINGS)))
@pytest.mark.parametrize("aligned", [False, True])
def test_modes(mode: str, padding: str, aligned: bool) -> None:
    for channels, extents, samples in ((3, [5, 7], [4, 6]), (33, [1, 2], [3, 1])):
        x = random_tensor(2, channels, *extents)
        grid = random_tensor(2, *samples, 2, low=-2.2, high=2.2)

        def sampled(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
            return F.grid_sample(x, grid, mode, padding, aligned)

        compare(sampled, x, grid, gradients=True, bound=2e-5)
    if mode != "bicubic":
        x, grid = random_tensor(2, 3, 4, 5, 6), random_tensor(2, 3, 2, 4, 3, low=-1.5, high=1.5)
        compare(sampled, x, grid, gradients=True, bound=2e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(dtype: torch.dtype) -> None:
    x, grid = random_tensor(2, 5, 6, 7, dtype=dtype), random_tensor(2, 4, 5, 2, dtype=dtype, low=-1, high=1)
    compare(lambda x, grid: F.grid_sample(x, grid, align_corners=False), x, grid, gradients=True)


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    rank = chance.choice([2, 2, 3])
    batch, channels = chance.choice([1, 2, 3]), chance.choice([1, 3, 16, 40])
    x = random_tensor(batch, channels, *[chance.choice([1, 2, 9, 20]) for _ in range(rank)], dtype=torch.float64)
    grid = random_tensor(
        batch, *[chance.choice([1, 5, 17]) for _ in range(rank)], rank, dtype=torch.float64, low=-1.6, high=1.6
    )
    if chance.random() < 0.4:
        x = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    mode = chance.choice(MODES if rank == 2 else MODES[:2])
    padding, aligned = chance.choice(PADDINGS), chance.random() < 0.5
    compare(lambda x, grid: F.grid_sample(x, grid, mode, padding, aligned), x, grid, gradients=True, bound=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 100))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


def test_spatial_transformer() -> None:
    theta = random_tensor(2, 2, 3, low=-1, high=1)

    def transformed(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return F.grid_sample(x, F.affine_grid(theta, [2, 3, 6, 5], align_corners=False), align_corners=False)

    compare(transformed, theta, random_tensor(2, 3, 8, 9), gradients=True, bound=2e-5)


@pytest.mark.parametrize(("mode", "padding"), list(itertools.product(MODES, PADDINGS)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_positions_that_are_no_numbers(mode: str, padding: str, dtype: torch.dtype) -> None:
    ends = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.3, 1e30, -1e30], dtype=dtype)
    x, grid = random_tensor(1, 3, 4, 5, dtype=dtype), torch.cartesian_prod(ends, ends).view(1, 6, 6, 2)
    cases = [(x, grid)]
    if padding == "zeros" and mode != "bicubic":  # into a volume the CPU brings them at another corner
        cases.append((x.unsqueeze(2), F.pad(grid, (0, 1)).unsqueeze(1)))
    for operands, aligned in itertools.product(cases, (False, True)):
        results = []
        for place in ("cpu", "mtia_sim"):
            moved = [operand.detach().to(place).requires_grad_() for operand in operands]
            out = F.grid_sample(moved[0], moved[1], mode, padding, aligned)
            # With another padding the CPU's backward reads memory that is not the image's.
            results.append([out, *(torch.autograd.grad(out.sum(), moved) if padding == "zeros" else ())])
        for expected, got in zip(*results, strict=True):
            torch.testing.assert_close(got.cpu(), expected, equal_nan=True)


def test_what_lies_outside_is_not_read() -> None:
    x = torch.full((1, 2, 3, 3), float("nan"))
    grid = torch.full((1, 2, 2, 2), 5.0)
    assert torch.equal(F.grid_sample(on_device(x), on_device(grid), align_corners=False).cpu(), torch.zeros(1, 2, 2, 2))
    empty = F.grid_sample(on_device(torch.ones(0, 2, 3, 3)), on_device(torch.ones(0, 4, 4, 2)), align_corners=True)
    assert empty.shape == (0, 2, 4, 4)


def test_refused() -> None:
    x = torch.randn(2, 3, 4, 4, device="mtia_sim")
    with pytest.raises(RuntimeError, match="same batch size"):
        F.grid_sample(x, torch.zeros(1, 2, 2, 2, device="mtia_sim"), align_corners=False)
    with pytest.raises(RuntimeError, match="size 2 in last"):
        F.grid_sample(x, torch.zeros(2, 2, 2, 3, device="mtia_sim"), align_corners=False)
    with pytest.raises(RuntimeError, match="of one type"):
        F.grid_sample(x, torch.zeros(2, 2, 2, 2, device="mtia_sim").double(), align_corners=False)
    with pytest.raises(RuntimeError, match="bicubic"):
        F.grid_sample(x[:, :, None], torch.zeros(2, 1, 2, 2, 3, device="mtia_sim"), mode="bicubic", align_corners=False)
