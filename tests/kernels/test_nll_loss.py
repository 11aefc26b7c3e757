"""nll_loss forward and backward against CPU torch."""

import pytest
import torch
import torch.nn.functional as F

from tests.kernels import harness

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def check(rows, classes, dtype, reduction, weighted=False, ignore=-100, target=None, x=None):
    x = torch.randn(rows, classes).log_softmax(1).to(dtype) if x is None else x
    target = torch.randint(0, classes, (rows,)) if target is None else target
    weight = (torch.rand(classes) + 0.1).to(dtype) if weighted else None
    wide = x.double().requires_grad_()
    wide_weight = None if weight is None else weight.double()
    expected = F.nll_loss(wide, target, wide_weight, ignore_index=ignore, reduction=reduction)
    grad = torch.randn(expected.shape).to(dtype)
    (expected_grad,) = torch.autograd.grad(expected, wide, grad.double())
    out, total = harness.poisoned(expected.shape, dtype), harness.poisoned((), dtype)
    device = harness.DEVICE
    x, target, grad = x.to(device), target.to(device), grad.to(device)
    weight = None if weight is None else weight.to(device)
    sizes = [rows, classes, *x.stride(), REDUCTIONS[reduction]]
    harness.execute("nll_loss_forward", [out, total, x, target, weight], sizes, [ignore])
    harness.assert_close(out, expected, 3 * harness.BOUNDS[dtype])
    grad_x = harness.poisoned((rows, classes), dtype)
    sizes = [rows, classes, grad.stride(0) if grad.dim() else 0, REDUCTIONS[reduction]]
    harness.execute("nll_loss_backward", [grad_x, grad, target, weight, total], sizes, [ignore])
    harness.assert_close(grad_x, expected_grad, 3 * harness.BOUNDS[dtype])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_small(dtype, reduction, weighted):
    target = torch.randint(0, 13, (37,))
    target[::5] = 3
    check(37, 13, dtype, reduction, weighted, 3, target)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_several_blocks(reduction):
    check(2500, 5, torch.float32, reduction, True)


def test_one_row_and_many_classes():
    check(1, 1, torch.float32, "mean")
    check(2, 9001, torch.float32, "mean", True)


def test_strided_input():
    x, target = torch.randn(20, 9), torch.randint(0, 20, (9,))
    out, total = harness.poisoned((), torch.float32), harness.poisoned((), torch.float32)
    tensors = [out, total, x.to(harness.DEVICE).t(), target.to(harness.DEVICE), None]
    harness.execute("nll_loss_forward", tensors, [9, 20, 1, 9, 1], [-100])
    harness.assert_close(out, F.nll_loss(x.t().double(), target))


def test_all_ignored():
    check(6, 4, torch.float32, "sum", target=torch.full((6,), -100))
    out, total = harness.poisoned((), torch.float32), harness.poisoned((), torch.float32)
    x = torch.randn(6, 4).to(harness.DEVICE)
    target = torch.full((6,), -100).to(harness.DEVICE)
    harness.execute("nll_loss_forward", [out, total, x, target, None], [6, 4, 4, 1, 1], [-100])
    assert torch.isnan(out.cpu())
    assert total.cpu() == 0
