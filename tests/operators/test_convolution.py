"""Convolutions, transposed ones too, with their gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_rounded_once, compare, random_tensor

CASES: list[tuple[tuple[int, ...], int, dict[str, Any]]] = [
    ((2, 3, 11), 4, {"kernel": (3,)}),
    ((2, 3, 9, 7), 5, {"kernel": (1, 1)}),
    ((3, 4, 9, 7), 6, {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 2)}),
    ((1, 6, 10, 12), 9, {"kernel": (3, 3), "dilation": (2, 3), "padding": 2, "groups": 3}),
    ((2, 4, 5, 6, 7), 2, {"kernel": (2, 3, 2), "stride": 2, "padding": 1}),
]


@pytest.mark.parametrize(("shape", "channels", "options"), CASES)
@pytest.mark.parametrize("transposed", [False, True], ids=["forward", "transposed"])
def test_convolution(shape: tuple[int, ...], channels: int, options: dict[str, Any], transposed: bool) -> None:
    more = dict(options)
    kernel, groups = more.pop("kernel"), more.get("groups", 1)
    name = f"conv{'_transpose' if transposed else ''}{len(kernel)}d"
    shapes = (shape[1], channels // groups) if transposed else (channels, shape[1] // groups)
    weight, bias = random_tensor(*shapes, *kernel), random_tensor(channels)
    if transposed and more.get("stride", 1) != 1:
        stride = more["stride"]
        more["output_padding"] = int(stride > 1) if isinstance(stride, int) else tuple(int(each > 1) for each in stride)
    compare(lambda x, w, b: getattr(F, name)(x, w, b, **more), random_tensor(*shape), weight, bias, gradients=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes_without_bias_and_a_strided_input(dtype: torch.dtype) -> None:
    weight = random_tensor(4, 3, 3, 3, dtype=dtype)
    x = random_tensor(8, 7, 3, 2, dtype=dtype)
    compare(lambda t, w: F.conv2d(t.permute(3, 2, 0, 1), w, padding=1), x, weight, gradients=True)


ROUNDED_ONCE: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 7, 301), (11, 7, 5), {"padding": 2}),
    ((2, 5, 37, 41), (9, 5, 1, 1), {}),
    ((2, 6, 37, 29), (9, 2, 3, 5), {"padding": (1, 2), "dilation": (2, 1), "groups": 3}),
    ((2, 13, 37, 29), (13, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 13}),
    ((2, 3, 11, 13, 9), (5, 3, 3, 2, 3), {"padding": 1}),
]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("shape", "weight_shape", "options"), ROUNDED_ONCE)
@pytest.mark.parametrize("transposed", [False, True], ids=["forward", "transposed"])
def test_halves_are_rounded_once(
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    options: dict[str, Any],
    transposed: bool,
    dtype: torch.dtype,
) -> None:
    """The bias, and the windows that overlap in a gradient or a transposed convolution, are added before."""
    name = f"conv{'_transpose' if transposed else ''}{len(shape) - 2}d"
    groups = options.get("groups", 1)
    x = random_tensor(shape[0], weight_shape[0] if transposed else shape[1], *shape[2:], dtype=dtype)
    weight = random_tensor(*weight_shape, dtype=dtype)
    bias = random_tensor(weight_shape[1] * groups if transposed else weight_shape[0], dtype=dtype)
    grad = random_tensor(*getattr(F, name)(x, weight, bias, **options).shape, dtype=dtype)

    def run(*operands: torch.Tensor) -> list[torch.Tensor]:
        leaves = [operand.requires_grad_() for operand in operands[:3]]
        result = getattr(F, name)(*leaves, **options)
        return [result, *torch.autograd.grad(result, leaves, operands[3])]

    got = run(*(t.to(DEVICE) for t in (x, weight, bias, grad)))
    for one, exact in zip(got, run(*(t.double() for t in (x, weight, bias, grad))), strict=True):
        assert_rounded_once(one, exact)


def test_results_are_contiguous() -> None:
    x = random_tensor(3, 6, 5, 5).to("mtia_sim").requires_grad_()
    out = F.conv2d(x, random_tensor(4, 6, 3, 3).to("mtia_sim"))
    assert out.is_contiguous()
    out.view(-1).sum().backward()
    assert x.grad is not None and x.grad.is_contiguous()
