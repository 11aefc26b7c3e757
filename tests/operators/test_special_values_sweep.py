"""NaN, infinities, zeros of both signs and the smallest numbers in each operand of each row of the element-wise table,
against CPU torch in the same dtype: special results stand in the same places, the others are near."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch

from mtia_sim_kernels.triton.elementwise_table import elementwise_table
from tests.operators.comparison import BOUNDS, DEVICE

INF, NAN = float("inf"), float("nan")

# Numbers that arguments of these names take; two or more, so that each side of a threshold is met.
NUMBERS: dict[str, tuple[Any, ...]] = {
    "alpha": (1, 2),
    "beta": (1.0, 0.5),
    "threshold": (0.0, 20.0, -1.0),
    "value": (0.5, NAN),
    "negative_slope": (0.01, -0.5, 0.0),
    "min_val": (-1.0, 0.5),
    "max_val": (1.0,),
    "lambd": (0.5, 0.0),
    "delta": (1.0, 0.25),
    "scale": (1.0, 1.5),
    "input_scale": (1.0, 0.5),
    "other": (2.0, 0.0, INF, NAN, -0.5),
    "exponent": (2.0, 0.5, -1.0, 3.0, 0.0, INF, NAN, -0.5),
    "self": (2.0, 0.0, -1.0, NAN),
    "eps": (None, 0.1),
    "nan": (None, 1.0),
    "posinf": (None, 7.0),
    "neginf": (None, -7.0),
    "min": (-0.5, NAN, None),
    "max": (0.75, NAN),
    "weight": (0.25, 0.75, NAN),
    "is_result": (False, True),
    "reduction": (0, 1, 2),
    "approximate": ("none", "tanh"),
    "rounding_mode": (None, "trunc", "floor"),
    "decimals": (0, 2, -1),
    "self_is_result": (False,),
    "n": (0, 1, 3),
}

# What differs for a reason.
LEFT_OUT = {
    "log_sigmoid_backward": "the CPU reads a buffer of its forward pass, which the device has no use for",
    "masked_fill.Tensor": "takes a tensor without dimensions alone",
    "hardsigmoid_backward": "the CPU rounds 1/6 to float32 in float64 too",
    "_dirichlet_grad": "means something for 0 < x < 1 and 0 < alpha < total alone: tests/operators/test_dirichlet.py",
    "logit_backward": "of NaN the CPU makes NaN or 0, by its vector loops and its last elements",
}

# The CPU's own error in float64, against mpmath; its Bessel functions have ten digits.
DIGITS = {"polygamma": 1e-8, "igamma": 1e-8, "igammac": 1e-8, "special_airy_ai": 1e-5}


def specials(dtype: torch.dtype) -> list[float]:
    info = torch.finfo(dtype)
    return [
        0.0, -0.0, 1.0, -1.0, 0.5, -0.3, 2.5, -2.5, 3.0, -3.0, 25.0, -25.0, INF, -INF, NAN,
        info.max, info.min, info.tiny, -info.tiny, info.tiny / 8,
    ]  # fmt: skip


def overloads() -> list[str]:
    names = []
    for row in elementwise_table():
        for text in row.operators:
            name = text.split("[")[0]
            if name not in names:
                names.append(name)
    return names


def overload_of(name: str) -> Any:
    base, _, suffix = name.partition(".")
    return getattr(getattr(torch.ops.aten, base), suffix or "default")


def calls_of(name: str, dtype: torch.dtype, generator: random.Random) -> list[list[Any]]:
    """Arguments of an overload's calls: tensors of every combination of special values with every choice of numbers."""
    arguments = [argument for argument in overload_of(name)._schema.arguments if not argument.is_out]
    tensors = [a.name for a in arguments if "Tensor" in str(a.type)]
    values = specials(dtype)
    if len(tensors) > 2:
        values = [value for value in values if value in (0.0, 1.0, -2.5, INF) or value != value]
    # Repeated, so that the CPU computes all of them in its vector loops: the few at the end differ now and then.
    grid = torch.cartesian_prod(*[torch.tensor(values, dtype=dtype)] * len(tensors)).reshape(-1, len(tensors))
    grid = grid.repeat(64, 1)
    columns = {tensor: grid[:, i].contiguous() for i, tensor in enumerate(tensors)}
    choices = []
    for argument in arguments:
        if argument.name in columns:
            column = columns[argument.name]
            masks = argument.name in ("mask", "condition")
            choices.append((column > 0.25,) if masks else (column,))
            if name.startswith("binary_cross_entropy") and argument.name in ("self", "target") and "logits" not in name:
                choices[-1] = (column.nan_to_num(0.5, 1.0, 0.0).clamp(0, 1),)
        elif argument.name == "value" and "fill" in name and "Tensor" in str(argument.type):
            choices.append((torch.tensor(NAN, dtype=dtype),))
        else:
            choices.append(NUMBERS[argument.name])
    calls = [list(call) for call in itertools.product(*choices)]
    generator.shuffle(calls)
    return calls


