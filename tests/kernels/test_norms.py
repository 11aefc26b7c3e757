"""RMSNorm, LayerNorm and GroupNorm, forward and backward, against float64 CPU torch."""

import pytest
import torch
import torch.nn.functional as F

from tests.kernels import harness

SHAPES = [(1, 1), (3, 7), (130, 67), (2, 5001), (20, 1024)]


def on_device(*tensors):
    return [None if tensor is None else tensor.to(harness.DEVICE) for tensor in tensors]


def check_rms_norm(x, weight, chip="mtia300", eps=1e-5):
    rows, length = x.shape
    dtype = x.dtype
    wide = [x.double().requires_grad_(), *([weight.double().requires_grad_()] if weight is not None else [])]
    expected = F.rms_norm(wide[0], (length,), *wide[1:], eps=eps)
    grad = torch.randn(rows, length).to(dtype)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    out, rstd = harness.poisoned((rows, length), dtype), harness.poisoned((rows,), harness.opmath(dtype))
    x, weight, grad = on_device(x, weight, grad)
    harness.execute("rms_norm_forward", [out, rstd, x, weight], [rows, length, x.stride(0)], [eps], chip)
    harness.assert_close(out, expected, 2 * harness.BOUNDS[dtype])
    expected_rstd = (wide[0].detach().pow(2).mean(1) + eps).rsqrt()
    harness.assert_close(rstd, expected_rstd)
    grad_x = harness.poisoned((rows, length), dtype)
    grad_weight = None if weight is None else harness.poisoned((length,), dtype)
    sizes = [rows, length, x.stride(0), grad.stride(0)]
    harness.execute("rms_norm_backward", [grad_x, grad_weight, grad, x, rstd, weight], sizes, chip=chip)
    if length > 1:
        harness.assert_close(grad_x, expected_grads[0], 4 * harness.BOUNDS[dtype])
    if weight is not None:
        harness.assert_close(grad_weight, expected_grads[1], 4 * harness.BOUNDS[dtype])
    return out, grad_x, grad_weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_rms_norm(shape, dtype, weighted):
    x = torch.randn(shape).to(dtype)
    check_rms_norm(x, torch.randn(shape[1]).to(dtype) if weighted else None)


def test_rms_norm_is_the_same_on_every_chip():
    x, weight = torch.randn(150, 300), torch.randn(300)
    results = []
    for chip in harness.CHIPS:
        torch.manual_seed(3)
        results.append(check_rms_norm(x, weight, chip))
    for result in results[1:]:
        assert all(torch.equal(got.cpu(), want.cpu()) for got, want in zip(result, results[0], strict=True))


def test_rms_norm_strided_rows_and_one_gradient():
    whole = torch.randn(40, 200)
    out = harness.poisoned((40, 100), torch.float32)
    strided = whole.to(harness.DEVICE)[:, :100]
    harness.execute("rms_norm_forward", [out, None, strided, None], [40, 100, 200], [1e-5])
    harness.assert_close(out, F.rms_norm(whole[:, :100].double(), (100,), eps=1e-5))
    x, grad, rstd = torch.randn(20, 30), torch.randn(20, 30), torch.rand(20)
    grad_weight = harness.poisoned((30,), torch.float32)
    tensors = [None, grad_weight, *on_device(grad, x, rstd), None]
    harness.execute("rms_norm_backward", tensors, [20, 30, 30, 30])
    harness.assert_close(grad_weight, (grad * x * rstd[:, None]).double().sum(0))


def check_layer_norm(x, weight, bias, chip="mtia300", eps=1e-5):
    rows, length = x.shape
    dtype = x.dtype
    wide = [None if t is None else t.double().requires_grad_() for t in (x, weight, bias)]
    expected = F.layer_norm(wide[0], (length,), wide[1], wide[2], eps)
    grad = torch.randn(rows, length).to(dtype)
    expected_grads = torch.autograd.grad(expected, [t for t in wide if t is not None], grad.double())
    statistics = harness.opmath(dtype)
    out, mean, rstd = (harness.poisoned(s, d) for s, d in [((rows, length), dtype), *[((rows,), statistics)] * 2])
    x, weight, bias, grad = on_device(x, weight, bias, grad)
    sizes = [rows, length, x.stride(0)]
    harness.execute("layer_norm_forward", [out, mean, rstd, x, weight, bias], sizes, [eps], chip)
    harness.assert_close(out, expected, 2 * harness.BOUNDS[dtype])
    harness.assert_close(mean, wide[0].detach().mean(1), 4 * harness.BOUNDS[statistics])
    grads = [harness.poisoned((rows, length), dtype)]
    grads += [None if t is None else harness.poisoned((length,), dtype) for t in (weight, bias)]
    sizes = [rows, length, x.stride(0), grad.stride(0)]
    harness.execute("layer_norm_backward", [*grads, grad, x, mean, rstd, weight], sizes, chip=chip)
    got_grads = [t for t in grads if t is not None]
    for got, want in zip(got_grads, expected_grads, strict=True):
        if length > 1:
            harness.assert_close(got, want, 4 * harness.BOUNDS[dtype])
    return out, *got_grads


