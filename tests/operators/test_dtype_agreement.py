"""Result dtypes and refusals of the element-wise operators are CPU torch's, over all dtypes and forms."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.operators.comparison import DEVICE
from tests.operators.dtype_cases import Case, cases

# Bounds of values by the narrowest floating dtype of a call: the CPU rounds to it in between, the device need not.
TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 6e-2, torch.float32: 1e-4, torch.float64: 1e-6}


def outcome(case: Case, arguments: list[object], keywords: dict[str, object]) -> torch.Tensor | Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = case.function(*arguments, **keywords)
        except Exception as error:
            return error
    return result[0] if isinstance(result, tuple) else result


def on_cpu(case: Case) -> torch.Tensor | Exception:
    return outcome(case, *case.moved(torch.clone))


def check_types(case: Case) -> bool:
    """Compares dtype or refusal with the CPU's; operands with a dimension are empty on the device, so nothing runs."""
    if all(tensor.dim() == 0 for tensor in case.tensors()):
        return False
    expected = on_cpu(case)
    if isinstance(expected, Exception) and "ZeroDivisionError" in str(expected):
        return False  # of the values, not of the dtypes
    got = outcome(case, *case.moved(lambda t: (t[:0] if t.dim() else t).to(DEVICE)))
    if isinstance(got, Exception) != isinstance(expected, Exception):  # of none there is no mean, say
        expected = outcome(case, *case.moved(lambda t: (t[:0] if t.dim() else t).clone()))
    if isinstance(expected, Exception):
        assert type(got) is type(expected), f"{case}: {got!r}, the CPU says {expected!r}"
        # Of an output that is too flat torch's own checks speak, which know no operator.
        if not any(text in str(error) for error in (got, expected) for text in ("output with shape", "Promotion for")):
            assert case.function._schema.name in str(got), f"{case}: {got} names no operator"
    else:
        assert not isinstance(got, Exception), f"{case}: {got!r}, the CPU gives {expected.dtype}"
        assert got.dtype == expected.dtype, f"{case}: {got.dtype}, the CPU gives {expected.dtype}"
    return True


def check_values(case: Case) -> bool:
    expected = on_cpu(case)
    if isinstance(expected, Exception):
        return False
    got = outcome(case, *case.moved(lambda t: t.to(DEVICE)))
    assert not isinstance(got, Exception), f"{case}: {got!r}"
    assert got.dtype == expected.dtype
    floats = [t.dtype for t in [*case.tensors(), expected] if t.dtype in TOLERANCE]
    tolerance = max((TOLERANCE[dtype] for dtype in floats), default=1e-4)
    if not expected.is_floating_point():
        assert torch.equal(got.cpu(), expected), f"{case}: {got.tolist()}, the CPU gives {expected.tolist()}"
        return True
    # Where a call mixes dtypes the CPU computes in the promoted one.
    torch.testing.assert_close(
        got.cpu().double(),
        expected.double(),
        rtol=tolerance,
        atol=tolerance,
        equal_nan=True,
        msg=lambda m: f"{case}: {m}",
    )
    return True


def test_dtypes_and_refusals() -> None:
    assert sum(check_types(case) for case in cases(draws=12, seed=1)) > 1500


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_dtypes_and_refusals_at_length(seed: int) -> None:
    assert sum(check_types(case) for case in cases(draws=60, seed=100 + seed)) > 8000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_values(seed: int) -> None:
    """Every call compiles a kernel of its own, about 0.2 s each."""
    # log_sigmoid_backward: the CPU reads a buffer of its forward pass, which the device has no use for.
    drawn = (case for case in cases(draws=3, seed=200 + seed) if "log_sigmoid_backward" not in case.name)
    assert sum(check_values(case) for case in drawn) > 150


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_integers_are_rounded_to_themselves(dtype: torch.dtype) -> None:
    x = torch.tensor([0, 1, 7, 100], dtype=dtype)
    for name in ("floor", "ceil", "round", "trunc"):
        assert torch.equal(getattr(x.to(DEVICE), name)().cpu(), getattr(x, name)())
    with pytest.raises(NotImplementedError, match="not implemented for"):
        x.to(DEVICE).round(decimals=1)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5)])
