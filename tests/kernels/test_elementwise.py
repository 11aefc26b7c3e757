"""The element-wise kernel and every row of its table against CPU torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mtia_sim_kernels.triton.elementwise_table import elementwise_table
from tests.kernels import harness

ROWS = {row.name: row for row in elementwise_table()}
aten = torch.ops.aten

# Row -> the call of CPU torch that it stands for, where that is not the row's first operator called with its operands.
REFERENCES = {
    "copy": lambda x: x,
    "bernoulli": lambda draw, p: draw < p,
    "scaled_draw": torch.mul,
    "label": lambda target, classes: target,
    "glu": lambda x, gate: x * torch.sigmoid(gate),
    "log_sigmoid": F.logsigmoid,
    "add": torch.add,
    "sub": torch.sub,
    "add_scaled": lambda x, y, alpha: x + alpha * y,
    "sub_scaled": lambda x, y, alpha: x - alpha * y,
    "rsub": lambda x, y, alpha: y - alpha * x,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "div_trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "div_floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "clamp": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
    "hardtanh": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
    "clamp_min": torch.maximum,
    "clamp_max": torch.minimum,
    "addcmul": lambda x, y, z, value: x + value * y * z,
    "addcdiv": lambda x, y, z, value: x + value * y / z,
    "masked_fill": lambda x, mask, value: torch.where(mask, value, x),
    "native_dropout_backward": lambda grad, mask, scale: grad * mask * scale,
    "nan_to_num": lambda x, nan, high, low: x,
    "leaky_relu_backward": lambda grad, x, slope: aten.leaky_relu_backward(grad, x, slope, False),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_tanh_backward": lambda grad, x: aten.gelu_backward(grad, x, approximate="tanh"),
    "elu_backward_of_result": lambda g, a, s, i, y: aten.elu_backward(g, a, s, i, True, y),
    "elu_backward_of_input": lambda g, a, s, i, y: aten.elu_backward(g, a, s, i, False, y),
    "log_sigmoid_backward": lambda g, x: g * torch.sigmoid(-x),
    "mse_loss": lambda x, y: (x - y) ** 2,
    "mse_loss_backward": lambda g, x, y, norm: aten.mse_loss_backward(g, x, y, 0) * norm,
    "l1_loss_backward": lambda g, x, y, norm: norm * g * torch.sign(x - y),
    "smooth_l1_loss": lambda x, y, beta: F.smooth_l1_loss(x, y, reduction="none", beta=beta),
    "smooth_l1_loss_backward": lambda g, x, y, beta, n: aten.smooth_l1_loss_backward(g, x, y, 0, beta) * n,
    "huber_loss": lambda x, y, delta: F.huber_loss(x, y, reduction="none", delta=delta),
    "huber_loss_backward": lambda g, x, y, delta, n: aten.huber_loss_backward(g, x, y, 0, delta) * n,
    "binary_cross_entropy": lambda x, y, w: F.binary_cross_entropy(x, y, w, reduction="none"),
    "binary_cross_entropy_backward": lambda g, x, y, w, n: aten.binary_cross_entropy_backward(g, x, y, w, 0) * n,
    "binary_cross_entropy_with_logits": lambda x, y, w, p: F.binary_cross_entropy_with_logits(
        x, y, w, reduction="none", pos_weight=p
    ),
    "threshold": lambda x, limit, value: torch.where(x <= limit, value, x),
    "round_decimals": lambda x, decimals: torch.round(x, decimals=int(decimals)),
    "prelu": lambda x, w: torch.where(x > 0, x, x * w),
    "logit_eps": lambda x, eps: torch.logit(x, eps),
    "logit_backward_eps": lambda g, x, eps: aten.logit_backward(g, x, eps),
    "polygamma_0": torch.digamma,
    "polygamma_1": lambda x: torch.polygamma(1, x),
    "polygamma": lambda n, x: torch.polygamma(int(n), x),
    "frexp_mantissa": lambda x: torch.frexp(x).mantissa,
    "frexp_exponent": lambda x: torch.frexp(x).exponent,
}
# Operands that only make sense as numbers, with the number.
NUMBERS = {
    "alpha": 1.5, "norm": 0.25, "beta": 0.75, "threshold": 0.5, "delta": 0.6, "negative_slope": 0.1, "lambd": 0.4,
    "min_val": -0.5, "max_val": 0.5, "scale": 1.25, "input_scale": 0.8, "eps": 0.3, "nan": 1.0, "posinf": 2.0,
    "neginf": -2.0, "decimals": 2.0, "classes": 4,
}  # fmt: skip
# Operands that are numbers in these rows alone.
NUMBERS_OF = {("polygamma", "n"): 2.0}
TENSORS_OF = {("binary_cross_entropy_with_logits", "weight")}
UNIT_INTERVAL = {
    "bernoulli",
    "scaled_draw",
    "label",
    "logit",
    "logit_eps",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "atanh",
    "erfinv",
    "asin",
    "acos",
}
POSITIVE = {"log", "log2", "log10", "sqrt", "rsqrt", "acosh", "xlogy", "lgamma", "pow", "log1p"}
LOGICAL = {"bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift", "bitwise_right_shift"}
LOGICAL |= {"gcd", "lcm"}
LOOSE = {"tan": 1e-5, "lgamma": 1e-5, "erfc": 1e-5, "elu_backward_of_input": 1e-5, "atanh": 1e-5}


def reference(name: str):
    if name in REFERENCES:
        return REFERENCES[name]
    row = ROWS[name]
    operator = row.operators[0].split("[")[0].split(".")[0]
    return getattr(aten, operator)


def run(name, operands, output_dtype, compute, chip="mtia300", shape=None):
    """Broadcasts the operands' strides to the output's shape and runs the row."""
    tensors = [value for value in operands if isinstance(value, torch.Tensor)]
    shape = torch.broadcast_shapes(*[tensor.shape for tensor in tensors]) if shape is None else shape
    output = harness.poisoned(shape, output_dtype)
    everything = [output, *[tensor.expand(shape) for tensor in tensors]]
    if all(tensor.is_contiguous() for tensor in everything):
        sizes = [1, output.numel(), *[1] * len(everything)]
    else:
        sizes = [len(shape), *shape, *[stride for tensor in everything for stride in tensor.stride()]]
    names = [harness.DTYPE_NAMES[value.dtype] if isinstance(value, torch.Tensor) else "scalar" for value in operands]
    scalars = [value for value in operands if not isinstance(value, torch.Tensor)]
    dtypes = [harness.DTYPE_NAMES[output_dtype], *names, harness.DTYPE_NAMES[compute]]
    harness.execute(f"elementwise.{name}", everything, sizes, scalars, chip, dtypes)
    return output


def operands_of(name, shape, dtype, generator):
    row = ROWS[name]
    values = []
    for operand in row.operands:
        if operand in row.unpromoted:
            values.append(torch.rand(shape, generator=generator) < 0.5)
        elif (name, operand) in NUMBERS_OF:
            values.append(NUMBERS_OF[name, operand])
        elif operand in NUMBERS and (name, operand) not in TENSORS_OF:
            values.append(NUMBERS[operand])
        elif name in LOGICAL:
            values.append(torch.randint(0, 20, shape, generator=generator).to(dtype))
        else:
            value = torch.randn(shape, generator=generator, dtype=torch.float64)
            if name in UNIT_INTERVAL and operand not in ("grad_output", "weight"):
                value = value.sigmoid() * 0.98 + 0.01
            elif name in POSITIVE or operand == "weight":
                value = value.abs() + (1.01 if name in ("acosh", "lgamma") else 0.1)
            values.append(value.to(dtype))
    return values


def expected_of(name, values, dtype):
    wide = [v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in values]
    if name in ("clamp", "hardtanh", "masked_fill", "where", "nan_to_num"):
        wide = [v if isinstance(v, torch.Tensor) else torch.tensor(v, dtype=torch.float64) for v in wide]
    return reference(name)(*wide)


# Every row in float32; the way in and out of half precision is the same for all, so a few rows show it.
# tests/operators/test_dirichlet.py has dirichlet_grad, of which CPU torch knows three digits.
ROW_CASES = [(name, torch.float32) for name in ROWS if name not in LOGICAL | {"fill", "dirichlet_grad"}]
ROW_CASES += [(name, d) for name in ("add", "div", "gelu", "silu_backward", "lerp", "lt") for d in harness.HALF_DTYPES]
ROW_CASES += [(name, torch.float64) for name in ("mul", "exp", "sigmoid", "addcdiv", "pow")]


@pytest.mark.parametrize(("name", "dtype"), ROW_CASES)
def test_row(name, dtype):
    generator = torch.Generator().manual_seed(len(name))
    values = operands_of(name, (7, 33), dtype, generator)
    expected = expected_of(name, values, dtype)
    result = torch.bool if ROWS[name].result == "bool" else dtype
    on_device = [value.to(harness.DEVICE) if isinstance(value, torch.Tensor) else value for value in values]
    got = run(name, on_device, result, dtype)
    bound = max(LOOSE.get(name, 0.0), harness.BOUNDS.get(result, 0.0))
    harness.assert_close(got, expected, bound)


@pytest.mark.parametrize(
    "name", ["exp", "tanh", "silu", "relu", "abs", "maximum", "minimum", "sign", "clamp", "isnan", "log"]
)
def test_special_values(name):
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, -1.0, 1e-30, 3e38])
    values = [special if operand == "self" else torch.ones(9) for operand in ROWS[name].operands]
    if name == "silu":  # CPU torch's own answer at -inf is NaN, as x * sigmoid(x) is.
        values[0] = special[special != -float("inf")]
    expected = reference(name)(*values)
    got = run(name, [value.to(harness.DEVICE) for value in values], expected.dtype, torch.float32)
    harness.assert_close(got, expected.double() if expected.dtype != torch.bool else expected, 2e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
@pytest.mark.parametrize(
    "name",
    ["add", "sub", "mul", "div_trunc", "div_floor", "fmod", "remainder", "pow", "maximum", "minimum", "eq", "lt", "ge",
     "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift", "bitwise_right_shift",
     "logical_not", "gcd", "lcm"],
)  # fmt: skip
def test_integers(name, dtype):
    if not harness.ON_DEVICE and name == "bitwise_not" and dtype == torch.uint8:
        pytest.skip("Triton's interpreter has no all-ones uint8")
    row = ROWS[name]
    low = 0 if dtype == torch.uint8 or name == "pow" or "shift" in name else -9
    values = [torch.randint(low, 10, (5, 31)).to(dtype) for _ in row.operands]
    if "div" in name or name in ("fmod", "remainder"):
        values[1] = values[1] + (values[1] == 0).to(dtype)
    expected = reference(name)(*values)
    got = run(name, [value.to(harness.DEVICE) for value in values], expected.dtype, dtype)
    assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize(
    "name", ["add", "mul", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "logical_not", "eq"]
)
def test_bool(name):
    values = [torch.rand(4, 50) < 0.5 for _ in ROWS[name].operands]
    expected = reference(name)(*values)
    got = run(name, [value.to(harness.DEVICE) for value in values], torch.bool, torch.bool)
    assert torch.equal(got.cpu(), expected)


@pytest.mark.parametrize("chip", harness.CHIPS)
@pytest.mark.parametrize("elements", [1, 127, 1000, 5000, 70001])
def test_contiguous_sizes(chip, elements):
    x, y = torch.randn(elements), torch.randn(elements)
    got = run("add", [x.to(harness.DEVICE), y.to(harness.DEVICE)], torch.float32, torch.float32, chip)
    assert torch.equal(got.cpu(), x + y)


LAYOUTS = {
    "row": lambda x: (x, torch.randn(x.shape[-1])),
    "column": lambda x: (x, torch.randn(*x.shape[:-1], 1)),
    "outer": lambda x: (torch.randn(x.shape[0], *[1] * (x.dim() - 1)), torch.randn(x.shape[1:])),
    "transposed": lambda x: (x.transpose(-1, -2).contiguous().transpose(-1, -2), x),
    "permuted": lambda x: (x, torch.randn(x.shape[::-1]).permute(*range(x.dim() - 1, -1, -1))),
    "sliced": lambda x: (torch.randn(*x.shape[:-1], 2 * x.shape[-1]), x),
    "one": lambda x: (x, torch.randn(())),
}


@pytest.mark.parametrize("chip", ["mtia1", "mtia300"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1), (129, 67), (3, 5, 40), (2, 3, 2, 3, 5, 9)])
def test_layouts(layout, shape, chip):
    x, y = LAYOUTS[layout](torch.randn(shape))
    on_device = [x.to(harness.DEVICE), y.to(harness.DEVICE)]
    if layout == "sliced":
        x, on_device[0] = x[..., ::2], on_device[0][..., ::2]
    got = run("mul", on_device, torch.float32, torch.float32, chip, shape=shape)
    assert torch.equal(got.cpu(), x * y)


def test_huge_stride():
    storage = torch.empty(2**29 + 64, dtype=torch.int8, device=harness.DEVICE)  # committed only where it is touched
    x = storage.as_strided((3, 20), (2**28, 1))
    values = torch.randint(-9, 9, (3, 20)).to(torch.int8)
    x.copy_(values)
    got = run("neg", [x], torch.int8, torch.int8)
    assert torch.equal(got.cpu(), -values)


CAST_DTYPES = [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize("source", CAST_DTYPES)
@pytest.mark.parametrize("target", CAST_DTYPES)
def test_casts(source, target):
    x = (torch.rand(100) * 20).to(source)
    compute = torch.promote_types(source, target)
    got = run("copy", [x.to(harness.DEVICE)], target, source if not compute.is_floating_point else compute)
    assert torch.equal(got.cpu(), x.to(target))


def test_mixed_dtypes():
    x, y = torch.randn(10, 20), torch.randint(0, 9, (20,))
    got = run("add", [x.to(harness.DEVICE), y.to(harness.DEVICE)], torch.float32, torch.float32)
    assert torch.equal(got.cpu(), x + y)


def test_fill_and_scalar_operands():
    output = harness.poisoned((3, 50), torch.int64)
    harness.execute("elementwise.fill", [output], [1, 150, 1], [2**40], dtypes=["i64", "scalar", "i64"])
    assert (output.cpu() == 2**40).all()
    x = torch.randn(40)
    got = run("pow", [2.0, x.to(harness.DEVICE)], torch.float32, torch.float32)
    harness.assert_close(got, 2.0 ** x.double())


def test_rows_are_sound():
    for row in ROWS.values():
        assert len(row.operands) <= 5
        assert set(row.unpromoted) <= set(row.operands)
        for operator in row.operators:
            overload = operator.split("[")[0]
            packet, _, suffix = overload.partition(".")
            assert hasattr(getattr(aten, packet), suffix or "default"), f"{row.name}: no operator aten::{overload}"
            schema = getattr(getattr(aten, packet), suffix or "default")._schema
            names = {argument.name for argument in schema.arguments}
            known = set(row.operands) - {"norm"} <= names
            assert known or "clamp" in row.name, f"{row.name}: {row.operands} of {schema}"
    assert len(ROWS) == len(elementwise_table())
