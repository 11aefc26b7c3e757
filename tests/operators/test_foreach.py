"""torch's _foreach_* operators: every overload against CPU torch, in how many launches, and what falls back."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.operators.comparison import DEVICE

UNARY = """
abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac log log10 log1p log2 neg round rsqrt sign sigmoid sin
sinh sqrt reciprocal tan tanh trunc lgamma
""".split()  # noqa: SIM905 - a list of words
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max", "pow"]
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
BOUNDS = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 8e-3, torch.float16: 1e-3}
SHAPES = ((3,), (), (40, 50), (9000,), (0,), (7, 1, 5), (8192,), (20_000,))
Call = Callable[..., Any]


def lists(dtype: torch.dtype, seed: int, count: int = 1, shapes: tuple[Any, ...] = SHAPES) -> list[list[torch.Tensor]]:
    """`count` lists of tensors in (0.1, 0.9), where all functions are defined."""
    generator = torch.Generator().manual_seed(seed)
    return [[(torch.rand(shape, generator=generator) * 0.8 + 0.1).to(dtype) for shape in shapes] for _ in range(count)]


def moved(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(DEVICE)
    if isinstance(value, list):
        return [moved(item) for item in value]
    return value


def widened(value: Any) -> Any:
    if isinstance(value, list):
        return [widened(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(torch.float64, copy=True) if value.is_floating_point() else value.clone()


def launches(call: Call, *arguments: Any, **options: Any) -> tuple[Any, int]:
    before = torch.mtia_sim.perf_counters()["launches"]
    result = call(*arguments, **options)
    return result, torch.mtia_sim.perf_counters()["launches"] - before


def check(name: str, *arguments: Any, expected_launches: int | None = 1, **options: Any) -> None:
    """Holds the functional and the in-place form to CPU torch's in float64, in the given number of launches."""
    dtype = next(item for item in arguments if isinstance(item, list))[0].dtype
    forms = [name] if name == "_foreach_norm" else [name, name + "_"]
    for form in forms:
        if not hasattr(torch, form):
            continue
        call = getattr(torch, form)
        copies = [[t.clone() for t in item] if isinstance(item, list) and isinstance(item[0], torch.Tensor) else item
                  for item in arguments]  # fmt: skip
        # The numbers of addcmul and addcdiv stay on the CPU.
        on_device = [item if isinstance(item, torch.Tensor) and item.dim() == 1 else moved(item) for item in copies]
        # CPU torch rounds some numbers to half precision first, which leaves nothing of a small difference.
        wide = [widened(item) for item in copies]
        try:
            expected = call(*copies, **options)
        except RuntimeError:
            with pytest.raises(RuntimeError):
                call(*on_device, **options)
            continue
        got, count = launches(call, *on_device, **options)
        exact = call(*wide, **options)
        if form.endswith("_"):
            expected, got, exact = copies[0], on_device[0], wide[0]
        assert expected_launches is None or count == expected_launches, f"{form}: {count} launches"
        for one, alike, other in zip(got, expected, exact, strict=True):
            assert one.dtype == alike.dtype and one.shape == alike.shape
            if other.numel() == 0:
                continue
            error = (one.cpu().double() - other.double()).norm() / other.double().norm().clamp_min(1e-30)
            assert error <= BOUNDS.get(dtype, 0.0), f"{form} {dtype}: off by {float(error):.3g}"


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    for dtype in DTYPES[: 4 if name in ("sqrt", "neg", "exp") else 1]:
        check(f"_foreach_{name}", *lists(dtype, 0))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_binary(name: str, dtype: torch.dtype) -> None:
    first, second = lists(dtype, 1, 2)
    numbers = [0.3 + 0.1 * i for i in range(len(SHAPES))]
    for other in (second, 1.7, 2, numbers):
        check(f"_foreach_{name}", first, other)
    if name in ("add", "mul", "div"):
        check(f"_foreach_{name}", first, torch.tensor(0.7, dtype=dtype))
    if name in ("add", "sub"):
        check(f"_foreach_{name}", first, second, alpha=0.3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ternary(dtype: torch.dtype) -> None:
    first, second, third = lists(dtype, 2, 3)
    numbers = [0.3 + 0.1 * i for i in range(len(SHAPES))]
    for name in ("_foreach_addcmul", "_foreach_addcdiv"):
        check(name, first, second, third, value=0.2)
        check(name, first, second, third, numbers)
        check(name, first, second, third, torch.tensor(numbers, dtype=dtype))
    check("_foreach_lerp", first, second, 0.9)
    check("_foreach_lerp", first, second, third)
    check("_foreach_lerp", first, second, numbers)


@pytest.mark.parametrize("order", [1, 2, math.inf])
@pytest.mark.parametrize("dtype", DTYPES[:3])
def test_norm(dtype: torch.dtype, order: float) -> None:
    shapes = tuple(shape for shape in SHAPES if shape != (0,))
    check("_foreach_norm", *lists(dtype, 3, shapes=shapes), order, expected_launches=2)


def test_norm_keeps_nan() -> None:
    tensors = [torch.ones(9000), torch.ones(5)]
    tensors[0][8500] = math.nan
    for order in (1, 2, math.inf):
        got = torch._foreach_norm(moved(tensors), order)
        assert math.isnan(got[0].item()) and not math.isnan(got[1].item())


def test_zero_and_copy() -> None:
    (tensors, others), (wide,) = lists(torch.bfloat16, 4, 2), lists(torch.float32, 5)
    on_device = moved(tensors)
    _, count = launches(torch._foreach_zero_, on_device)
    assert count == 1 and all(not tensor.cpu().any() for tensor in on_device)
    for source in (others, wide):
        _, count = launches(torch._foreach_copy_, on_device, moved(source))
        assert count == 1
        assert all(torch.equal(a.cpu(), b.to(torch.bfloat16)) for a, b in zip(on_device, source, strict=True))


def test_layouts() -> None:
    """Dense in any order goes in one launch where tuples agree; what does not goes tensor by tensor."""
    turned = [torch.rand(30, 20).t() for _ in range(3)]
    check("_foreach_mul", [t.clone() for t in turned], [t.clone() for t in turned])
    on_device = [moved(t.contiguous()).t().contiguous().t() for t in turned]
    got, count = launches(torch._foreach_mul, on_device, [moved(t) for t in turned])
    for one, wanted in zip(got, turned, strict=True):
        torch.testing.assert_close(one.cpu(), wanted * wanted)
    strided = [moved(torch.arange(40.0))[::2] for _ in range(2)]
    got, count = launches(torch._foreach_add, strided, 1.0)
    assert count == 2
    assert all(torch.equal(one.cpu(), torch.arange(40.0)[::2] + 1) for one in got)


def test_fallback() -> None:
    """Integers, mixed dtypes, and tensors that depend on one another: as torch's loop over the tensors has it."""
    integers = [torch.arange(5), torch.arange(7)]
    check("_foreach_add", integers, 3, expected_launches=None)
    check("_foreach_mul", [torch.ones(3), torch.ones(4, dtype=torch.float64)], 2.5, expected_launches=None)
    one = moved(torch.ones(10))
    torch._foreach_add_([one, one], 1.0)
    assert torch.equal(one.cpu(), torch.full((10,), 3.0))
    a, b = moved(torch.ones(10)), moved(torch.full((10,), 2.0))
    torch._foreach_add_([a, b], [b, a])
    assert torch.equal(a.cpu(), torch.full((10,), 3.0)) and torch.equal(b.cpu(), torch.full((10,), 5.0))
    with pytest.raises(RuntimeError):
        torch._foreach_add([a], [a, b])
    with pytest.raises(RuntimeError):
        torch._foreach_add([], 1.0)


def random_case(generator: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    dtype = generator.choice(DTYPES)
    count = generator.randint(1, 12)
    shapes = tuple(tuple(generator.randint(0, 60) for _ in range(generator.randint(0, 3))) for _ in range(count))
    first, second, third = lists(dtype, generator.randint(0, 1 << 30), 3, shapes)
    number = round(generator.uniform(0.1, 3), 3)
    numbers = [round(generator.uniform(0.1, 3), 3) for _ in range(count)]
    kind = generator.choice(("unary", "binary", "ternary", "lerp"))
    if kind == "unary":
        return f"_foreach_{generator.choice(UNARY)}", [first], {}
    if kind == "binary":
        return f"_foreach_{generator.choice(BINARY)}", [first, generator.choice((second, number, numbers))], {}
    if kind == "lerp":
        return "_foreach_lerp", [first, second, generator.choice((third, number, numbers))], {}
    name = generator.choice(("_foreach_addcmul", "_foreach_addcdiv"))
    return name, [first, second, third, generator.choice((number, numbers))], {}


@pytest.mark.parametrize("seed", range(4))
def test_sweep(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(10):
        name, arguments, options = random_case(generator)
        check(name, *arguments, expected_launches=None, **options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_long_sweep(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(25):
        name, arguments, options = random_case(generator)
        check(name, *arguments, expected_launches=None, **options)


def test_many_parameters_in_one_launch_each() -> None:
    """AdamW's fused step over 60 parameters, in two dtypes of them: a launch for each dtype and one for the steps."""
    for dtype, fused_launches in ((torch.float32, 1), (torch.bfloat16, 1)):
        generator = torch.Generator().manual_seed(0)
        host = [torch.randn(50 + 300 * i, generator=generator).to(dtype).double().requires_grad_() for i in range(60)]
        device = [tensor.detach().to(dtype).to(DEVICE).requires_grad_() for tensor in host]
        for one, other in zip(host, device, strict=True):
            one.grad = torch.randn(one.shape, generator=generator).to(dtype).double()
            other.grad = one.grad.to(dtype).to(DEVICE)
        options = {"lr": 0.01, "weight_decay": 0.1}
        wanted = torch.optim.AdamW(host, foreach=False, **options)
        got = torch.optim.AdamW(device, fused=True, **options)
        for _ in range(2):
            wanted.step()
            _, count = launches(got.step)
        assert count == fused_launches + 1
        for one, other in zip(host, device, strict=True):
            error = (other.detach().cpu().double() - one.detach()).norm() / one.detach().norm()
            assert error < 4 * BOUNDS[dtype]