def test_integer_powers(shape: tuple[int, ...]) -> None:
    base = torch.randint(-3, 4, shape)
    exponent = torch.randint(0, 6, shape)
    for x, y in ((base, exponent), (base.expand(2, *shape), exponent), (base, torch.tensor(3)), (base, -exponent)):
        assert torch.equal((x.to(DEVICE) ** y.to(DEVICE)).cpu(), x**y)
    with pytest.raises(RuntimeError, match="negative integer powers"):
        base.to(DEVICE) ** -1


def test_weighted_sum_of_cross_entropy_in_a_given_output() -> None:
    x, target, weight = torch.rand(5), torch.rand(5), torch.rand(5)
    want = torch.ops.aten.binary_cross_entropy.out(x, target, weight, 2, out=torch.empty(5))
    operands = (tensor.to(DEVICE) for tensor in (x, target, weight))
    got = torch.ops.aten.binary_cross_entropy.out(*operands, 2, out=torch.full((5,), torch.nan, device=DEVICE))
    torch.testing.assert_close(got.cpu(), want)


def test_smooth_l1_of_bytes_knows_which_is_less() -> None:
    x, y = torch.tensor([[3, 9, 1, 7, 0], [3, 1, 4, 8, 200]], dtype=torch.uint8)
    grad = torch.tensor(5, dtype=torch.uint8)
    want = torch.ops.aten.smooth_l1_loss_backward(grad, x, y, 2, 1.0)
    got = torch.ops.aten.smooth_l1_loss_backward(grad.to(DEVICE), x.to(DEVICE), y.to(DEVICE), 2, 1.0)
    assert torch.equal(got.cpu(), want)


def test_smooth_l1_of_equal_integers_has_no_slope() -> None:
    grad, x, y = (
        torch.tensor(row, dtype=torch.int32) for row in ([-1, -5, -3, 1, 2], [3, 4, 2, 9, 8], [1, 3, 2, 4, 0])
    )
    want = torch.ops.aten.smooth_l1_loss_backward(grad, x, y, 0, 0.5)
    got = torch.ops.aten.smooth_l1_loss_backward(grad.to(DEVICE), x.to(DEVICE), y.to(DEVICE), 0, 0.5)
    assert torch.equal(got.cpu(), want)


def test_a_bool_squared_is_an_integer() -> None:
    for exponent in (2, 3):
        result = torch.tensor([True, False], device=DEVICE) ** exponent
        assert result.dtype == torch.int64 and result.tolist() == [1, 0]


@pytest.mark.parametrize("decimals", [-2, -1, 0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_to_decimals(decimals: int, dtype: torch.dtype) -> None:
    x = torch.randn(257, dtype=dtype) * 300
    assert torch.equal(x.to(DEVICE).round(decimals=decimals).cpu(), x.round(decimals=decimals))


@pytest.mark.parametrize("number", [300, -300, 70000, 3e9, 1e39, float("inf")])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.float16])
def test_numbers_that_do_not_fit(number: float, dtype: torch.dtype) -> None:
    calls = [
        lambda x: torch.full_like(x, number),
        lambda x: x.clone().fill_(number),
        lambda x: x.masked_fill(x == 0, number),
        lambda x: x.masked_fill(x == 0, torch.tensor(number)),
        lambda x: x.clamp(max=number),
        lambda x: x == number,
        lambda x: torch.nn.functional.pad(x, (1, 1), value=number),
    ]
    for call in calls:
        x = torch.zeros(3, dtype=dtype)
        try:
            expected = call(x)
        except RuntimeError as error:
            with pytest.raises(type(error), match="overflow" if "overflow" in str(error) else None):
                call(x.to(DEVICE))
        else:
            assert torch.equal(call(x.to(DEVICE)).cpu(), expected)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_are_not_finite(number: float) -> None:
    """What an operator says of an ordinary number of the dtype, asked first, does not stand for these."""
    calls = [
        lambda x, n: torch.nn.functional.softshrink(x, n),
        lambda x, n: torch.nn.functional.hardshrink(x, n),
        lambda x, n: x.masked_fill(x == 0, n),
        lambda x, n: x.clamp(max=n),
        lambda x, n: x == n,
    ]
    for call in calls:
        for dtype in (torch.float32, torch.float64, torch.int32):
            x = torch.tensor([0.0, 1.0, -2.0]).to(dtype)
            for n in (0.5, number):
                try:
                    expected = call(x, n)
                except (RuntimeError, NotImplementedError) as error:
                    with pytest.raises(type(error)):
                        call(x.to(DEVICE), n)
                else:
                    torch.testing.assert_close(call(x.to(DEVICE), n).cpu(), expected, equal_nan=True)