@pytest.mark.parametrize("affine", ["none", "weight", "both"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_layer_norm(shape, dtype, affine):
    x = (torch.randn(shape) + 1).to(dtype)
    weight = torch.randn(shape[1]).to(dtype) if affine != "none" else None
    bias = torch.randn(shape[1]).to(dtype) if affine == "both" else None
    check_layer_norm(x, weight, bias)


def test_layer_norm_is_the_same_on_every_chip():
    x, weight, bias = torch.randn(150, 300), torch.randn(300), torch.randn(300)
    results = []
    for chip in harness.CHIPS:
        torch.manual_seed(3)
        results.append(check_layer_norm(x, weight, bias, chip))
    for result in results[1:]:
        assert all(torch.equal(got.cpu(), want.cpu()) for got, want in zip(result, results[0], strict=True))


def test_layer_norm_of_far_mean():
    """The variance of values far from zero: two passes keep what one would cancel."""
    x = torch.randn(10, 500) + 1000
    check = torch.nn.functional.layer_norm(x.double(), (500,))
    out, mean, rstd = (harness.poisoned(shape, torch.float32) for shape in ((10, 500), (10,), (10,)))
    harness.execute("layer_norm_forward", [out, mean, rstd, *on_device(x), None, None], [10, 500, 500], [1e-5])
    harness.assert_close(out, check, 1e-4)


def check_group_norm(x, groups, weight, bias, chip="mtia300", eps=1e-5):
    batch, channels, positions = x.shape
    dtype = x.dtype
    wide = [None if t is None else t.double().requires_grad_() for t in (x, weight, bias)]
    expected = F.group_norm(wide[0], groups, wide[1], wide[2], eps)
    grad = torch.randn(x.shape).to(dtype)
    expected_grads = torch.autograd.grad(expected, [t for t in wide if t is not None], grad.double())
    statistics = harness.opmath(dtype)
    out, mean, rstd = (harness.poisoned(s, d) for s, d in [(x.shape, dtype), *[((batch, groups), statistics)] * 2])
    x, weight, bias, grad = on_device(x, weight, bias, grad)
    sizes = [batch, channels, positions, groups]
    harness.execute("group_norm_forward", [out, mean, rstd, x, weight, bias], sizes, [eps], chip)
    harness.assert_close(out, expected, 2 * harness.BOUNDS[dtype])
    grouped = wide[0].detach().reshape(batch, groups, -1)
    harness.assert_close(mean, grouped.mean(2), 4 * harness.BOUNDS[statistics])
    harness.assert_close(rstd, (grouped.var(2, correction=0) + eps).rsqrt(), 4 * harness.BOUNDS[statistics])
    grads = [harness.poisoned(tuple(x.shape), dtype)]
    grads += [None if t is None else harness.poisoned((channels,), dtype) for t in (weight, bias)]
    harness.execute("group_norm_backward", [*grads, grad, x, mean, rstd, weight], sizes, chip=chip)
    got_grads = [t for t in grads if t is not None]
    for got, want in zip(got_grads, expected_grads, strict=True):
        harness.assert_close(got, want, 4 * harness.BOUNDS[dtype])
    return out, *got_grads


@pytest.mark.parametrize("affine", ["none", "weight", "both"])
@pytest.mark.parametrize("shape", [(1, 2, 3, 1), (3, 6, 35, 3), (2, 10, 5001, 2), (5, 300, 1, 4), (40, 12, 64, 12)])
@pytest.mark.parametrize("dtype", [*harness.FLOAT_DTYPES, torch.float64])
def test_group_norm(shape, dtype, affine):
    *size, groups = shape
    x = (torch.randn(size) + 1).to(dtype)
    weight = torch.randn(shape[1]).to(dtype) if affine != "none" else None
    bias = torch.randn(shape[1]).to(dtype) if affine == "both" else None
    check_group_norm(x, groups, weight, bias)


def test_group_norm_is_the_same_on_every_chip():
    x, weight, bias = torch.randn(7, 60, 45), torch.randn(60), torch.randn(60)
    results = []
    for chip in harness.CHIPS:
        torch.manual_seed(3)
        results.append(check_group_norm(x, 5, weight, bias, chip))
    for result in results[1:]:
        assert all(torch.equal(got.cpu(), want.cpu()) for got, want in zip(result, results[0], strict=True))


def test_group_norm_of_far_mean():
    x = torch.randn(3, 8, 70) + 1000
    expected = F.group_norm(x.double(), 4)
    out, mean, rstd = (harness.poisoned(shape, torch.float32) for shape in (x.shape, (3, 4), (3, 4)))
    harness.execute("group_norm_forward", [out, mean, rstd, *on_device(x), None, None], [3, 8, 70, 4], [1e-5])
    harness.assert_close(out, expected, 1e-4)


def test_special_values():
    x = torch.randn(3, 40)
    x[0, 1] = float("nan")
    x[1] = 0.0
    out = harness.poisoned((3, 40), torch.float32)
    harness.execute("rms_norm_forward", [out, None, *on_device(x), None], [3, 40, 40], [1e-5])
    harness.assert_close(out, F.rms_norm(x.double(), (40,), eps=1e-5))