def moved(value: Any) -> Any:
    return value.to(DEVICE) if isinstance(value, torch.Tensor) else value


def first(result: Any) -> torch.Tensor:
    return result[0] if isinstance(result, tuple) else result


def is_no_reference(name: str, call: list[Any], want: torch.Tensor) -> torch.Tensor:
    """Where the CPU's result is not the function's.

    Of what is not finite its polynomials return a variable that nothing was written to, and where they overflow they
    subtract infinities, as zeta and the incomplete gamma functions do for large operands. Of denormal numbers, whose
    inverse is infinite, its lower incomplete gamma function is 0 instead of 1. What is left of zeta's terms where those
    of negative numbers cancel the others is of the size of their rounding. The gradient of shrinking NaN is 0 in its
    vector loops, and passed on by its last elements.
    """
    operands = [v.expand(want.shape) for v in call if isinstance(v, torch.Tensor)]
    if name in ("softshrink_backward", "hardshrink_backward"):
        return operands[1].isnan()
    if "polynomial" in name:
        return ~torch.stack([*(operand.isfinite() for operand in operands), want.isfinite()]).all(0)
    if name == "igamma":
        denormal = (operands[0] > 0) & (operands[0] < torch.finfo(torch.float64).tiny)
        want = torch.where(denormal & (want == 0), NAN, want)
    if name == "special_zeta":
        largest = (operands[1] - operands[1].round()).abs() ** -operands[0]
        want = torch.where((operands[1] < 0) & (want.abs() < 1e-14 * largest), NAN, want)
    if name in ("special_zeta", "igamma", "igammac"):
        return want.isnan() & ~torch.stack([operand.isnan() for operand in operands]).any(0)
    return torch.zeros(want.shape, dtype=torch.bool)


def differences(name: str, got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Where a result is not the expected one."""
    if not want.is_floating_point():
        return got != want
    info = torch.finfo(want.dtype)
    bound = {torch.float64: DIGITS.get(name, 1e-10), torch.float32: 2e-5}.get(want.dtype, 2 * BOUNDS[want.dtype])
    # Polynomials oscillate about 0 with amplitudes of 1 and more.
    near = (got - want).abs() <= bound * want.abs() + info.eps * (100 if "polynomial" in name else 0.25)
    return ~((got == want) | near | (got.isnan() & want.isnan()))


def wrong_places(name: str, call: list[Any], got: torch.Tensor, want: torch.Tensor) -> torch.Tensor:
    """Where a result is neither the CPU's nor, where that overflows on its way, the CPU's in float64."""
    wrong = differences(name, got, want)
    if not wrong.any() or not want.is_floating_point():
        return wrong
    wide = [v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in call]
    exact = first(overload_of(name)(*wide)).to(want.dtype)
    return wrong & differences(name, got, exact) & ~is_no_reference(name, call, exact)


def check(name: str, dtype: torch.dtype, most: int, seed: int = 0) -> int:
    """Compares up to `most` calls of an overload; returns how many."""
    operator = overload_of(name)
    calls = calls_of(name, dtype, random.Random(seed))[:most]
    for call in calls:
        told = [value for value in call if not isinstance(value, torch.Tensor)]
        try:
            want = first(operator(*call))
        except Exception as refused:
            with pytest.raises(type(refused)):
                operator(*map(moved, call))
            continue
        got = first(operator(*map(moved, call))).cpu()
        assert got.dtype == want.dtype and got.shape == want.shape, (name, told)
        wrong = wrong_places(name, call, got, want)
        if wrong.any():
            place = wrong.flatten().nonzero()[0, 0] if wrong.dim() else 0
            inputs = (
                [v.flatten()[place].item() if v.numel() > 1 else v.item() for v in call if isinstance(v, torch.Tensor)]
                if wrong.dim()
                else []
            )
            raise AssertionError(
                f"{name}{tuple(told)} of {inputs} in {dtype}: {got.flatten()[place].item()} instead of "
                f"{want.flatten()[place].item()}, {int(wrong.sum())} of {wrong.numel()} differ"
            )
    return len(calls)


@pytest.mark.parametrize("name", [name for name in overloads() if name not in LEFT_OUT])
def test_special_values(name: str) -> None:
    if "bitwise" in name or "shift" in name or name in ("gcd", "lcm"):
        pytest.skip("takes integers alone")
    check(name, torch.float32, 3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [name for name in overloads() if name not in LEFT_OUT])
def test_special_values_of_every_dtype(name: str, dtype: torch.dtype) -> None:
    if "bitwise" in name or "shift" in name or name in ("gcd", "lcm"):
        pytest.skip("takes integers alone")
    if dtype == torch.float64 and name.startswith(("fmod", "remainder")):
        pytest.skip("the CPU subtracts a quotient that overflows, ours are exact; float32 is held against float64")
    check(name, dtype, 60)
