"""Fourier transforms against CPU torch in complex128: lengths of all kinds, layouts, norms, gradients, refusals."""

from __future__ import annotations

import pytest
import torch

from tests.operators.comparison import DEVICE

LENGTHS = (1, 2, 3, 7, 8, 12, 17, 97, 210, 1009, 4096)


def relative(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return float((ours.cpu().to(exact.dtype) - exact).norm() / exact.norm())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("length", LENGTHS)
def test_complex_rows(dtype: torch.dtype, length: int) -> None:
    bound = 1e-6 if dtype == torch.complex64 else 1e-14
    x = torch.randn(3, length, dtype=dtype)
    for name in ("fft", "ifft"):
        for norm in ("backward", "ortho", "forward"):
            ours = getattr(torch.fft, name)(x.to(DEVICE), norm=norm)
            assert ours.dtype == dtype
            assert relative(ours, getattr(torch.fft, name)(x.to(torch.complex128), norm=norm)) < bound


@pytest.mark.parametrize("length", LENGTHS)
def test_real_rows_and_back(length: int) -> None:
    x = torch.randn(4, length)
    half = torch.fft.rfft(x.to(DEVICE))
    assert relative(half, torch.fft.rfft(x.double())) < 1e-6
    assert relative(torch.fft.irfft(half, length), x.double()) < 1e-6
    assert relative(torch.fft.hfft(half, length), torch.fft.hfft(torch.fft.rfft(x.double()), length)) < 1e-6


def test_long_rows_and_several_dimensions() -> None:
    x = torch.randn(65_536, dtype=torch.complex64)
    assert relative(torch.fft.fft(x.to(DEVICE)), torch.fft.fft(x.to(torch.complex128))) < 1e-6
    x = torch.randn(5, 12, 7, 9)
    for given in (x, x.transpose(1, 3), x[:, ::2], x.expand(2, 5, 12, 7, 9)[:, :, 1:]):
        ours = torch.fft.rfftn(given.to(DEVICE), dim=(-2, 1))
        assert relative(ours, torch.fft.rfftn(given.double(), dim=(-2, 1))) < 1e-6
    assert relative(torch.fft.fft2(x.to(DEVICE).transpose(1, 3)), torch.fft.fft2(x.transpose(1, 3).double())) < 1e-6
    z = torch.randn(6, 10, dtype=torch.complex64)
    assert relative(torch.fft.fft(z.to(DEVICE).conj()), torch.fft.fft(z.to(torch.complex128).conj())) < 1e-6


def test_gradients() -> None:
    x = torch.randn(3, 30, dtype=torch.float64)
    for call in (
        lambda t: torch.fft.rfft(t, 28).abs().pow(2).sum(),
        lambda t: torch.fft.irfft(torch.fft.rfft(t) * (1 + 2j), 31).sin().sum(),
        lambda t: torch.stft(t, 16, window=torch.ones_like(t[0, :16]), return_complex=True).abs().sum(),
    ):
        leaves = [x.clone().requires_grad_(), x.to(DEVICE).requires_grad_()]
        for leaf in leaves:
            call(leaf).backward()
        torch.testing.assert_close(leaves[1].grad.cpu(), leaves[0].grad)


def test_infinities_empties_and_refusals() -> None:
    assert torch.fft.fft(torch.tensor([1.0, float("nan")], device=DEVICE)).isnan().all()
    assert torch.fft.fft(torch.empty(0, 4, device=DEVICE)).shape == (0, 4)
    for place in ("cpu", DEVICE):
        with pytest.raises(RuntimeError, match="Invalid number of data points"):
            torch.fft.fft(torch.empty(3, 0, device=place))
