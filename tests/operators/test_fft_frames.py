"""stft, istft, long symmetric signals and the gradient of unfold against CPU torch in float64."""

from __future__ import annotations

import pytest
import torch

from tests.operators.comparison import DEVICE, assert_matches


@pytest.mark.parametrize("center", [True, False])
def test_signals_come_back(center: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4000)
    window = torch.hann_window(400) + 0.1
    frames = {"n_fft": 400, "hop_length": 160, "center": center}
    spectrum = torch.stft(x.to(DEVICE), window=window.to(DEVICE), return_complex=True, **frames)
    wide = torch.stft(x.double(), window=window.double(), return_complex=True, **frames)
    assert_matches(torch.view_as_real(spectrum), torch.view_as_real(wide), 1e-6)
    back = torch.istft(spectrum, window=window.to(DEVICE), **frames)
    assert_matches(back, torch.istft(wide, window=window.double(), **frames), 1e-6)


@pytest.mark.parametrize("shape, dim, size, step", [
    ((17,), 0, 3, 1), ((17,), 0, 4, 4), ((3, 20), 1, 7, 3), ((20, 3), 0, 5, 2), ((2, 9, 4), -2, 9, 1),
    ((6,), 0, 2, 5), ((0, 8), 1, 3, 2), ((), 0, 1, 1),
])  # fmt: skip
def test_gradient_of_unfold(shape: tuple[int, ...], dim: int, size: int, step: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    leaves = [x.clone().requires_grad_(), x.float().to(DEVICE).requires_grad_()]
    for leaf in leaves:
        windows = leaf.unfold(dim, size, step)
        windows.backward(torch.arange(windows.numel(), dtype=leaf.dtype).view(windows.shape).sin().to(leaf.device))
    assert_matches(leaves[1].grad, leaves[0].grad, 1e-6)


@pytest.mark.parametrize("length", [2018, 10_007, 65_536, 131_070])
def test_long_symmetric_signals(length: int) -> None:
    torch.manual_seed(0)
    half = torch.randn(2, length // 2 + 1, dtype=torch.complex64)  # the first and last with imaginary parts
    exact = torch.fft.irfft(half.to(torch.complex128), length)
    assert_matches(torch.fft.irfft(half.to(DEVICE), length), exact, 1e-6)
