"""Reductions, extrema with indices, variances and scans against float64 CPU torch."""

import pytest
import torch

from tests.kernels import harness

FUNCTIONS = {
    "sum": lambda x, d: x.sum(d),
    "nansum": lambda x, d: x.nansum(d),
    "mean": lambda x, d: x.mean(d),
    "amax": lambda x, d: x.amax(d),
    "amin": lambda x, d: x.amin(d),
    "norm_0": lambda x, d: torch.linalg.vector_norm(x, 0, d),
    "norm_1": lambda x, d: torch.linalg.vector_norm(x, 1, d),
    "norm_2": lambda x, d: torch.linalg.vector_norm(x, 2, d),
    "norm_inf": lambda x, d: torch.linalg.vector_norm(x, float("inf"), d),
    "norm_negative_inf": lambda x, d: torch.linalg.vector_norm(x, -float("inf"), d),
    "sum_of_squares": lambda x, d: (x * x).sum(d),
}


def dimensions_of(x, kept, reduced):
    """The (k0, k1, r0, r1, strides) of a tensor whose `kept` and `reduced` dimensions number two at most each."""
    sizes, strides = [], []
    for group in (kept, reduced):
        group = [None] * (2 - len(group)) + list(group)
        sizes += [1 if d is None else x.shape[d] for d in group]
        strides += [0 if d is None else x.stride(d) for d in group]
    return [*sizes, *strides]


def run(name, x, reduced, output_dtype, scalars=(), chip="mtia300"):
    kept = [d for d in range(x.dim()) if d not in reduced]
    out = harness.poisoned([x.shape[d] for d in kept], output_dtype)
    sizes = dimensions_of(x, kept, reduced)
    harness.execute(f"reduce.{name}", [out, x.to(harness.DEVICE)], sizes, scalars, chip)
    return out


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_last_dimension(name, dtype):
    x = torch.randn(5, 37).to(dtype)
    harness.assert_close(run(name, x, [1], dtype), FUNCTIONS[name](x.double(), 1))


@pytest.mark.parametrize("name", ["sum", "amax"])
@pytest.mark.parametrize(
    ("shape", "reduced"),
    [
        ((1,), [0]),
        ((70, 3), [0]),
        ((3, 50, 20), [1]),
        ((4, 5, 30), [0, 2]),
        ((4, 40, 3), [0, 1]),
        ((3, 6, 7, 5), [1, 3]),
    ],
)
def test_dimensions(name, shape, reduced):
    x = torch.randn(shape)
    harness.assert_close(run(name, x, reduced, torch.float32), FUNCTIONS[name](x.double(), reduced))


@pytest.mark.parametrize("name", ["sum", "mean", "norm_2"])
@pytest.mark.parametrize("chip", harness.CHIPS)
def test_long_reductions_in_two_launches(name, chip):
    x = torch.randn(100_001) + 1
    harness.assert_close(run(name, x, [0], torch.float32, chip=chip), FUNCTIONS[name](x.double(), 0), 1e-5)


@pytest.mark.parametrize("dtype", harness.HALF_DTYPES)
@pytest.mark.parametrize("name", ["sum", "amax", "norm_2"])
def test_long_reductions_of_halves(name, dtype):
    x = torch.randn(3, 9001).to(dtype)
    harness.assert_close(run(name, x, [1], dtype), FUNCTIONS[name](x.double(), 1))
    harness.assert_close(run(name, x.t().contiguous(), [0], dtype), FUNCTIONS[name](x.double(), 1))
    harness.assert_close(run(name, x, [0, 1], dtype), FUNCTIONS[name](x.double(), (0, 1)))


def test_long_columns():
    x = torch.randn(2500, 6)
    harness.assert_close(run("sum", x, [0], torch.float32), x.double().sum(0), 1e-5)
    harness.assert_close(run("amin", x, [0], torch.float32), x.double().amin(0))


def test_result_is_the_same_on_every_chip():
    x = torch.randn(30, 9000)
    results = [run("sum", x, [1], torch.float32, chip=chip).cpu() for chip in harness.CHIPS]
    assert all(torch.equal(result, results[0]) for result in results)


def test_strided():
    whole = torch.randn(20, 60)
    x, expected = whole.to(harness.DEVICE)[::2, ::3], whole[::2, ::3].double()
    harness.assert_close(run("sum", x, [1], torch.float32), expected.sum(1))
    harness.assert_close(run("sum", x.t(), [1], torch.float32), expected.sum(0))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32])
def test_truth_and_integers(dtype):
    x = (torch.randint(-3, 4, (9, 11)) * (torch.rand(9, 11) < 0.2)).to(dtype)
    x[0] = 0
    x[1] = 1
    assert torch.equal(run("any", x, [1], torch.bool).cpu(), x.any(1))
    assert torch.equal(run("all", x, [1], torch.bool).cpu(), x.all(1))
    assert torch.equal(run("count_nonzero", x, [1], torch.int64).cpu(), x.count_nonzero(1))
    assert torch.equal(run("amax", x, [1], dtype).cpu(), x.amax(1))
    assert torch.equal(run("amin", x, [1], dtype).cpu(), x.amin(1))
    if dtype != torch.float32:
        assert torch.equal(run("sum", x, [1], torch.int64).cpu(), x.sum(1))
        assert torch.equal(run("prod", x, [1], torch.int64).cpu(), x.prod(1))


def test_norm_p_and_prod():
    x = torch.randn(6, 20)
    harness.assert_close(run("norm_p", x, [1], torch.float32, [3.0]), torch.linalg.vector_norm(x.double(), 3, 1), 1e-5)
    got = run("norm_negative_p", x, [1], torch.float32, [-2.0])
    harness.assert_close(got, torch.linalg.vector_norm(x.double(), -2, 1), 1e-5)
    harness.assert_close(run("prod", x, [1], torch.float32), x.double().prod(1), 1e-5)


@pytest.mark.parametrize("name", ["sum", "amax", "amin", "nansum"])
def test_special_values(name):
    x = torch.randn(4, 30)
    x[0, 3] = float("nan")
    x[1, 2] = float("inf")
    x[2, 5] = -float("inf")
    harness.assert_close(run(name, x, [1], torch.float32), FUNCTIONS[name](x.double(), 1))
