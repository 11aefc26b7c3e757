"""Running extremes, running log-sum-exp and scatters with reductions, at random, against CPU torch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
import torch

from tests.operators.comparison import assert_rounded_once
from tests.operators.test_sorting_sweep import DEVICE, FLOATS, INTEGERS, assert_same, layout, row_values

SHAPES = ((0,), (1,), (257,), (3, 1000), (5, 0, 3), (4, 9, 33), (2, 3, 5, 7), (70, 300))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool], ids=str)
def test_running_extremes(name: str, dtype: torch.dtype) -> None:
    """Values and indices bit for bit: of equals the later one, and the last NaN."""
    draw = random.Random(f"{name}{dtype}")
    for shape in SHAPES:
        x = row_values(draw, shape, dtype, allow_nan=draw.random() < 0.5)
        host, device = layout(draw, x) if x.numel() else (x, x.to(DEVICE))
        dim = draw.randrange(-x.dim(), x.dim())
        want, got = getattr(torch, name)(host, dim), getattr(torch, name)(device, dim)
        assert_same(got.values, want.values)
        assert_same(got.indices, want.indices)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_running_log_sum_exp(dtype: torch.dtype) -> None:
    draw = random.Random(str(dtype))
    for shape in SHAPES:
        x = (torch.randn(shape) * 30).to(dtype)
        host, device = layout(draw, x) if x.numel() else (x, x.to(DEVICE))
        dim = draw.randrange(-x.dim(), x.dim())
        exact = torch.logcumsumexp(host.double(), dim)
        got = torch.logcumsumexp(device, dim)
        assert got.dtype == dtype
        bound = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 5e-3, torch.float16: 6e-4}[dtype]
        assert (got.cpu().double() - exact).norm() <= bound * exact.norm()
    special = torch.tensor([float("-inf"), float("-inf"), 1.0, float("inf"), float("inf"), float("nan"), 0.0])
    assert_same(torch.logcumsumexp(special.to(DEVICE), 0), torch.logcumsumexp(special, 0))
    with pytest.raises(IndexError, match="Dimension out of range"):
        torch.logcumsumexp(special.to(DEVICE), 1)


@pytest.mark.filterwarnings("ignore:index_reduce:UserWarning", "ignore:The reduce argument:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.int8], ids=str)
@pytest.mark.parametrize("include_self", [True, False])
def test_products_of_what_one_index_gets(dtype: torch.dtype, include_self: bool) -> None:
    """scatter_reduce, scatter's older reductions and index_reduce; many elements share an index."""
    draw = random.Random(f"{dtype}{include_self}")
    for shape in ((40,), (7, 30), (3, 5, 11)):
        dim = draw.randrange(-len(shape), len(shape))
        x = (
            torch.rand(shape).add(0.5).to(dtype)
            if dtype.is_floating_point
            else torch.randint(-5, 6, shape, dtype=dtype)
        )
        source = x.flip(0).clone()
        index = torch.randint(0, max(1, shape[dim] // 4), shape)
        for reduce in ("prod", "sum", "amax", "amin", "mean"):
            want = x.scatter_reduce(dim, index, source, reduce, include_self=include_self)
            got = x.to(DEVICE).scatter_reduce(
                dim, index.to(DEVICE), source.to(DEVICE), reduce, include_self=include_self
            )
            torch.testing.assert_close(got.cpu(), want, rtol=1e-12, atol=0)
            if reduce == "sum":
                continue
            row = torch.randint(0, max(1, shape[dim] // 4), (shape[dim],))
            want = x.index_reduce(dim, row, source, reduce, include_self=include_self)
            got = x.to(DEVICE).index_reduce(dim, row.to(DEVICE), source.to(DEVICE), reduce, include_self=include_self)
            torch.testing.assert_close(got.cpu(), want, rtol=1e-12, atol=0)
        for reduce in ("multiply", "add"):
            want = x.scatter(dim, index, source, reduce=reduce)
            got = x.to(DEVICE).scatter(dim, index.to(DEVICE), source.to(DEVICE), reduce=reduce)
            torch.testing.assert_close(got.cpu(), want, rtol=1e-12, atol=0)
            want = x.scatter(dim, index, 2, reduce=reduce)
            torch.testing.assert_close(x.to(DEVICE).scatter(dim, index.to(DEVICE), 2, reduce=reduce).cpu(), want)


@pytest.mark.filterwarnings("ignore:index_reduce:UserWarning")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_halves_of_one_index_are_rounded_once(dtype: torch.dtype) -> None:
    x, source = torch.rand(5, 37).to(dtype), torch.rand(3001, 37).to(dtype)
    row = torch.randint(0, 4, (3001,))
    index = torch.randint(0, 4, (3001, 37))
    calls: list[Callable[..., torch.Tensor]] = [
        lambda t, s, r, i: t.index_add(0, r, s, alpha=0.5),
        lambda t, s, r, i: t.scatter_add(0, i, s),
        lambda t, s, r, i: t.scatter_add(0, r[:, None].expand(-1, 37), s),
        lambda t, s, r, i: t.scatter(0, i, s, reduce="add"),
        *(
            lambda t, s, r, i, e=reduction, o=own: t.scatter_reduce(0, i, s, e, include_self=o)
            for reduction in ("sum", "mean")
            for own in (True, False)
        ),
        lambda t, s, r, i: t.index_reduce(0, r, s, "mean"),
    ]
    for call in calls:
        got = call(*(t.to(DEVICE) for t in (x, source, row, index)))
        assert_rounded_once(got, call(x.double(), source.double(), row, index))
    ones = torch.ones(1000, dtype=dtype, device=DEVICE)
    zeros = torch.zeros(1000, dtype=torch.int64, device=DEVICE)
    assert torch.zeros(1, dtype=dtype, device=DEVICE).index_add(0, zeros, ones).item() == 1000
    large = torch.full((1001,), 30000.0).to(dtype).to(DEVICE)
    mean = large[:1].scatter_reduce(0, zeros, large[:1000], "mean")
    assert torch.equal(mean, large[:1])


@pytest.mark.filterwarnings("ignore:An output with one or more:UserWarning")
def test_outputs_that_are_operands_are_refused() -> None:
    x = torch.randn(4, 6, device=DEVICE)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.cat([x, x[2:]], out=x)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.kthvalue(x[0], 2, out=(x[0], torch.empty((), dtype=torch.int64, device=DEVICE)))
    assert torch.isfinite(x.sum())


@pytest.mark.filterwarnings("ignore:index_reduce:UserWarning")
def test_reductions_by_index_refuse_what_cpu_torch_refuses() -> None:
    index = torch.tensor([0, 0, 1])
    for dtype, reductions in ((torch.bool, ["amax", "prod"]), (torch.complex64, ["amax", "amin", "prod"])):
        x, source = torch.ones(4, dtype=dtype), torch.ones(3, dtype=dtype)
        for reduce in reductions:
            for device in ("cpu", DEVICE):
                with pytest.raises(RuntimeError, match="not implemented for"):
                    x.to(device).index_reduce(0, index.to(device), source.to(device), reduce)
    x = torch.randn(4, dtype=torch.complex64, device=DEVICE)
    with pytest.raises(RuntimeError, match="accumulates by index"):
        x.scatter_reduce(0, index.to(DEVICE), x, "amax")
    assert torch.isfinite(x.abs().sum())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.bool])
@pytest.mark.parametrize(("shape", "dim"), [((300, 7), 0), ((7, 300), 1), ((300,), 0), ((3, 400, 5), -2)])
def test_few_slices_of_a_large_tensor(dtype: torch.dtype, shape: tuple[int, ...], dim: int) -> None:
    """Twenty slices into six of hundreds: exact sums, rounded once."""
    generator = torch.Generator().manual_seed(math.prod(shape))

    def draw(size: Sequence[int]) -> torch.Tensor:
        numbers = torch.randn(size, generator=generator) * 3
        return numbers > 0 if dtype == torch.bool else numbers.to(dtype)

    sizes = list(shape)
    sizes[dim] = 20
    x, source = draw(shape), draw(sizes)
    index = torch.randint(6, (20,), generator=generator) * 7
    exact = dtype if dtype == torch.bool else torch.float64 if dtype.is_floating_point else torch.int64
    expected = x.to(exact).index_add(dim, index, source.to(exact)).to(dtype)
    assert torch.equal(x.to(DEVICE).index_add(dim, index.to(DEVICE), source.to(DEVICE)).cpu(), expected)
    everywhere = index.view([20 if d == dim % len(shape) else 1 for d in range(len(shape))]).expand(sizes)
    assert torch.equal(x.to(DEVICE).scatter_add(dim, everywhere.to(DEVICE), source.to(DEVICE)).cpu(), expected)
