"""Sums, products and scans into another dtype, accumulation by index in every dtype, and masks filled with a tensor's
value: random shapes, layouts and dtypes against CPU torch, refusals included."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE
from tests.operators.dtype_cases import DTYPES

BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 6e-3, torch.bfloat16: 5e-2}

INTO: dict[str, Callable[[Tensor, int, torch.dtype], Tensor]] = {
    "sum": lambda x, d, dtype: x.sum(d, dtype=dtype),
    "sum of all": lambda x, d, dtype: x.sum(dtype=dtype),
    "nansum": lambda x, d, dtype: x.nansum(d, dtype=dtype),
    "prod": lambda x, d, dtype: x.prod(d, dtype=dtype),
    "prod of all": lambda x, d, dtype: x.prod(dtype=dtype),
    "mean": lambda x, d, dtype: x.mean(d, dtype=dtype),
    "cumsum": lambda x, d, dtype: x.cumsum(d, dtype=dtype),
    "cumprod": lambda x, d, dtype: x.cumprod(d, dtype=dtype),
}


def drawn(shape: tuple[int, ...], dtype: torch.dtype, generator: random.Random, high: int = 100) -> Tensor:
    """Numbers with fractions, of both signs where the dtype has them, every third time in another order in memory."""
    count = 1
    for size in shape:
        count *= size
    low = 0 if dtype in (torch.bool, torch.uint8) else -high
    values = torch.tensor([generator.uniform(low, high) for _ in range(count)], dtype=torch.float64)
    if dtype == torch.bool:
        values = (values > 60).double()
    tensor = values.reshape(shape).to(dtype)
    if generator.random() < 0.33 and tensor.dim() > 1:
        tensor = tensor.transpose(0, -1).contiguous().transpose(0, -1)
    return tensor


def widened(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def outcome(call: Callable[..., Tensor], *arguments: Any) -> Tensor | Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call(*arguments)
            return result.cpu()
        except Exception as error:
            return error


def assert_same(call: Callable[..., Tensor], arguments: list[Any], exact: Callable[..., Tensor], told: str) -> None:
    """`exact` gives the values of a floating result; integers are compared with CPU torch's own, refusals by type."""
    want = outcome(call, *arguments)
    got = outcome(call, *[a.to(DEVICE) if isinstance(a, Tensor) else a for a in arguments])
    if isinstance(want, Exception):
        assert isinstance(got, type(want)), f"{told}: {got!r}, the CPU says {want!r}"
        return
    assert not isinstance(got, Exception), f"{told}: {got!r}, the CPU gives {want}"
    assert got.dtype == want.dtype and got.shape == want.shape, told
    if not want.is_floating_point():
        assert torch.equal(got, want), f"{told}: {got}, the CPU gives {want}"
        return
    wide = [widened(a) for a in arguments]
    values, bound = exact(*wide).to(want.dtype), BOUNDS[want.dtype]
    # What cancels leaves the rounding of what was added.
    near = bound * float(
        exact(*[a.abs() if isinstance(a, Tensor) and a.dtype != torch.bool else a for a in wide]).abs().max()
    )
    torch.testing.assert_close(got.double(), values.double(), rtol=bound, atol=near, equal_nan=True, msg=told)


def check_into(seed: int) -> None:
    generator = random.Random(seed)
    name, source, result = generator.choice(list(INTO)), generator.choice(DTYPES), generator.choice(DTYPES)
    shape = tuple(generator.choice([1, 2, 3, 5, 17]) for _ in range(generator.choice([1, 2, 3])))
    dim = generator.randrange(-len(shape), len(shape))
    # The product of long rows, and the sum of halves beyond what they hold, are tested elsewhere.
    high = 2 if "prod" in name else 100
    exact_dtype = torch.float64 if result.is_floating_point else result
    assert_same(
        lambda x: INTO[name](x, dim, result),
        [drawn(shape, source, generator, high)],
        lambda x: INTO[name](x, dim, exact_dtype),
        f"seed {seed}: {name} along {dim} of {source}{list(shape)} into {result}",
    )


def by_index(name: str, generator: random.Random) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    include = generator.random() < 0.5
    alpha = generator.choice([1, 1, 2, 3])
    calls: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "scatter_add": lambda x, i, s: x.scatter_add(0, i, s),
        "scatter_add_": lambda x, i, s: x.clone().scatter_add_(0, i, s),
        "index_add": lambda x, i, s: x.index_add(0, i[:, 0], s, alpha=alpha),
        "index_put_": lambda x, i, s: x.clone().index_put_((i[:, 0],), s, accumulate=True),
        "index_put_ of two": lambda x, i, s: x.clone().index_put_((i, i % x.size(1)), s, accumulate=True),
        "put_": lambda x, i, s: x.clone().put_(i, s, accumulate=True),
        "sum": lambda x, i, s: x.scatter_reduce(0, i, s, "sum", include_self=include),
        "mean": lambda x, i, s: x.scatter_reduce(0, i, s, "mean", include_self=include),
        "amax": lambda x, i, s: x.scatter_reduce(0, i, s, "amax", include_self=include),
        "amin": lambda x, i, s: x.scatter_reduce(0, i, s, "amin", include_self=include),
    }
    return calls[name]


