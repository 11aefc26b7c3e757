"""Runs one function on mtia_sim and on the CPU in higher precision; compares results, dtypes, shapes and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = "mtia_sim"

#: Relative norms that a result may be off by.
BOUNDS = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def random_tensor(
    *shape: int, dtype: torch.dtype = torch.float32, low: float = -3.0, high: float = 3.0
) -> torch.Tensor:
    """Uniform numbers in [low, high), integers and bool included."""
    if dtype == torch.bool:
        return torch.rand(shape) < 0.5
    if dtype.is_floating_point:
        return (torch.rand(shape, dtype=torch.float64) * (high - low) + low).to(dtype)
    lowest = max(low, 0) if dtype == torch.uint8 else low
    return torch.randint(int(lowest), int(high) + 1, shape).to(dtype)


def wide(value: Any) -> Any:
    """A floating CPU tensor in float64; anything else as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().double()
    return value


def on_device(value: Any) -> Any:
    """The tensor on the device with the same strides."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_contiguous():
        return value.detach().to(DEVICE)
    moved = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device=DEVICE)
    return moved.copy_(value.detach())


def assert_matches(got: torch.Tensor, expected: torch.Tensor, bound: float | None = None) -> None:
    """Floats by relative norm with NaN and infinities in the same places, others exactly; `expected` may be wider."""
    assert got.shape == expected.shape, f"shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    actual = got.detach().cpu()
    if not actual.is_floating_point():
        assert torch.equal(actual, expected.to(actual.dtype)), f"{actual} is not {expected}"
        return
    limit = BOUNDS[actual.dtype] if bound is None else bound
    a, e = (
        actual.double(),
        expected.detach().to(actual.dtype if actual.dtype != torch.float32 else torch.float64).double(),
    )
    assert torch.equal(a.isnan(), e.isnan()), "NaN in other places"
    infinite = e.isinf()
    assert torch.equal(a[infinite], e[infinite]), "infinities in other places"
    finite = e.isfinite()
    a, e = a[finite], e[finite]
    norm = float(e.norm())
    error = float((a - e).norm()) / (norm if norm > 0 else 1.0)
    assert error <= limit, f"relative error {error:.3g}, bound {limit:.3g}"


def assert_rounded_once(got: torch.Tensor, exact: torch.Tensor) -> None:
    """The error is that of rounding the float64 numbers `exact` to the result's dtype; another rounding adds 40 %."""
    exact = exact.detach()
    best = float((exact.to(got.dtype).double() - exact).norm())
    error = float((got.detach().cpu().double() - exact).norm())
    assert error <= 1.05 * best, f"error {error:.4g}, of one rounding {best:.4g}"


def compare(
    function: Callable[..., Any], *arguments: Any, bound: float | None = None, gradients: bool = False, **keywords: Any
) -> Any:
    """function(*arguments) on the device against the CPU: values from float64, dtypes from the arguments' own dtypes.

    With `gradients` a weighted sum of the floating results is differentiated with respect to floating arguments.
    Returns the device's result.
    """
    device_arguments = tree_map(on_device, list(arguments))
    wide_arguments = tree_map(wide, list(arguments))
    own = function(*arguments, **keywords)
    if gradients:
        for tensor in (t for t in tree_flatten([device_arguments, wide_arguments])[0] if is_differentiable(t)):
            tensor.requires_grad_()
    got = function(*device_arguments, **keywords)
    expected = function(*wide_arguments, **keywords)
    for g, e, o in zip(tree_flatten(got)[0], tree_flatten(expected)[0], tree_flatten(own)[0], strict=True):
        if not isinstance(g, torch.Tensor):
            assert g == e
            continue
        assert g.device.type == DEVICE, f"the result is on {g.device}"
        assert g.dtype == o.dtype, f"dtype {g.dtype}, the CPU gives {o.dtype}"
        assert_matches(g, e, bound)
    if gradients:
        compare_gradients(got, expected, device_arguments, wide_arguments, bound)
    return got


def compare_gradients(got: Any, expected: Any, device_arguments: Any, wide_arguments: Any, bound: float | None) -> None:
    for g, e in zip(tree_flatten(got)[0], tree_flatten(expected)[0], strict=True):
        if is_differentiable(g) and g.requires_grad:
            weight = random_tensor(*e.shape, dtype=torch.float64, low=0.5, high=1.5)
            (g * weight.to(g.dtype).to(DEVICE)).sum().backward(retain_graph=True)
            (e * weight.to(g.dtype).double()).sum().backward(retain_graph=True)
    for d, w in zip(tree_flatten(device_arguments)[0], tree_flatten(wide_arguments)[0], strict=True):
        if is_differentiable(d):
            assert (d.grad is None) == (w.grad is None)
            if d.grad is not None:
                assert_matches(d.grad, w.grad, bound)


def is_differentiable(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()
