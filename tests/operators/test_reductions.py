"""Reductions over every kind of dimension set, their identities, NaN, indices, scans and statistics."""

import math

import pytest
import torch

from tests.operators.comparison import DEVICE, assert_matches, compare, random_tensor

DIMS = [None, 0, 1, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
def test_dimensions(name: str, dim: object, keepdim: bool) -> None:
    dims = (0, 1, 2) if dim is None else dim
    compare(lambda t: getattr(torch, name)(t, dim=dims, keepdim=keepdim), random_tensor(5, 6, 37))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (129, 300), (4, 256, 96)])
def test_sum_shapes(shape: tuple[int, ...]) -> None:
    x = random_tensor(*shape, low=-1, high=2)
    compare(torch.sum, x)
    compare(lambda t: t.sum(0), x)
    compare(lambda t: t.sum(-1), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.bool, torch.uint8])
def test_sum_dtypes(dtype: torch.dtype) -> None:
    x = random_tensor(8, 65, dtype=dtype, low=-1, high=2)
    compare(torch.sum, x)
    compare(lambda t: t.sum(1, dtype=torch.float32), x)


def test_strided_inputs() -> None:
    x = random_tensor(6, 7, 8, 3)
    compare(lambda t: t.permute(2, 0, 3, 1).sum((0, 2)), x)
    compare(lambda t: t[::2, :, 1::3].mean(1), x)
    compare(lambda t: t.expand(4, 6, 7, 8, 3).sum((0, 2, 4)), x)


def test_nothing_to_reduce() -> None:
    empty = torch.empty(3, 0)
    for function in (torch.sum, torch.prod, torch.any, torch.all):
        compare(function, empty)
        compare(lambda t, f=function: f(t, 1), empty)
    compare(torch.mean, empty)
    with pytest.raises((RuntimeError, IndexError)):
        empty.to(DEVICE).amax(1)


def test_products_and_truth() -> None:
    x = random_tensor(5, 9, low=0.5, high=1.5)
    compare(torch.prod, x)
    compare(lambda t: t.prod(1), x)
    flags = random_tensor(11, 30) > 1.5
    for name in ("any", "all"):
        for dims in (None, 0, 1, (0, 1)):
            compare(lambda t, n=name, d=dims: getattr(torch, n)(t) if d is None else getattr(torch, n)(t, d), flags)
    compare(lambda t: t.any(), random_tensor(30))
    compare(torch.count_nonzero, random_tensor(40, dtype=torch.int32, low=-1, high=1))


@pytest.mark.parametrize("order", [2, 1, 0, 3, 2.5, -1, math.inf, -math.inf])
def test_norms(order: float) -> None:
    x = random_tensor(7, 40)
    compare(lambda t: torch.linalg.vector_norm(t, order), x, bound=2e-5)
    compare(lambda t: torch.linalg.vector_norm(t, order, dim=1), x, bound=2e-5)


def test_extremes_and_their_indices() -> None:
    x = torch.randperm(6 * 50).float().view(6, 50)
    for dim in (0, 1):
        compare(lambda t, d=dim: torch.max(t, d), x)
        compare(lambda t, d=dim: torch.min(t, d, keepdim=True), x)
        compare(lambda t, d=dim: torch.argmax(t, d), x)
    compare(torch.argmax, x)
    compare(torch.argmin, x.t())
    compare(torch.max, x)
    compare(torch.min, x.int())
    x[2, 7] = math.nan
    compare(torch.max, x)
    compare(lambda t: torch.max(t, 1), x)
    compare(torch.argmax, x)
    compare(torch.aminmax, random_tensor(31))


def test_first_of_equal_elements_wins() -> None:
    x = torch.zeros(3, 20)
    assert torch.equal(x.to(DEVICE).argmax(1).cpu(), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("correction", [0, 1, 2])
def test_variance(correction: int) -> None:
    x = random_tensor(4, 50, 6) + 100
    for function in (torch.var, torch.std, torch.var_mean, torch.std_mean):
        compare(function, x, correction=correction, bound=1e-4)
        compare(lambda t, f=function: f(t, dim=1, correction=correction), x, bound=1e-4)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_scans(dim: int) -> None:
    compare(torch.cumsum, random_tensor(3, 130, 5), dim)
    compare(torch.cumsum, random_tensor(3, 130, 5, dtype=torch.int32), dim)
    compare(torch.cumsum, random_tensor(3, 130, 5, dtype=torch.bool), dim)
    compare(torch.cumprod, random_tensor(3, 30, 5, low=0.8, high=1.2), dim)


def test_gradients() -> None:
    x = random_tensor(4, 6, 5)
    compare(lambda t: t.mean((0, 2)), x, gradients=True)
    compare(lambda t: t.logsumexp(1), x, gradients=True)
    compare(lambda t: t.norm(), x, gradients=True)
    compare(lambda t: t.amax(1), x, gradients=True)
    compare(lambda t: t.cumsum(1), x, gradients=True)
    compare(lambda t: t.var(1), x, gradients=True)


def test_out_and_dtype() -> None:
    x = random_tensor(5, 8)
    out = torch.full((8, 5), math.nan, device=DEVICE).t()[:, 0]
    torch.sum(x.to(DEVICE), 1, out=out)
    assert_matches(out, x.sum(1))
    compare(lambda t: t.sum(1, dtype=torch.float64), x)


def test_extremes_of_all_into_another_dtype() -> None:
    x = random_tensor(5, 7, dtype=torch.bfloat16)
    for name in ("max", "min"):
        for dtype in (torch.float32, torch.float64, torch.float16):
            out = torch.empty((), dtype=dtype, device=DEVICE)
            assert getattr(torch, name)(x.to(DEVICE), out=out) is out
            assert torch.equal(out.cpu(), getattr(torch, name)(x, out=torch.empty((), dtype=dtype)))
        for device in ("cpu", DEVICE):
            with pytest.raises(RuntimeError, match=r"can't be cast|canCast"):
                getattr(torch, name)(x.to(device), out=torch.empty((), dtype=torch.int32, device=device))
            with pytest.raises(RuntimeError, match="dtype"):
                getattr(torch, "a" + name)(x.to(device), (0, 1), out=torch.empty((), device=device))
