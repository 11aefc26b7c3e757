"""Rotary embedding, SwiGLU and logsumexp against float64 CPU torch."""

import pytest
import torch
import torch.nn.functional as F

from tests.kernels import harness


def rotated(x, cosine, sine, interleaved):
    if interleaved:
        first, second = x[..., ::2], x[..., 1::2]
        turned = torch.stack((-second, first), -1).flatten(-2)
        return x * cosine.repeat_interleave(2, -1) + turned * sine.repeat_interleave(2, -1)
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), -1)
    if cosine.shape[-1] == half:
        cosine, sine = torch.cat((cosine, cosine), -1), torch.cat((sine, sine), -1)
    return x * cosine + turned * sine


@pytest.mark.parametrize("form", ["half", "whole", "interleaved"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 3, 70, 64), (1, 2, 33, 80)])
@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_rotary(shape, dtype, form):
    batch, heads, length, size = shape
    x = torch.randn(batch, length, heads, size).to(dtype).transpose(1, 2)
    width = size if form == "whole" else size // 2
    cosine, sine = torch.randn(length, width), torch.randn(length, width)
    wide = x.double().requires_grad_()
    expected = rotated(wide, cosine.double(), sine.double(), form == "interleaved")
    grad = torch.randn(shape).to(dtype)
    (expected_grad,) = torch.autograd.grad(expected, wide, grad.double())
    x, grad, cosine, sine = (t.to(harness.DEVICE) for t in (x, grad, cosine, sine))
    for name, source, want in (("forward", x, expected), ("backward", grad, expected_grad)):
        out = harness.poisoned(shape, dtype)
        sizes = [*shape, form == "interleaved", width, *source.stride()[:3], *out.stride()[:3], 0, width]
        harness.execute(f"rotary_{name}", [out, source, cosine, sine], sizes)
        harness.assert_close(out, want)


@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (40, 700)])
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_swiglu(shape, dtype):
    rows, columns = shape
    both = torch.randn(rows, 2 * columns).to(dtype)
    wide = both.double().requires_grad_()
    expected = F.silu(wide[:, :columns]) * wide[:, columns:]
    grad = torch.randn(shape).to(dtype)
    (expected_grad,) = torch.autograd.grad(expected, wide, grad.double())
    both, grad = both.to(harness.DEVICE), grad.to(harness.DEVICE)
    gate, up = both[:, :columns], both[:, columns:]
    out = harness.poisoned(shape, dtype)
    harness.execute("swiglu_forward", [out, gate, up], [rows, columns, 2 * columns, 2 * columns])
    harness.assert_close(out, expected)
    grads = harness.poisoned(both.shape, dtype)
    tensors = [grads[:, :columns], grads[:, columns:], grad, gate, up]
    harness.execute("swiglu_backward", tensors, [rows, columns, columns, *[2 * columns] * 4])
    harness.assert_close(grads, expected_grad)


@pytest.mark.parametrize(("shape", "dim"), [((1, 1), 1), ((5, 70), 1), ((2, 5000), 1), ((4, 30, 9), 1)])
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_logsumexp(shape, dim, dtype):
    x = (torch.randn(shape) * 9).to(dtype)
    outer, inner = x.shape[:dim].numel(), x.shape[dim + 1 :].numel()
    expected = x.double().logsumexp(dim)
    out = harness.poisoned(expected.shape, dtype)
    sizes = [outer, x.shape[dim], inner, x.stride(dim - 1), x.stride(dim), x.stride(-1) if inner > 1 else 0]
    harness.execute("logsumexp", [out, x.to(harness.DEVICE)], sizes)
    harness.assert_close(out, expected)


def test_logsumexp_of_special_values():
    x = torch.randn(5, 40)
    x[0, 3] = float("nan")
    x[1] = -float("inf")
    x[2, 2] = float("inf")
    x[3, 1:] = -float("inf")
    out = harness.poisoned((5,), torch.float32)
    harness.execute("logsumexp", [out, x.to(harness.DEVICE)], [5, 40, 1, 40, 1, 0])
    harness.assert_close(out, x.double().logsumexp(1))
