"""Few long rows are shared by all PEs: softmax, log-softmax and scans cut them in parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE, assert_matches

CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "softmax of columns": lambda x: x.mT.softmax(0),
    "softmax of planes": lambda x: x.view(2, -1, 2).softmax(1),
    "cumsum": lambda x: x.cumsum(-1),
    "cumsum of columns": lambda x: x.mT.cumsum(0),
    "cumsum of planes": lambda x: x.view(2, -1, 2).cumsum(1),
    "cummax": lambda x: x.cummax(-1).values,
    "cummin of planes": lambda x: x.view(2, -1, 2).cummin(1).values,
}
# Whose gradients torch makes of rounded results.
ROUNDED: dict[str, Callable[[Tensor], Tensor]] = {
    "cumprod": lambda x: x.sign().add(x.abs().floor() / 1024).cumprod(-1),
    "cumprod of planes": lambda x: x.sign().add(x.abs().floor() / 1024).view(2, -1, 2).cumprod(1),
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
    "logcumsumexp of columns": lambda x: x.mT.logcumsumexp(0),
    "layer_norm": lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 40002).to(dtype)
    exact, given = x.double().clone().requires_grad_(), x.to(DEVICE).requires_grad_()
    expected, result = CALLS[name](exact), CALLS[name](given)
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 8e-3, torch.float64: 1e-13}[dtype]
    assert_matches(result, expected.to(dtype), tolerance)
    weight = torch.randn(expected.shape).to(dtype)
    expected.backward(weight.double())
    result.backward(weight.to(DEVICE))
    assert exact.grad is not None and given.grad is not None
    assert_matches(given.grad, exact.grad.to(dtype), 4 * tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ROUNDED)
def test_values(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 40002).to(dtype)
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-13}[dtype]
    assert_matches(ROUNDED[name](x.to(DEVICE)), ROUNDED[name](x.double()).to(dtype), tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layer_norm(dtype: torch.dtype) -> None:
    """As one row of its own, with parameters and their gradients; a mean far from 0."""
    x, grad = (torch.randn(3, 40005).to(dtype) + 5).to(dtype), torch.randn(3, 40005).to(dtype)
    parameters = [torch.randn(40005).to(dtype) for _ in range(2)]
    exact = [each.double().requires_grad_() for each in (x, *parameters)]
    given = [each.to(DEVICE).requires_grad_() for each in (x, *parameters)]
    tolerance = 4e-6 if dtype == torch.float32 else 8e-3
    results = [torch.nn.functional.layer_norm(each[0], (40005,), *each[1:]) for each in (exact, given)]
    assert_matches(results[1], results[0].to(dtype), tolerance)
    results[0].backward(grad.double())
    results[1].backward(grad.to(DEVICE))
    for of_exact, of_given in zip(exact, given, strict=True):
        assert of_exact.grad is not None and of_given.grad is not None
        assert_matches(of_given.grad, of_exact.grad.to(dtype), 2 * tolerance)


def test_integers_are_exact() -> None:
    x = torch.randint(-(2**40), 2**40, (3, 30000))
    assert torch.equal(x.to(DEVICE).cumsum(-1).cpu(), x.cumsum(-1))
    assert torch.equal(x.to(DEVICE).cumprod(-1).cpu(), x.cumprod(-1))  # modulo 2^64
    flags = x > 0
    assert torch.equal(flags.to(DEVICE).cumsum(-1).cpu(), flags.cumsum(-1))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extremes_are_exact(name: str) -> None:
    x = torch.randint(-300, 300, (3, 2, 30003)).cumsum(-1).float()
    x[1, 0, 17000:17003] = torch.nan
    x[1, 1] = -torch.inf if name == "cummax" else torch.inf
    for given, dim in ((x, -1), (x.mT.contiguous(), 1), (x.long(), 2), (x.to(torch.float16), -1)):
        expected, result = (getattr(each, name)(dim) for each in (given, given.to(DEVICE)))
        torch.testing.assert_close(result.values.cpu(), expected.values, equal_nan=True, rtol=0, atol=0)
        assert torch.equal(result.indices.cpu(), expected.indices)


def test_products_neither_overflow_nor_lose_a_zero() -> None:
    x = torch.full((3, 40002), 2.0).where(torch.arange(40002) % 2 == 0, 0.5)
    x[1, 20000], x[2, 30000] = 0, torch.nan
    torch.testing.assert_close(x.to(DEVICE).cumprod(-1).cpu(), x.cumprod(-1), equal_nan=True)


def test_rows_of_nothing_and_of_what_is_no_number() -> None:
    x = torch.full((4, 30000), -torch.inf)
    x[1, 29999] = 3.0
    x[2, 7] = torch.nan
    x[3, 20000] = torch.inf
    result = x.to(DEVICE).softmax(-1).cpu()
    assert torch.equal(result.isnan().all(-1), x.softmax(-1).isnan().all(-1))
    assert result[1, 29999] == 1 and result[1].sum() == 1


def test_one_long_row_takes_about_as_long_as_many_short_ones() -> None:
    def seconds(call: Callable[[Tensor], Tensor], x: Tensor) -> float:
        torch.mtia_sim.synchronize()
        torch.mtia_sim.flush_cache()
        torch.mtia_sim.reset_perf_counters()
        call(x)
        torch.mtia_sim.synchronize()
        return float(torch.mtia_sim.perf_counters()["seconds"])

    row = torch.randn(1, 128 * 4096, device=DEVICE)
    for name in ("softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp", "cummax", "layer_norm"):
        call = (CALLS | ROUNDED)[name]
        assert seconds(call, row) < 3 * seconds(call, row.view(128, -1)), name  # ran 40 times as long