def check_by_index(seed: int) -> None:
    generator = random.Random(seed)
    names = ["scatter_add", "scatter_add_", "index_add", "index_put_", "index_put_ of two", "put_"]
    names += ["sum", "mean", "amax", "amin"]
    name, dtype = generator.choice(names), generator.choice(DTYPES)
    rows, columns, count = generator.choice([1, 3, 7]), generator.choice([1, 2, 5, 33]), generator.choice([1, 4, 20])
    index = torch.tensor([[generator.randrange(rows) for _ in range(columns)] for _ in range(count)])
    assert_same(
        by_index(name, random.Random(seed)),
        [drawn((rows, columns), dtype, generator), index, drawn((count, columns), dtype, generator)],
        by_index(name, random.Random(seed)),
        f"seed {seed}: {name} of {count} rows into {dtype}[{rows}, {columns}]",
    )


def check_masked_fill(seed: int) -> None:
    generator = random.Random(seed)
    dtype, of_value = generator.choice(DTYPES), generator.choice(DTYPES)
    number = generator.choice([0.0, 1.0, -1.0, 100.0, 200.0, 300.0, 70000.0, 3e9, 1e39, float("nan"), float("inf")])
    if not of_value.is_floating_point:
        info = torch.iinfo(of_value) if of_value != torch.bool else None
        number = float(bool(number == 1)) if info is None else 7.0 if number != number else number
        number = number if info is None else max(info.min, min(info.max, number))
    value = torch.tensor(number).to(of_value) if number < 2.0**62 or of_value.is_floating_point else torch.tensor(7)
    x = drawn((5, 7), dtype, generator)
    mask = torch.tensor([[generator.random() < 0.4 for _ in range(7)] for _ in range(generator.choice([1, 5]))])
    in_place = generator.random() < 0.5
    call: Callable[..., Tensor] = (
        (lambda t, m, v: t.clone().masked_fill_(m, v)) if in_place else (lambda t, m, v: t.masked_fill(m, v))
    )
    want, got = outcome(call, x, mask, value), outcome(call, x.to(DEVICE), mask.to(DEVICE), value.to(DEVICE))
    told = f"seed {seed}: {dtype} filled with {value}"
    if isinstance(want, Exception):
        assert isinstance(got, type(want)), f"{told}: {got!r}, the CPU says {want!r}"
        assert "without overflow" in str(got)
        return
    assert isinstance(got, Tensor), f"{told}: {got!r}"
    assert got.dtype == want.dtype
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True, msg=told)


CHECKS = {"into": check_into, "by index": check_by_index, "masked_fill": check_masked_fill}


@pytest.mark.parametrize("kind", CHECKS)
def test_sweep(kind: str) -> None:
    for seed in range(60):
        CHECKS[kind](seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHECKS)
def test_long_sweep(kind: str) -> None:
    for seed in range(1000, 2500):
        CHECKS[kind](seed)


def test_an_integer_keeps_its_bits_beside_a_float_that_fills() -> None:
    x = torch.full((3,), (1 << 24) + 1, dtype=torch.int32)
    mask = torch.tensor([True, False, False])
    got = x.to(DEVICE).masked_fill(mask.to(DEVICE), torch.tensor(2.0, device=DEVICE))
    assert torch.equal(got.cpu(), x.masked_fill(mask, 2))


def test_products_into_repeated_elements_are_refused() -> None:
    for place in ("cpu", DEVICE):
        a, b = torch.ones(3, 2, device=place), torch.ones(2, 4, device=place)
        for call in (lambda out, a=a, b=b: torch.mm(a, b, out=out), lambda out, a=a, b=b: out.addmm_(a, b)):
            with pytest.raises(RuntimeError, match="single memory location"):
                call(torch.ones(3, 1, device=place).expand(3, 4))


@pytest.mark.parametrize("beta", [0, 1, 2])
@pytest.mark.parametrize(("rows", "columns"), [(3, 0), (0, 3), (0, 0)])
@pytest.mark.parametrize("size", [(), (1,), None])
def test_addmv_of_an_empty_matrix_has_a_row_for_each_row(
    size: tuple[int, ...] | None, rows: int, columns: int, beta: int
) -> None:
    """As documented; CPU torch's result takes the shape of a smaller addend, and warns of it as a fault of its own."""
    shapes = ((rows,) if size is None else size, (rows, columns), (columns,))
    got = torch.addmv(*[torch.ones(shape, device=DEVICE) for shape in shapes], beta=beta)
    assert got.shape == (rows,)
    if size is None:
        assert torch.equal(got.cpu(), torch.addmv(*[torch.ones(shape) for shape in shapes], beta=beta))
    assert torch.equal(got.cpu(), torch.full((rows,), float(beta)))


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("reduction", ["amax", "amin"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_nan_lasts_in_extremes(dtype: torch.dtype, reduction: str, include: bool) -> None:
    """NaN of either sign, first, last and in what is joined into; rows of one tile and of several."""
    generator = torch.Generator().manual_seed(2)
    for nan in (torch.tensor(float("nan")), -torch.tensor(float("nan"))):
        for rows, places in ((1, (0,)), (7, (57,)), (7, (0, 57)), (70, ()), (70, (3,))):
            source, x = torch.randn(rows, 60, generator=generator), torch.randn(rows, 4, generator=generator)
            source[:, list(places)] = nan
            x[-1, 1] = nan
            index = torch.arange(60).remainder(3).expand(rows, 60)
            for dim, s, i, to in ((1, source, index, x), (0, source.t(), index.t(), x.t())):
                expected = to.to(dtype).scatter_reduce(dim, i, s.to(dtype), reduction, include_self=include)
                arguments = [t.to(DEVICE) for t in (to.to(dtype), i, s.to(dtype))]
                got = arguments[0].scatter_reduce(dim, *arguments[1:], reduction, include_self=include)
                torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=0, equal_nan=True)
