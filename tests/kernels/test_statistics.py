"""Extrema with indices, variances and cumulative sums against CPU torch."""

import pytest
import torch

from tests.kernels import harness
from tests.kernels.test_reduction import dimensions_of


def extrema(name, x, reduced, chip="mtia300"):
    kept = [d for d in range(x.dim()) if d not in reduced]
    shape = [x.shape[d] for d in kept]
    values, indices = harness.poisoned(shape, x.dtype), harness.poisoned(shape, torch.int64)
    sizes = dimensions_of(x, kept, reduced)
    harness.execute(f"{name}_with_index", [values, indices, x.to(harness.DEVICE)], sizes, chip=chip)
    return values.cpu(), indices.cpu()


def check_extrema(x, dim):
    for name, function in (("max", torch.max), ("min", torch.min)):
        values, indices = extrema(name, x, [dim])
        expected = function(x, dim)
        assert torch.equal(values.nan_to_num(99), expected.values.nan_to_num(99))
        assert torch.equal(indices, expected.indices)


DTYPES = [torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (40, 300), (3, 2500)])
def test_extrema(shape, dtype):
    x = torch.randint(-9, 10, shape).to(dtype)  # ties: the first wins
    check_extrema(x, 1)
    check_extrema(x, 0)
    check_extrema(x.t(), 1)


def test_extrema_of_special_values():
    x = torch.randn(6, 50)
    x[0, 7] = x[0, 9] = float("nan")
    x[1] = -float("inf")
    x[2] = float("inf")
    x[3, 4] = float("inf")
    x[4] = float("nan")
    check_extrema(x, 1)


@pytest.mark.parametrize("chip", harness.CHIPS)
def test_long_extrema(chip):
    x = torch.randn(30_000)
    values, indices = extrema("max", x, [0], chip)
    assert values == x.max()
    assert indices == x.argmax()
    x[100] = x[29_000] = float("nan")
    assert extrema("min", x, [0], chip)[1] == 100


def test_extrema_over_two_dimensions():
    x = torch.randn(4, 5, 6).transpose(0, 1)
    values, indices = extrema("max", x, [0, 1])
    flat = x.flatten(0, 1)
    assert torch.equal(values, flat.max(0).values)
    assert torch.equal(indices, flat.argmax(0))


def variance(name, x, reduced, correction=1, chip="mtia300"):
    kept = [d for d in range(x.dim()) if d not in reduced]
    shape = [x.shape[d] for d in kept]
    out, mean = harness.poisoned(shape, x.dtype), harness.poisoned(shape, x.dtype)
    sizes = dimensions_of(x, kept, reduced)
    harness.execute(name, [out, mean, x.to(harness.DEVICE)], sizes, [correction], chip)
    return out, mean


@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize(
    ("shape", "reduced"), [((5, 7), [1]), ((40, 300), [0]), ((1, 5000), [1]), ((4, 5, 30), [0, 2]), ((70, 900), [0, 1])]
)
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_variance(shape, reduced, correction, dtype):
    x = (torch.randn(shape) + 3).to(dtype)
    out, mean = variance("variance", x, reduced, correction)
    harness.assert_close(out, x.double().var(reduced, correction=correction), 4 * harness.BOUNDS[dtype])
    harness.assert_close(mean, x.double().mean(reduced), 2 * harness.BOUNDS[dtype])
    out, _ = variance("standard_deviation", x, reduced, correction)
    harness.assert_close(out, x.double().std(reduced, correction=correction), 4 * harness.BOUNDS[dtype])


def test_long_variance():
    x = torch.randn(100_001) + 1000
    results = [variance("variance", x, [0], chip=chip) for chip in harness.CHIPS]
    harness.assert_close(results[0][0], x.double().var(0), 1e-5)
    harness.assert_close(results[0][1], x.double().mean(0))
    assert all(torch.equal(got[0].cpu(), results[0][0].cpu()) for got in results)


def test_variance_of_one():
    out, _ = variance("variance", torch.randn(3, 1), [1])
    assert torch.isnan(out.cpu()).all()


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize(("shape", "dim"), [((1, 1), 1), ((5, 37), 1), ((4, 30, 9), 1), ((2, 1500), 1), ((20, 3), 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_cumulative(shape, dim, dtype, name):
    x = torch.rand(shape) + 0.5 if dtype.is_floating_point else torch.randint(0, 3, shape)
    x = x.to(dtype)
    if name == "cumprod" and dtype.is_floating_point:
        x = 1 + (x - 1) * 0.01
    result = torch.int64 if not dtype.is_floating_point else dtype
    on_device = x.to(harness.DEVICE)
    for tensor, source in ((x, on_device), (x[..., ::2], on_device[..., ::2])):
        outer, inner = tensor.shape[:dim].numel(), tensor.shape[dim + 1 :].numel()
        out = harness.poisoned(tensor.shape, result)
        sizes = [outer, tensor.shape[dim], inner]
        for t in (source, out):
            sizes += [t.stride(dim - 1) if dim else 0, t.stride(dim), t.stride(-1) if dim < t.dim() - 1 else 0]
        kernel = "cumulative_sum" if name == "cumsum" else "cumulative_product"
        harness.execute(kernel, [out, source], sizes)
        expected = getattr(tensor.double() if dtype.is_floating_point else tensor, name)(dim)
        harness.assert_close(out, expected, 4 * harness.BOUNDS.get(dtype, 0.0))