@pytest.mark.parametrize("source", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_floats_become_unsigned_over_their_whole_range(source: torch.dtype) -> None:
    for bits, target in ((8, torch.uint8), (16, torch.uint16), (32, torch.uint32), (64, torch.uint64)):
        top = min(2.0**bits, torch.finfo(source).max) * (1 - 2.0**-7)
        x = torch.cat([torch.rand(4099, dtype=torch.float64) * top, torch.arange(-130.0, 130.0).double()]).to(source)
        x = x[x.double() < 2.0**bits]
        for view in (x, x.view(1, -1).expand(3, -1), x[: 40 * 40].view(40, 40).t()):
            got = view.to(DEVICE).to(target).contiguous().cpu()
            assert torch.equal(got.view(torch.uint8), view.to(target).contiguous().view(torch.uint8))


RANDOM = {
    "normal_": lambda x, g: x.normal_(generator=g),
    "uniform_": lambda x, g: x.uniform_(generator=g),
    "exponential_": lambda x, g: x.exponential_(generator=g),
    "log_normal_": lambda x, g: x.log_normal_(generator=g),
    "cauchy_": lambda x, g: x.cauchy_(generator=g),
    "geometric_": lambda x, g: x.geometric_(0.5, generator=g),
    "bernoulli_": lambda x, g: x.bernoulli_(0.5, generator=g),
    "bernoulli_.Tensor": lambda x, g: x.bernoulli_(torch.full_like(x, 0.5), generator=g),
    "bernoulli": lambda x, g: torch.bernoulli(x, generator=g),
    "bernoulli.out": lambda x, g: torch.bernoulli(x.clone(), generator=g, out=x),
    "random_": lambda x, g: x.random_(generator=g),
    "random_.from": lambda x, g: x.random_(1, 5, generator=g),
    "random_.to": lambda x, g: x.random_(5, generator=g),
    "normal": lambda x, g: torch.normal(x, 1.0, generator=g),
    "normal.out": lambda x, g: torch.normal(x.clone(), 1.0, generator=g, out=x),
    "multinomial": lambda x, g: torch.multinomial(x, 1, generator=g),
    "randperm": lambda x, g: torch.randperm(4, generator=g, device=x.device),
    "rand": lambda x, g: torch.rand(4, generator=g, device=x.device),
    "randn": lambda x, g: torch.randn(4, generator=g, device=x.device),
    "randint": lambda x, g: torch.randint(0, 9, (4,), generator=g, device=x.device),
}


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(("tensor", "generator"), [("cpu", DEVICE), (DEVICE, "cpu")])
def test_a_generator_of_another_device_is_refused(name: str, tensor: str, generator: str) -> None:
    x = torch.full((4,), 0.25, device=tensor)
    with pytest.raises(RuntimeError, match=f"Expected a '{tensor}' (device type for generator|generator device)"):
        RANDOM[name](x, torch.Generator(generator))
    assert x.tolist() == [0.25] * 4
