"""Assertions on the device, and small operators that stand alone."""

from __future__ import annotations

import pytest
import torch

from tests.operators.comparison import DEVICE


def test_an_asynchronous_assertion_surfaces_at_the_next_wait() -> None:
    torch._assert_async(torch.tensor([3.5], device=DEVICE))
    torch.accelerator.synchronize()
    torch._assert_async(torch.tensor(False, device=DEVICE), "the mask is empty")
    with pytest.raises(RuntimeError, match=r"the mask is empty, called at .*Expected Tensor with single nonzero value"):
        torch.accelerator.synchronize()
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        torch._assert_async(torch.ones(2, device=DEVICE))
    assert torch.ones(2, device=DEVICE).sum().item() == 2  # the device is usable


@pytest.mark.filterwarnings("ignore:torch.range is deprecated:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int16], ids=str)
def test_range_ends_with_its_end(dtype: torch.dtype) -> None:
    for start, end, step in ((0, 7, 1), (3, -4, -2), (1, 1, 5), (0.5, 4.1, 0.6)):
        if not dtype.is_floating_point and step == 0.6:
            continue
        want = torch.range(start, end, step, dtype=dtype)
        torch.testing.assert_close(torch.range(start, end, step, dtype=dtype, device=DEVICE).cpu(), want)
    with pytest.raises(RuntimeError, match="step must be nonzero"):
        torch.range(0, 1, 0, device=DEVICE)


def test_extremes_and_sums_into_outputs() -> None:
    x = torch.randn(5, 7)
    x[1, 2] = float("nan")
    device = x.to(DEVICE)
    for name in ("max", "min"):
        out = torch.empty((), device=DEVICE)
        assert getattr(torch, name)(device[2:], out=out) is out
        assert out.item() == getattr(torch, name)(x[2:]).item()
    torch.testing.assert_close(torch.nansum(device, 1, out=torch.empty(0, device=DEVICE)).cpu(), torch.nansum(x, 1))
    low, high = torch._aminmax(device[2:], 1, keepdim=True)
    assert torch.equal(low.cpu(), x[2:].amin(1, keepdim=True)) and torch.equal(high.cpu(), x[2:].amax(1, keepdim=True))


def test_forward_mode_derivatives_through_glu_and_zeros() -> None:
    x = torch.randn(4, 6, dtype=torch.float64)
    direction = torch.randn_like(x)

    def function(value: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.glu(value, -1).sin() * value[:, :1].detach()

    def gradient(value: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda one: function(one).sum())(value)

    for call in (function, gradient):
        want = torch.func.jvp(call, (x,), (direction,))
        got = torch.func.jvp(call, (x.to(DEVICE),), (direction.to(DEVICE),))
        for one, two in zip(got, want, strict=True):
            torch.testing.assert_close(one.cpu(), two)


def test_joined_activations() -> None:
    x, y = torch.randn(3, 4), torch.randn(4, 5)
    bias = torch.randn(5)
    for use_gelu in (False, True):
        want = torch._addmm_activation(bias, x, y, use_gelu=use_gelu)
        got = torch._addmm_activation(bias.to(DEVICE), x.to(DEVICE), y.to(DEVICE), use_gelu=use_gelu)
        torch.testing.assert_close(got.cpu(), want, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch._add_relu(x.to(DEVICE), x.to(DEVICE), alpha=-3).cpu(), (x - 3 * x).relu())


def test_normal_numbers_into_an_output() -> None:
    mean = torch.full((50_000,), 3.0, device=DEVICE)
    for arguments in ((mean, 0.5), (3.0, mean / 6), (mean, mean / 6)):
        out = torch.normal(*arguments, out=torch.empty(50_000, device=DEVICE))
        assert abs(out.mean().item() - 3) < 0.02 and abs(out.std().item() - 0.5) < 0.02
    assert torch.narrow_copy(mean, 0, 3, 5).shape == (5,) and mean.is_set_to(mean)


def test_shifts_in_place() -> None:
    for dtype in (torch.int64, torch.int8):
        x = torch.randint(1, 50, (4, 5), dtype=dtype)
        y = torch.randint(0, 6, (4, 5), dtype=dtype)
        device = x.to(DEVICE)
        device <<= y.to(DEVICE)
        assert torch.equal(device.cpu(), x << y)
        device >>= 2
        assert torch.equal(device.cpu(), (x << y) >> 2)
    overlapping = torch.ones(4, dtype=torch.int32, device=DEVICE)
    with pytest.raises(RuntimeError, match="unsupported operation"):
        overlapping[1:] <<= overlapping[:-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_gradients_of_prelu(dtype: torch.dtype) -> None:
    x, grad = torch.randn(4, 3, 5, dtype=dtype), torch.randn(4, 3, 5, dtype=dtype)
    x[0, 0] = 0
    gradients = []
    for place in ("cpu", DEVICE):
        leaf, weight = x.detach().to(place).requires_grad_(), torch.tensor([0.25, -1.0, 3.0], dtype=dtype).to(place)
        weight.requires_grad_()
        torch.nn.functional.prelu(leaf, weight).backward(grad.to(place))
        gradients.append([leaf.grad.cpu(), weight.grad.cpu()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_draws_at_the_edge() -> None:
    assert (torch.empty(5, device=DEVICE).exponential_(float("inf")) == 0).all()
    numbers = torch.rand(20_000, dtype=torch.complex64, device=DEVICE)
    for part in (numbers.real, numbers.imag):
        assert part.min().item() >= 0 and part.max().item() < 1 and abs(part.mean().item() - 0.5) < 0.02
    with pytest.raises(RuntimeError, match="Empty tensor not supported"):
        torch.ops.aten._local_scalar_dense(torch.empty(0, device=DEVICE))
