"""Few long rows are shared by all PEs: softmax, log-softmax and cumulative sums and products cut them in parts."""

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


def test_integers_are_exact() -> None:
    x = torch.randint(-(2**40), 2**40, (3, 30000))
    assert torch.equal(x.to(DEVICE).cumsum(-1).cpu(), x.cumsum(-1))
    assert torch.equal(x.to(DEVICE).cumprod(-1).cpu(), x.cumprod(-1))  # modulo 2^64
    flags = x > 0
    assert torch.equal(flags.to(DEVICE).cumsum(-1).cpu(), flags.cumsum(-1))


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
    for name in ("softmax", "log_softmax", "cumsum"):
        assert seconds(CALLS[name], row) < 3 * seconds(CALLS[name], row.view(128, -1)), name  # ran 40 times as long
