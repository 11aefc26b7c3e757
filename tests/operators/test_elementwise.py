"""Element-wise operators: table rows, promotion, broadcasting, strides, out=, in-place, empty, NaN, errors."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches, compare, random_tensor

FLOATS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]

UNARY = [
    "abs",
    "neg",
    "sign",
    "exp",
    "exp2",
    "expm1",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "floor",
    "ceil",
    "round",
    "trunc",
    "frac",
    "sigmoid",
    "square",
    "relu",
    "isnan",
    "isinf",
    "isfinite",
    "signbit",
    "logical_not",
]

BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "atan2",
    "hypot",
    "copysign",
    "remainder",
    "fmod",
    "floor_divide",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "pow",
]


def domain(name: str) -> tuple[float, float]:
    """Where a function is defined and well conditioned."""
    positive = ("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "reciprocal", "pow")
    if name == "acosh":
        return 1.1, 3.0
    if name in ("asin", "acos", "atanh"):
        return -0.9, 0.9
    return (0.2, 3.0) if name in positive else (-1.4, 1.4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: torch.dtype) -> None:
    low, high = domain(name)
    compare(getattr(torch, name), random_tensor(7, 33, dtype=dtype, low=low, high=high))


@pytest.mark.parametrize("name", BINARY)
def test_binary_broadcast(name: str) -> None:
    low, high = domain(name)
    compare(getattr(torch, name), random_tensor(5, 1, 17, low=low, high=high), random_tensor(4, 1, low=0.3, high=high))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_dtypes(name: str, dtype: torch.dtype) -> None:
    compare(getattr(torch, name), random_tensor(3, 1025, dtype=dtype), random_tensor(3, 1025, dtype=dtype, low=0.5))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (torch.int32, torch.float32),
        (torch.int64, torch.bfloat16),
        (torch.bool, torch.int32),
        (torch.uint8, torch.int8),
        (torch.float16, torch.bfloat16),
        (torch.float32, torch.float64),
        (torch.bool, torch.bool),
    ],
)
def test_promotion_of_tensors(first: torch.dtype, second: torch.dtype) -> None:
    a, b = random_tensor(40, dtype=first, low=0), random_tensor(40, dtype=second, low=0)
    for function in (torch.add, torch.mul, torch.eq, torch.maximum):
        compare(function, a, b, bound=1.6e-2)


@pytest.mark.parametrize("number", [2, 2.5, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bfloat16, torch.uint8])
def test_promotion_of_numbers(dtype: torch.dtype, number: float) -> None:
    x = random_tensor(33, dtype=dtype, low=0)
    compare(lambda t: t + number, x)
    compare(lambda t: t * number, x)
    compare(lambda t: t / number, x)
    compare(lambda t: number < t, x)


def test_zero_dimensional_cpu_tensor_is_a_number() -> None:
    x = random_tensor(9)
    assert_matches(x.to(DEVICE) * torch.tensor(3.0, dtype=torch.float64), x * 3)
    assert_matches(torch.where(x.to(DEVICE) > 0, 1.0, 0.0), torch.where(x > 0, 1.0, 0.0))


@pytest.mark.parametrize(
    "view", [lambda t: t.t(), lambda t: t[::2, 1:], lambda t: t[:, ::3], lambda t: t.unsqueeze(1).expand(-1, 3, -1)]
)
def test_strides(view) -> None:  # type: ignore[no-untyped-def]
    x, y = random_tensor(10, 12), random_tensor(10, 12)
    compare(lambda a, b: view(a) + view(b), x, y)
    compare(lambda a, b: view(a) * view(b).contiguous(), x, y)


def test_seven_dimensions() -> None:
    x = random_tensor(2, 3, 2, 3, 2, 3, 2)
    compare(lambda t: t.permute(6, 4, 2, 0, 5, 3, 1) + t.permute(0, 4, 2, 6, 1, 3, 5), x)


def test_channels_last_stays() -> None:
    x = random_tensor(2, 5, 4, 3).to(memory_format=torch.channels_last)
    assert (x.to(DEVICE) + 1).is_contiguous(memory_format=torch.channels_last)


def test_in_place_and_out() -> None:
    x, y = random_tensor(6, 7), random_tensor(7)
    d = x.to(DEVICE)
    address = d.data_ptr()
    d.add_(y.to(DEVICE), alpha=2).mul_(3).clamp_(-4, 4)
    assert d.data_ptr() == address
    assert_matches(d, (x.double() + 2 * y.double()).mul(3).clamp(-4, 4))
    out = torch.empty(0, device=DEVICE)
    torch.sub(x.to(DEVICE), y.to(DEVICE), out=out)
    assert_matches(out, x - y)
    strided = torch.empty(7, 6, device=DEVICE).t()
    torch.exp(x.to(DEVICE), out=strided)
    assert_matches(strided, x.double().exp())
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.ones(3, dtype=torch.int32, device=DEVICE).add_(1.5)
    with pytest.raises(RuntimeError, match="output with shape"):
        torch.ones(3, device=DEVICE).add_(torch.ones(2, 3, device=DEVICE))
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(3, device=DEVICE) + torch.ones(3)
    base = torch.ones(10, device=DEVICE)
    with pytest.raises(RuntimeError, match="memory"):
        base[1:].add_(base[:-1])


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), ()])
def test_empty_and_scalar_shapes(shape: tuple[int, ...]) -> None:
    compare(lambda a, b: a * b + 1, random_tensor(*shape), random_tensor(*shape))


def test_nan_and_infinity() -> None:
    special = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0])
    a, b = special.repeat_interleave(6), special.repeat(6)
    for function in (torch.add, torch.mul, torch.maximum, torch.minimum, torch.fmax, torch.eq, torch.lt, torch.div):
        compare(function, a, b)
    for function in (torch.isnan, torch.isinf, torch.exp, torch.tanh, torch.sign, torch.sigmoid):
        compare(function, a)
    assert torch.equal(torch.nan_to_num(a.to(DEVICE)).cpu(), torch.nan_to_num(a))
    compare(lambda t: t.clamp(-1, 1), a)
    compare(lambda t: t.clamp(min=0), a)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_signs_of_zeros(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, -1.0, 2.0, float("nan")], dtype=dtype).repeat(32)
    calls = [F.relu, F.relu6, F.hardswish, lambda x: F.hardtanh(x, 0.0, 1.0), lambda x: x.clamp(-0.0, 1.0)]
    calls += [torch.neg, lambda x: x.clamp_min(0.0), lambda x: x.clamp_max(-0.0), lambda x: x.clamp(min=-x)]
    calls.append(lambda x: torch.xlogy(x, 2.0))
    for call in calls:
        got, expected = call(x.to(DEVICE)).cpu(), call(x)
        number = ~expected.isnan()
        assert torch.equal(got.isnan(), ~number)
        assert torch.equal(got[number], expected[number])
        assert torch.equal(got[number].signbit(), expected[number].signbit())


def test_shrinking_nan_passes_the_gradient_on() -> None:
    x = torch.tensor([float("nan"), -2.0, 0.25], device=DEVICE, requires_grad=True)
    for function in (F.softshrink, F.hardshrink):
        (gradient,) = torch.autograd.grad(function(x).sum(), x)
        assert gradient.tolist() == [1.0, 1.0, 0.0]


def test_ternary() -> None:
    a, b, c = random_tensor(4, 9), random_tensor(9), random_tensor(4, 1, low=0.5)
    compare(lambda x, y, z: torch.addcmul(x, y, z, value=0.5), a, b, c)
    compare(lambda x, y, z: torch.addcdiv(x, y, z, value=-2), a, b, c)
    compare(lambda x, y: torch.lerp(x, y, 0.3), a, b)
    compare(lambda x, y, z: torch.lerp(x, y, z), a, b, c)
    compare(lambda x, y: torch.where(x > 0, x, y), a, b)
    compare(lambda x: x.masked_fill(x > 0, -1e9), a)
    compare(lambda x: x.pow(2) + x.pow(3) + x.abs().pow(0.5) + 2**x, a)
    compare(lambda x: torch.div(x, 0.7, rounding_mode="floor") + torch.div(x, 0.7, rounding_mode="trunc"), a)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.uint8, torch.bool])
def test_integers(dtype: torch.dtype) -> None:
    a, b = random_tensor(50, dtype=dtype, low=-9, high=9), random_tensor(50, dtype=dtype, low=-9, high=9)
    for function in (torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor, torch.eq, torch.maximum):
        compare(function, a, b)
    compare(torch.bitwise_not, a)
    if dtype != torch.bool:
        compare(lambda x, y: torch.remainder(x, y + 20), a.abs(), b.abs())
        compare(lambda x, y: torch.floor_divide(x, 3) - x * y, a, b)


@pytest.mark.parametrize(
    "function",
    [
        F.silu, F.gelu, lambda t: F.gelu(t, approximate="tanh"), F.relu, F.sigmoid, F.tanh, F.softplus, F.elu,
        F.leaky_relu, F.logsigmoid, F.mish, F.hardswish, F.hardtanh,
        lambda t: t.exp() * t.cos(), lambda t: (t * t).rsqrt(),
    ],
)  # fmt: skip
def test_gradients(function) -> None:  # type: ignore[no-untyped-def]
    compare(function, random_tensor(5, 13), gradients=True)


def test_gradient_of_broadcast_is_summed() -> None:
    compare(lambda a, b: a * b / (b.abs() + 1), random_tensor(3, 4, 5), random_tensor(4, 1), gradients=True)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses(reduction: str) -> None:
    x, y = random_tensor(6, 7), random_tensor(6, 7)
    for function in (F.mse_loss, F.smooth_l1_loss, F.huber_loss, F.l1_loss):
        compare(function, x, y, reduction=reduction, gradients=True)
    target = random_tensor(6, 7, low=0.0, high=1.0)
    compare(F.binary_cross_entropy_with_logits, x, target, reduction=reduction)
    compare(
        lambda a: F.binary_cross_entropy(a.sigmoid(), target.to(a.device, a.dtype), reduction=reduction),
        x,
        gradients=True,
    )


@pytest.mark.parametrize("name", ["silu_backward", "mish_backward"])
def test_composites_with_a_gradient_of_their_own_are_one_kernel(name: str) -> None:
    """ATen could put them together from others, with a rounding after each."""
    function = getattr(torch.ops.aten, name)
    gradient, x = random_tensor(5, 201, dtype=torch.bfloat16), random_tensor(5, 201, dtype=torch.bfloat16)
    on_device = [gradient.to(DEVICE), x.to(DEVICE)]
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    got = function(*on_device)
    torch.mtia_sim.synchronize()
    assert torch.mtia_sim.perf_counters()["launches"] == 1
    wanted = function(gradient.double(), x.double())
    assert (got.cpu().double() - wanted).norm() < 2e-3 * wanted.norm()
    forward = getattr(F, name.removesuffix("_backward"))
    second = []
    for t in (x.double(), x.float().to(DEVICE)):
        t.requires_grad_()
        (first,) = torch.autograd.grad(forward(t).square().sum(), t, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), t)[0])
    assert_matches(second[1], second[0], 1e-5)
