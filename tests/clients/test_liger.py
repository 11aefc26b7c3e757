"""Liger-Kernel, installed from its package and unmodified, on device tensors against float64 formulas on the CPU."""

import pytest
import torch
import torch.nn.functional as functional
from liger_kernel import ops
from torch import Tensor

DTYPES = [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)]


def normal(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got.detach().cpu().double() - wanted.detach()).norm() / wanted.detach().norm())


def on(device: torch.device, tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.to(device).requires_grad_() for tensor in tensors]


def in_float64(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.double().requires_grad_() for tensor in tensors]


def compare(got: list[Tensor], wanted: list[Tensor], bound: float) -> None:
    for index, (one, other) in enumerate(zip(got, wanted, strict=True)):
        assert relative_error(one, other) < bound, f"tensor {index}"


@pytest.mark.parametrize(("dtype", "bound"), DTYPES)
def test_rms_norm(device: torch.device, dtype: torch.dtype, bound: float) -> None:
    tensors = [normal(2, 9, 300, dtype=dtype), normal(300, dtype=dtype, seed=1)]
    gradient = normal(2, 9, 300, dtype=dtype, seed=2)
    inputs, reference = on(device, tensors), in_float64(tensors)
    out = ops.LigerRMSNormFunction.apply(*inputs, 1e-6, 0.0, "llama", False)
    wanted = functional.rms_norm(reference[0], (300,), reference[1], 1e-6)
    gradients = torch.autograd.grad(out, inputs, gradient.to(device))
    compare([out, *gradients], [wanted, *torch.autograd.grad(wanted, reference, gradient.double())], bound)


@pytest.mark.parametrize(("dtype", "bound"), DTYPES)
def test_rope(device: torch.device, dtype: torch.dtype, bound: float) -> None:
    length, width = 13, 16
    angles = torch.outer(torch.arange(length), 10000 ** (-torch.arange(0, width, 2) / width)).repeat(1, 2)
    cosine, sine = angles.cos().to(dtype)[None], angles.sin().to(dtype)[None]
    tensors = [normal(2, 4, length, width, dtype=dtype), normal(2, 2, length, width, dtype=dtype, seed=1)]
    gradients = [normal(*tensor.shape, dtype=dtype, seed=2 + index) for index, tensor in enumerate(tensors)]
    inputs, reference = on(device, tensors), in_float64(tensors)

    def rotate(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * cosine.double() + torch.cat((-second, first), -1) * sine.double()

    out = ops.LigerRopeFunction.apply(*(each * 1 for each in inputs), cosine.to(device), sine.to(device))
    wanted = [rotate(each) for each in reference]
    got = torch.autograd.grad(out, inputs, [each.to(device) for each in gradients])
    expected = torch.autograd.grad(wanted, reference, [each.double() for each in gradients])
    compare([*out, *got], [*wanted, *expected], bound)


@pytest.mark.parametrize(("dtype", "bound"), DTYPES)
def test_swiglu(device: torch.device, dtype: torch.dtype, bound: float) -> None:
    tensors = [normal(7, 300, dtype=dtype, seed=seed) for seed in range(2)]
    gradient = normal(7, 300, dtype=dtype, seed=2)
    inputs, reference = on(device, tensors), in_float64(tensors)
    out = ops.LigerSiLUMulFunction.apply(*inputs)
    wanted = functional.silu(reference[0]) * reference[1]
    gradients = torch.autograd.grad(out, inputs, gradient.to(device))
    compare([out, *gradients], [wanted, *torch.autograd.grad(wanted, reference, gradient.double())], bound)


@pytest.mark.parametrize(("dtype", "bound"), DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(device: torch.device, dtype: torch.dtype, bound: float, smoothing: float) -> None:
    from liger_kernel.transformers import LigerCrossEntropyLoss

    tensors = [normal(29, 1000, dtype=dtype)]
    targets = torch.randint(1000, (29,), generator=torch.Generator().manual_seed(1))
    targets[::7] = -100
    inputs, reference = on(device, tensors), in_float64(tensors)
    loss = LigerCrossEntropyLoss(label_smoothing=smoothing)(inputs[0] * 1, targets.to(device))
    wanted = functional.cross_entropy(reference[0], targets, label_smoothing=smoothing)
    gradients = torch.autograd.grad(loss, inputs)
    compare([loss, *gradients], [wanted, *torch.autograd.grad(wanted, reference)], bound)
