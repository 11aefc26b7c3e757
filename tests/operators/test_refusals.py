"""What CPU torch refuses, the device refuses: dtypes outside of the element-wise table, mixed devices, bad numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches
from tests.operators.dtype_cases import DTYPES

Call = Callable[..., Any]

# One operand of shape [3, 4] in each dtype.
OF_ONE: dict[str, Call] = {
    "softmax": lambda x: x.softmax(-1),
    "softmax of columns": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(-1),
    "softmax to int": lambda x: x.softmax(-1, dtype=torch.int32),
    "softmax to float": lambda x: x.softmax(-1, dtype=torch.float32),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "rms_norm": lambda x: F.rms_norm(x, (4,)),
    "glu": F.glu,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "celu": F.celu,
    "selu": F.selu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "logsigmoid": F.logsigmoid,
    "mean": torch.mean,
    "mean to int": lambda x: x.mean(dtype=torch.int64),
    "var": torch.var,
    "std": torch.std,
    "norm": torch.norm,
    "vector_norm": torch.linalg.vector_norm,
    "trace": torch.trace,
    "cumsum": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(0),
    "cumsum to bool": lambda x: x.cumsum(0, dtype=torch.bool),
    "cumprod to bool": lambda x: x.cumprod(0, dtype=torch.bool),
    "median": torch.median,
    "median of columns": lambda x: x.median(0)[0],
    "nanmedian": torch.nanmedian,
    "nanmedian of columns": lambda x: x.nanmedian(0)[0],
    "kthvalue": lambda x: x.kthvalue(2)[0],
    "mode": lambda x: x.mode()[0],
    "bincount": lambda x: x.reshape(-1).bincount(),
    "neg": lambda x: -x,
    "invert": lambda x: ~x,
    "to the power -1": lambda x: x**-1,
    "1 - x": lambda x: 1 - x,
    "to the power 2": lambda x: x**2,
    "uniform_": lambda x: x.clone().uniform_().dtype,
    "normal_": lambda x: x.clone().normal_().dtype,
    "exponential_": lambda x: x.clone().exponential_().dtype,
    "cauchy_": lambda x: x.clone().cauchy_().dtype,
    "log_normal_": lambda x: x.clone().log_normal_().dtype,
    "geometric_": lambda x: x.clone().geometric_(0.5).dtype,
    "bernoulli": lambda x: torch.bernoulli(x.clamp(0, 1)).dtype,
    "random_ to 300": lambda x: x.clone().random_(0, 300).dtype,
    "random_ from -300": lambda x: x.clone().random_(-300, 3).dtype,
    "random_ to 70000": lambda x: x.clone().random_(70000).dtype,
    "arange": lambda x: torch.arange(0, 5, dtype=x.dtype, device=x.device),
    "linspace": lambda x: torch.linspace(0, 4, 5, dtype=x.dtype, device=x.device),
    "linspace to 300": lambda x: torch.linspace(0, 300, 4, dtype=x.dtype, device=x.device),
    "randperm": lambda x: torch.randperm(5, dtype=x.dtype, device=x.device).dtype,
    "tril_indices": lambda x: torch.tril_indices(3, 3, dtype=x.dtype, device=x.device),
    "pad with 300": lambda x: F.pad(x, (1, 1), value=300),
    "fill with 300": lambda x: torch.full_like(x, 300),
    "fill with infinity": lambda x: torch.full_like(x, float("inf")),
    "masked_fill with 70000": lambda x: x.masked_fill(x > 0, 70000),
    "fill with NaN": lambda x: torch.full_like(x, float("nan")),
    "masked_fill with NaN": lambda x: x.masked_fill(x > 0, float("nan")),
    "index_fill with NaN": lambda x: x.index_fill(0, torch.tensor([1], device=x.device), float("nan")),
    "clamp to 300": lambda x: x.clamp(max=300),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.tensor([0, 1, 3], device=x.device)),
    "nll_loss": lambda x: F.nll_loss(x, torch.tensor([0, 1, 3], device=x.device)),
    "mse_loss": lambda x: F.mse_loss(x, x),
    "l1_loss": lambda x: F.l1_loss(x, x),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x),
    "huber_loss": lambda x: F.huber_loss(x, x),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(x.clamp(0, 1), x.clamp(0, 1)),
    "kl_div": lambda x: F.kl_div(x, x, reduction="sum"),
}


def operand(dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    if dtype.is_floating_point:
        return torch.rand(3, 4, generator=generator, dtype=torch.float64).to(dtype)
    return torch.randint(0, 2 if dtype == torch.bool else 5, (3, 4), generator=generator).to(dtype)


def outcome(call: Call, x: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(x)
        except Exception as error:
            return error


@pytest.mark.parametrize("name", OF_ONE)
def test_dtypes_that_the_cpu_refuses(name: str) -> None:
    for dtype in DTYPES:
        expected = outcome(OF_ONE[name], operand(dtype))
        if isinstance(expected, Exception):
            got = outcome(OF_ONE[name], operand(dtype).to(DEVICE))
            assert isinstance(got, Exception), f"{dtype}: {got}, the CPU says {expected!r}"
            assert isinstance(got, type(expected)), f"{dtype}: {got!r}, the CPU says {expected!r}"


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_ONE)
def test_results_where_the_cpu_has_one(name: str) -> None:
    for dtype in DTYPES:
        expected = outcome(OF_ONE[name], operand(dtype))
        if isinstance(expected, Exception):
            continue
        got = outcome(OF_ONE[name], operand(dtype).to(DEVICE))
        assert not isinstance(got, Exception), f"{dtype}: {got!r}"
        if isinstance(expected, torch.Tensor):
            assert got.dtype == expected.dtype
            assert_matches(got, expected, 2e-2 if expected.dtype in (torch.float16, torch.bfloat16) else 1e-5)
        else:
            assert got == expected


# Two operands; the second is left on the CPU.
OF_TWO: dict[str, Call] = {
    "add": torch.add,
    "mul": torch.mul,
    "add_": lambda x, y: x.clone().add_(y),
    "maximum": torch.maximum,
    "where": lambda x, y: torch.where(x > 0, x, y),
    "condition": lambda x, y: torch.where(y > 0, x, x),
    "masked_fill": lambda x, y: x.masked_fill(y > 0, 1.0),
    "lerp": lambda x, y: torch.lerp(x, y, 0.5),
    "addcmul": lambda x, y: torch.addcmul(x, x, y),
    "mm": torch.mm,
    "addmm": lambda x, y: torch.addmm(x, x, y),
    "addmm bias": lambda x, y: torch.addmm(y, x, x),
    "bmm": lambda x, y: torch.bmm(x[None], y[None]),
    "linear": F.linear,
    "linear bias": lambda x, y: F.linear(x, x, y[0]),
    "mv": lambda x, y: x.mv(y[0]),
    "dot": lambda x, y: x[0].dot(y[0]),
    "cat": lambda x, y: torch.cat([x, y]),
    "stack": lambda x, y: torch.stack([x, y]),
    "hstack": lambda x, y: torch.hstack([y, x]),
    "layer_norm": lambda x, y: F.layer_norm(x, (4,), y[0]),
    "rms_norm": lambda x, y: F.rms_norm(x, (4,), y[0]),
    "group_norm": lambda x, y: F.group_norm(x, 2, y[0]),
    "prelu": lambda x, y: F.prelu(x, y[0]),
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "binary_cross_entropy": lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y.argmax(1)),
    "nll_loss weight": lambda x, y: F.nll_loss(x, x.argmax(1), y[0].abs()),
    "embedding": lambda x, y: F.embedding(y.argmax(1), x),
    "gather": lambda x, y: x.gather(1, y.argmax(1, keepdim=True)),
    "scatter": lambda x, y: x.scatter(1, x.argmax(1, keepdim=True), y),
    "scatter_add": lambda x, y: x.scatter_add(1, x.argmax(1, keepdim=True), y),
    "index_select": lambda x, y: x.index_select(0, y.argmax(1)),
    "index_add": lambda x, y: x.index_add(0, x.argmax(1), y),
    "index_copy": lambda x, y: x.index_copy(0, torch.arange(4, device=x.device), y),
    "index_put": lambda x, y: x.index_put((x.argmax(1),), y),
    "take": lambda x, y: x.take(y.argmax(1)),
    "masked_select": lambda x, y: x.masked_select(y > 0),
    "masked_scatter": lambda x, y: x.masked_scatter(x > 0, y),
    "searchsorted": lambda x, y: torch.searchsorted(x.sort()[0], y),
    "attention": lambda x, y: F.scaled_dot_product_attention(x[None, None], y[None, None], x[None, None]),
    "conv1d": lambda x, y: F.conv1d(x[None], y[:, :, None]),
    "out=": lambda x, y: torch.add(x, x, out=y),
    "out= of a sum": lambda x, y: torch.sum(x, 0, out=y[0]),
    "out= of a product": lambda x, y: torch.mm(x, x, out=y),
    "equal": torch.equal,
    "isin": torch.isin,
    "logaddexp": torch.logaddexp,
    "atan2": torch.atan2,
}


@pytest.mark.parametrize("name", OF_TWO)
def test_tensors_of_two_devices_are_refused(name: str) -> None:
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    with pytest.raises(RuntimeError, match="device"):
        OF_TWO[name](x.to(DEVICE), y)
        torch.mtia_sim.synchronize()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bad", [2.0, -0.5, float("nan"), float("inf")])
def test_probabilities_are_between_0_and_1(dtype: torch.dtype, bad: float) -> None:
    p = torch.rand(1000, dtype=torch.float64).to(dtype)
    target = (torch.rand(1000) < 0.5).to(dtype)
    device = p.to(DEVICE)
    torch.bernoulli(device)
    F.binary_cross_entropy(device, target.to(DEVICE))
    torch.mtia_sim.synchronize()
    p[777] = bad
    text = "nan" if bad != bad else f"{bad:g}"
    for source in (p.to(DEVICE), p.to(DEVICE).expand(3, -1)):
        with pytest.raises(RuntimeError, match=rf"bernoulli, called at .*test_refusals.py.* {text} is not between 0"):
            torch.bernoulli(source)
            torch.mtia_sim.synchronize()
        good = target.to(DEVICE).expand_as(source)
        for name, x, y in (("input", source, good), ("target", good, source)):
            with pytest.raises(
                RuntimeError,
                match=rf"binary_cross_entropy, called at .* {name} should be between 0 and 1, found {text}",
            ):
                F.binary_cross_entropy(x, y)
                torch.mtia_sim.synchronize()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_integers_divided_by_zero(dtype: torch.dtype) -> None:
    x = torch.randint(1, 100, (3, 70)).to(dtype)
    y = torch.randint(1, 9, (3, 70)).to(dtype)
    calls: list[Call] = [
        torch.floor_divide,
        torch.fmod,
        torch.remainder,
        lambda a, b: torch.div(a, b, rounding_mode="trunc"),
        lambda a, b: torch.div(a, b, rounding_mode="floor"),
    ]
    for call in calls:
        assert torch.equal(call(x.to(DEVICE), y.to(DEVICE)).cpu(), call(x, y))
        assert torch.equal(call(x.to(DEVICE), y[:, :1].to(DEVICE)).cpu(), call(x, y[:, :1]))
    y[2, 69] = 0
    for call in calls:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call(x, y)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call(x.to(DEVICE), y.to(DEVICE))
            torch.mtia_sim.synchronize()


def test_refusals_say_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_CPU_FALLBACK", "1")
    before = torch.mtia_sim.fallbacks()
    x = torch.ones(1, 12, device=DEVICE)
    helpful: dict[str, Call] = {
        "to_dense": lambda: x.to_sparse().argmax(),
        "dequantize": lambda: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        "cannot help": lambda: torch.ops.aten._cslt_compress(x),
    }
    for remedy, call in helpful.items():
        with pytest.raises(NotImplementedError, match=remedy):
            call()
    assert torch.mtia_sim.fallbacks() == before  # none of them ran on the CPU
    z = torch.ones(3, dtype=torch.complex64, device=DEVICE)
    for operation, call in {"softmax": lambda: z.softmax(0), "amax": z.amax}.items():
        with pytest.raises(NotImplementedError, match=rf"{operation} of ComplexFloat.*view_as_real"):
            call()


@pytest.mark.parametrize("input_dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64])
def test_parameters_of_another_dtype(dtype: torch.dtype, input_dtype: torch.dtype) -> None:
    calls: list[Call] = [
        lambda x, p: F.layer_norm(x, (4,), p),
        lambda x, p: F.layer_norm(x, (4,), None, p),
        lambda x, p: F.group_norm(x, 2, p),
        lambda x, p: F.group_norm(x, 2, None, p),
        lambda x, p: F.nll_loss(x, torch.arange(3, device=x.device), p),
    ]
    x, parameter = operand(input_dtype), torch.ones(4, dtype=dtype)
    for call in calls:
        expected = outcome(lambda x, call=call: call(x, parameter), x)
        got = outcome(lambda x, call=call: call(x, parameter.to(DEVICE)), x.to(DEVICE))
        assert isinstance(got, Exception) == isinstance(expected, Exception), f"{got}, the CPU says {expected!r}"


# Arguments that CPU torch refuses whatever the dtype, made on the place that is given.
OF_PLACE: dict[str, Call] = {
    "decreasing offsets": lambda place: torch.segment_reduce(
        torch.rand(4, device=place), "sum", offsets=torch.tensor([0, 3, 2, 4], device=place), axis=0
    ),
    "dropout with a mask and causality": lambda place: F.scaled_dot_product_attention(
        *torch.rand(3, 1, 1, 4, 4, device=place), torch.ones(4, 4, device=place), 0.5, is_causal=True
    ),
    "dropout of 1.5": lambda place: F.scaled_dot_product_attention(*torch.rand(3, 1, 1, 4, 4, device=place), None, 1.5),
    "one edge of a histogram": lambda place: torch.histogram(
        torch.rand(4, device=place), torch.tensor([1.0], device=place)
    ),
    "renorm of an empty tensor": lambda place: torch.renorm(torch.rand(0, 3, device=place), 1.0, 2, 1.0),
    "cross of two dtypes": lambda place: torch.linalg.cross(
        torch.rand(2, 3, device=place), torch.rand(2, 3, device=place, dtype=torch.float64)
    ),
    "variance of no dimension": lambda place: F.batch_norm(
        torch.rand(2, 1, device=place), torch.zeros(1, device=place), torch.tensor(1.0, device=place)
    ),
    "mean of no dimension": lambda place: F.batch_norm(
        torch.rand(2, 1, device=place), torch.tensor(1.0, device=place), torch.ones(1, device=place), training=True
    ),
    "nansum into complex numbers": lambda place: torch.nansum(torch.rand(3, device=place), dtype=torch.complex64),
    "weights of a histogram": lambda place: torch.histogram(
        torch.rand(2, 3, device=place), 2, weight=torch.rand(5, device=place)
    ),
    "addr of three dimensions": lambda place: torch.addr(
        torch.ones(2, 3, 4, device=place), torch.ones(3, device=place), torch.ones(4, device=place)
    ),
    "addr of a matrix": lambda place: torch.addr(
        torch.ones(3, 4, device=place), torch.ones(3, 1, device=place), torch.ones(4, device=place)
    ),
    "ctc_loss of nothing": lambda place: F.ctc_loss(
        torch.empty(5, 0, 4, device=place), torch.empty(0, 0, dtype=torch.long, device=place), (), ()
    ),
    "a kernel of no width": lambda place: F.conv2d(
        torch.ones(1, 2, 5, 5, device=place), torch.ones(3, 2, 2, 0, device=place)
    ),
    "a transposed kernel of no width": lambda place: F.conv_transpose1d(
        torch.ones(1, 2, 5, device=place), torch.ones(2, 3, 0, device=place)
    ),
}


@pytest.mark.parametrize("name", OF_PLACE)
def test_arguments_that_the_cpu_refuses(name: str) -> None:
    with pytest.raises((RuntimeError, IndexError)) as refusal:
        OF_PLACE[name]("cpu")
    with pytest.raises(refusal.type):
        OF_PLACE[name](DEVICE)
        torch.mtia_sim.synchronize()


# And some that it takes.
TAKEN: dict[str, Call] = {
    "segments of nothing": lambda place: torch.stack(
        [
            torch.segment_reduce(
                torch.empty(0, 3, device=place),
                reduce,
                lengths=torch.tensor([0, 0], device=place),
                axis=0,
                initial=initial,
            )
            for reduce in ("sum", "mean", "max", "min", "prod")
            for initial in (None, 2.0)
        ]
    ),
    "no columns of a segment": lambda place: torch.segment_reduce(
        torch.empty(3, 0, device=place), "mean", offsets=torch.tensor([0, 2, 3], device=place), axis=0
    ),
    "take_along_dim of nothing": lambda place: torch.take_along_dim(
        torch.empty(2, 0, device=place), torch.empty(2, 0, dtype=torch.int64, device=place), 1
    ),
    "remainder of nothing": lambda place: torch.empty(2, 0, dtype=torch.int64, device=place) % 0,
    "weight of a number": lambda place: torch.histogram(
        torch.tensor(0.5, device=place), 3, range=(0.0, 1.0), weight=torch.tensor([2.0], device=place)
    )[0],
    "weights of another shape": lambda place: torch.histogram(
        torch.arange(6.0, device=place).view(2, 3), 2, weight=torch.arange(6.0, device=place)
    )[0],
}


@pytest.mark.parametrize("name", TAKEN)
def test_arguments_that_the_cpu_takes(name: str) -> None:
    expected, got = TAKEN[name]("cpu"), TAKEN[name](DEVICE)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert_matches(got, expected, 1e-6)


@pytest.mark.parametrize("out_dtype", [torch.float64, torch.float32, torch.float16, torch.complex64, torch.int32])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_results_go_into_what_can_hold_them(dtype: torch.dtype, out_dtype: torch.dtype) -> None:
    x = torch.tensor([3, 0, 1]).to(dtype)
    calls: list[Call] = [
        lambda x, out: torch.nansum(x, 0, out=out),
        lambda x, out: torch.sum(x, 0, out=out),
        lambda x, out: torch.div(x, 1, out=out),
        lambda x, out: torch.div(x, 2, rounding_mode="trunc", out=out),
        lambda x, out: torch.div(x, 2, rounding_mode="floor", out=out),
        lambda x, out: torch.logical_xor(x, x[0], out=out),
        lambda x, out: torch.logical_not(x, out=out),
        lambda x, out: torch.eq(x, 1, out=out),
    ]
    for i, call in enumerate(calls):
        shape = (3,) if i > 1 else ()
        expected = outcome(lambda x, call=call, shape=shape: call(x, torch.empty(shape, dtype=out_dtype)), x)
        got = outcome(
            lambda x, call=call, shape=shape: call(x, torch.empty(shape, dtype=out_dtype, device=DEVICE)), x.to(DEVICE)
        )
        if isinstance(expected, Exception):
            assert isinstance(got, type(expected)), f"{got!r}, the CPU says {expected!r}"
        else:
            assert not isinstance(got, Exception), f"{got!r}, the CPU says {expected}"
            assert_matches(got, expected, 1e-6)


def test_put_of_another_number_of_elements() -> None:
    for place in ("cpu", DEVICE):
        with pytest.raises(IndexError, match="same number of elements"):
            torch.rand(3, device=place).put_(torch.tensor([0, 1], device=place), torch.ones(1, device=place))


def test_empty_weights_and_negative_classes_are_refused() -> None:
    for place in ("cpu", DEVICE):
        with pytest.raises(RuntimeError):
            F.conv_transpose1d(torch.ones(1, 4, 8, device=place), torch.ones(4, 2, 0, device=place))
        with pytest.raises((RuntimeError, IndexError), match=r"out of bounds|non-negative"):
            F.one_hot(torch.tensor([-1], device=place))


def test_tensors_of_two_devices_are_told_of_by_operator() -> None:
    x = torch.ones(4, 4, device=DEVICE)
    calls: dict[str, Call] = {
        r"\(embedding; move it": lambda: F.embedding(torch.tensor([1]), x),
        r"\(take; move it": lambda: x.take(torch.tensor([1])),
        r"\(mm; move it": lambda: x.mm(x.cpu()),
    }
    for message, call in calls.items():
        with pytest.raises(RuntimeError, match=message):
            call()


# torch's own code of these runs above the device's stubs: any operand may be the one on another device.
PIVOTS = torch.tensor([1, 2, 3], dtype=torch.int32)
OF_MATRICES: dict[str, tuple[Call, list[torch.Tensor]]] = {
    "linalg.cross": (torch.linalg.cross, [torch.rand(5, 3), torch.rand(5, 3)]),
    "cross": (lambda x, y: torch.cross(x, y, dim=1), [torch.rand(5, 3), torch.rand(5, 3)]),
    "gather": (lambda x, index: x.gather(0, index), [torch.rand(3), torch.tensor([0, 1, 2])]),
    "linalg.lu_solve": (torch.linalg.lu_solve, [torch.rand(3, 3), PIVOTS, torch.rand(3, 1)]),
    "lu_unpack": (torch.lu_unpack, [torch.rand(3, 3), PIVOTS]),
    "linalg.ldl_solve": (torch.linalg.ldl_solve, [torch.rand(3, 3), PIVOTS, torch.rand(3, 1)]),
    "linalg.solve": (torch.linalg.solve, [torch.rand(3, 3), torch.rand(3, 1)]),
    "linalg.solve_ex": (torch.linalg.solve_ex, [torch.rand(3, 3), torch.rand(3, 1)]),
    "linalg.tensorsolve": (torch.linalg.tensorsolve, [torch.rand(2, 3, 6), torch.rand(2, 3)]),
    "linalg.solve_triangular": (
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=True),
        [torch.rand(3, 3), torch.rand(3, 1)],
    ),
    "triangular_solve": (torch.triangular_solve, [torch.rand(3, 1), torch.rand(3, 3)]),
    "ormqr": (torch.ormqr, [torch.rand(3, 3), torch.rand(3), torch.rand(3, 3)]),
    "householder_product": (torch.linalg.householder_product, [torch.rand(3, 3), torch.rand(3)]),
    "put_": (lambda x, i, y: x.clone().put_(i, y), [torch.rand(3), torch.tensor([0, 1]), torch.rand(2)]),
    "lstsq": (torch.linalg.lstsq, [torch.rand(3, 3), torch.rand(3, 1)]),
}


@pytest.mark.parametrize("name", OF_MATRICES)
def test_matrices_of_two_devices_are_refused(name: str) -> None:
    call, operands = OF_MATRICES[name]
    for there in range(2 ** len(operands)):
        places = [operand.to(DEVICE) if there >> i & 1 else operand for i, operand in enumerate(operands)]
        if len({place.device for place in places}) == 1:
            continue
        with pytest.raises(RuntimeError, match=r"(?s)^(?!.*INTERNAL).*same device"):
            call(*places)
            torch.mtia_sim.synchronize()
