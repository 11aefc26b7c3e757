"""Tensors of uint16, uint32 and uint64, and histograms."""

import pytest
import torch

from tests.operators.comparison import DEVICE, compare, random_tensor

UNSIGNED = [torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", UNSIGNED)
def test_unsigned_tensors(dtype: torch.dtype) -> None:
    top = 2 ** (8 * dtype.itemsize) - 1 if dtype is not torch.uint64 else 2**63 - 1
    values = torch.tensor([0, 1, 7, top - 1, top], dtype=dtype)
    device = values.to(DEVICE)
    assert torch.equal(device.cpu(), values)
    assert (device == values.to(DEVICE)).all()
    assert (device == top).cpu().tolist() == [False] * 4 + [True]
    assert torch.full((3,), 5, dtype=dtype, device=DEVICE).tolist() == [5, 5, 5]
    assert torch.zeros(3, dtype=dtype, device=DEVICE).tolist() == [0, 0, 0]
    assert device.to(torch.float64).cpu().tolist() == values.to(torch.float64).tolist()
    assert device.sort(descending=True)[0].tolist() == values.tolist()[::-1]


@pytest.mark.parametrize(("bins", "low", "high"), [(7, -1.0, 1.5), (64, 0.0, 0.0), (1, 0.0, 2.0)])
def test_histc(bins: int, low: float, high: float) -> None:
    x = random_tensor(3, 501, low=-2, high=2)
    compare(lambda t: torch.histc(t, bins, low, high), x)
    x[0, 5] = float("nan")
    if low != high:
        compare(lambda t: torch.histc(t, bins, low, high), x)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_filled_with_the_largest(dtype: torch.dtype) -> None:
    largest = 2 ** (8 * dtype.itemsize) - 1
    x = torch.full((3,), largest, dtype=dtype, device="mtia_sim")
    x[1] = 5
    assert x.cpu().tolist() == [largest, 5, largest]


@pytest.mark.parametrize("dtype", UNSIGNED)
def test_draws_between_bounds(dtype: torch.dtype) -> None:
    x = torch.empty(20000, dtype=dtype, device=DEVICE)
    for low, high in ((0, 9), (5, 2**16), (7, 8)):
        drawn = x.random_(low, high).cpu().to(torch.int64)
        share = (high - low) // 1000
        assert low <= drawn.min() <= low + share and high - 1 - share <= drawn.max() < high
    with pytest.raises(RuntimeError):
        x.random_(-1, 5)
    with pytest.raises(NotImplementedError):
        x.random_()
