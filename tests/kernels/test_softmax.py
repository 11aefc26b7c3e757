"""Softmax and log-softmax, forward and backward, against float64 CPU torch."""

import pytest
import torch

from tests.kernels import harness

SHAPES = [(1, 1), (3, 7), (130, 67), (2, 5000), (1, 9001), (1, 4096), (3, 40001)]


def inner_form(x, dim):
    """The [outer, length, inner] form of a tensor that is contiguous but for nothing: its sizes and strides."""
    outer = x[(slice(None),) * dim].shape[:dim].numel()
    inner = x.shape[dim + 1 :].numel()
    return outer, x.shape[dim], inner


def strides_of(x, dim):
    outer = x.stride(dim - 1) if dim > 0 else 0
    inner = x.stride(x.dim() - 1) if dim < x.dim() - 1 else 0
    return outer, x.stride(dim), inner


def run(name, tensors, dim, chip):
    sizes = [*inner_form(tensors[0], dim)]
    for tensor in tensors:
        sizes += strides_of(tensor, dim)
    harness.execute(name, tensors, sizes, chip=chip)


def check(x, dim, log, chip, dtype):
    function = torch.log_softmax if log else torch.softmax
    prefix = "log_softmax" if log else "softmax"
    wide = x.double().requires_grad_()
    expected = function(wide, dim)
    grad = torch.randn(x.shape).to(dtype)
    (expected_grad,) = torch.autograd.grad(expected, wide, grad.double())
    out = harness.poisoned(x.shape, dtype)
    run(f"{prefix}_forward", [out, x.to(harness.DEVICE)], dim, chip)
    harness.assert_close(out, expected)
    if not torch.isfinite(expected_grad).all():
        return
    grad_x = harness.poisoned(x.shape, dtype)
    given = expected.detach().to(dtype).to(harness.DEVICE)
    run(f"{prefix}_backward", [grad_x, grad.to(harness.DEVICE), given], dim, chip)
    harness.assert_close(grad_x, expected_grad, 4 * harness.BOUNDS[dtype])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_rows(shape, dtype, log):
    check((torch.randn(shape) * 4).to(dtype), 1, log, "mtia300", dtype)


@pytest.mark.parametrize("chip", harness.CHIPS)
@pytest.mark.parametrize("shape", [(129, 300), (2, 4999), (2, 20001)])
def test_chips(shape, chip):
    check(torch.randn(shape), 1, False, chip, torch.float32)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dim", [0, 1])
def test_other_dimensions(dim, log):
    check(torch.randn(5, 33, 40) if dim == 1 else torch.randn(9, 40), dim, log, "mtia300", torch.float32)


def test_strided_rows():
    x = torch.randn(20, 64)
    for source in (x[:, ::2], x.t()):
        out = harness.poisoned(source.shape, torch.float32)
        on_device = x.to(harness.DEVICE)
        on_device = on_device[:, ::2] if source.shape[1] == 32 else on_device.t()
        run("softmax_forward", [out, on_device], 1, "mtia300")
        harness.assert_close(out, torch.softmax(source.double(), 1))


@pytest.mark.parametrize("length", [9, 5000])
def test_special_values(length):
    x = torch.randn(5, length)
    x[0, 3] = float("nan")
    x[1, :] = -float("inf")
    x[2, 2] = float("inf")
    x[3, :-1] = -float("inf")
    x[4] = 1e30
    out = harness.poisoned(x.shape, torch.float32)
    run("softmax_forward", [out, x.to(harness.DEVICE)], 1, "mtia300")
    harness.assert_close(out, torch.softmax(x.double(), 1))


def test_half_to_float():
    x = torch.randn(4, 50).half()
    out = harness.poisoned(x.shape, torch.float32)
    run("softmax_forward", [out, x.to(harness.DEVICE)], 1, "mtia300")
    harness.assert_close(out, torch.softmax(x.double(), 1))
