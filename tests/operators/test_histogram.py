"""torch.histogram and histogramdd against CPU torch: edges, counts, weights, densities, what lies outside, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

DEVICE = "mtia_sim"


def _both(x: torch.Tensor, call: Any) -> tuple[Any, Any]:
    return call(x), call(x.to(DEVICE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("shape", [(0,), (1,), (1001,), (7, 0, 3), (13, 77)], ids=str)
def test_histogram(dtype: torch.dtype, density: bool, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=dtype).transpose(0, -1)
    weight = torch.rand(x.shape, dtype=dtype)
    edges = torch.linspace(-2, 1.5, 9, dtype=dtype)
    for options in ({"bins": 17}, {"bins": 5, "range": (-0.5, 0.75)}, {"bins": edges}):
        for weighted in (False, True):

            def call(
                tensor: torch.Tensor, options: dict[str, Any] = options, weighted: bool = weighted
            ) -> tuple[torch.Tensor, torch.Tensor]:
                given = {k: v.to(tensor.device) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
                amounts = weight.to(tensor.device) if weighted else None
                return torch.histogram(tensor, **given, weight=amounts, density=density)

            want, got = _both(x, call)
            for one, two in zip(got, want, strict=True):
                torch.testing.assert_close(one.cpu(), two, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_edges_belong_to_the_bin_behind_them_and_the_last_one_to_the_last_bin() -> None:
    x = torch.tensor([0.0, 1.0, 1.0, 2.0, 3.0, 3.5, -0.1, float("inf")])
    counts, edges = torch.histogram(x.to(DEVICE), torch.tensor([0.0, 1.0, 2.0, 3.0], device=DEVICE))
    assert counts.tolist() == [1, 2, 2]
    assert edges.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("density", [False, True])
def test_several_dimensions(density: bool) -> None:
    points = torch.rand(50, 20, 3)
    for bins in ([4, 1, 5], [torch.tensor([0.0, 0.3, 0.9]), torch.linspace(0, 1, 4), torch.tensor([0.1, 0.5])]):

        def call(tensor: torch.Tensor, bins: Any = bins) -> Any:
            given = [one.to(tensor.device) if isinstance(one, torch.Tensor) else one for one in bins]
            return torch.histogramdd(tensor, given, density=density)

        want, got = _both(points, call)
        torch.testing.assert_close(got.hist.cpu(), want.hist)
        for one, two in zip(got.bin_edges, want.bin_edges, strict=True):
            torch.testing.assert_close(one.cpu(), two)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: torch.histogram(x, 0), "bins must be > 0"),
        (lambda x: torch.histogram(x, 3, range=(2.0, 1.0)), "min should not exceed max"),
        (lambda x: torch.histogram(x / 0, 3), "is not finite"),
        (lambda x: torch.histogram(x, 3, weight=x[:1]), "same shape as the input tensor"),
        (lambda x: torch.histogram(x, 3, weight=x.double()), "same dtype"),
        (lambda x: torch.histogram(x, x.double()), "same dtype"),
        (lambda x: torch.histogram(x.half(), 3), "not implemented for 'Half'"),
        (lambda x: torch.histogramdd(x.view(1, -1), [2]), "size of bins must be equal"),
    ],
)
def test_refusals_of_cpu_torch(call: Any, message: str) -> None:
    for place in ("cpu", DEVICE):
        x = torch.arange(1, 5, dtype=torch.float32, device=place)
        with pytest.raises((RuntimeError, NotImplementedError), match=message):
            call(x)
