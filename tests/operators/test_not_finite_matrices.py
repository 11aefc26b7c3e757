"""Linear algebra of matrices with NaN and infinity: who raises, and whose results are no numbers, as on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, linalg

from tests.operators.comparison import DEVICE

# eigvals is not among them: CPU torch's ends the process.
CALLS: dict[str, Callable[[Tensor], object]] = {
    "eigh": linalg.eigh,
    "eigvalsh": linalg.eigvalsh,
    "eig": linalg.eig,
    "svd": linalg.svd,
    "svdvals": linalg.svdvals,
    "pinv": linalg.pinv,
    "matrix_rank": linalg.matrix_rank,
    "cond": linalg.cond,
    "nuclear norm": lambda a: linalg.matrix_norm(a, "nuc"),
    "cholesky": linalg.cholesky,
    "inv": linalg.inv,
    "solve": lambda a: linalg.solve(a, torch.ones(3, 1, device=a.device)),
    "det": linalg.det,
    "slogdet": linalg.slogdet,
    "lu_factor": linalg.lu_factor,
    "qr": linalg.qr,
    "matrix_exp": linalg.matrix_exp,
    "matrix_power": lambda a: linalg.matrix_power(a, 3),
}


def outcome(call: Callable[[Tensor], object], a: Tensor) -> object:
    """The kind of error, or which of the results have elements that are no finite number."""
    try:
        results = call(a)
    except RuntimeError as error:
        return type(error)
    tensors = [results] if isinstance(results, Tensor) else list(results)  # type: ignore[call-overload]
    return [bool((~each.isfinite()).any().item()) for each in tensors]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_as_on_the_cpu(value: float) -> None:
    a = torch.tensor([[4.0, 1, 0.5], [1, 5, 2], [0.5, 2, value]])
    for name, call in CALLS.items():
        assert outcome(call, a.to(DEVICE)) == outcome(call, a), name
    for place in ("first", "second"):
        batch = torch.stack([a, torch.eye(3)] if place == "first" else [torch.eye(3), a])
        assert outcome(linalg.eigh, batch.to(DEVICE)) == outcome(linalg.eigh, batch)


def test_every_element_of_an_exponential() -> None:
    a = torch.eye(3).mul(2)
    a[2, 2] = torch.inf
    both = torch.stack([a, torch.eye(3)])
    torch.testing.assert_close(linalg.matrix_exp(both.to(DEVICE)).cpu(), linalg.matrix_exp(both), equal_nan=True)


def test_eigenvalues_of_nothing_that_is_a_number() -> None:
    with pytest.raises(linalg.LinAlgError, match=r"eigvals: .* failed to converge"):
        linalg.eigvals(torch.full((2, 2), torch.nan, device=DEVICE))
