"""Quantised linear layers and quantisation-aware training, against float64 or CPU torch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization
from torch.nn.functional import ScalingType, scaled_mm

from tests.operators.comparison import DEVICE

SIZES = [(1, 7, 3), (33, 200, 70), (5, 128, 64), (130, 300, 129)]
BOUNDS = {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}
FLOAT8 = torch.float8_e4m3fn


def integers(*sizes: int) -> Tensor:
    return torch.randint(-128, 128, sizes, dtype=torch.int8)


def check(got: Tensor, expected: Tensor, bound: float) -> None:
    assert got.device.type == DEVICE
    assert (got.cpu().double() - expected).norm() <= bound * expected.norm()


@pytest.mark.parametrize("sizes", SIZES)
def test_int8_products(sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    a, b = integers(m, k), integers(k, n)
    expected = a.int() @ b.int()
    for left in (a.to(DEVICE), a.t().contiguous().t().to(DEVICE)):
        for right in (b.to(DEVICE), b.t().contiguous().to(DEVICE).t()):
            assert torch.equal(torch._int_mm(left, right).cpu(), expected)
    out = torch.empty(n, m, dtype=torch.int32, device=DEVICE).t()
    torch._int_mm(a.to(DEVICE), b.to(DEVICE), out=out)
    assert torch.equal(out.cpu(), expected)


def test_int8_refusals() -> None:
    a = integers(4, 6).to(DEVICE)
    with pytest.raises(RuntimeError, match="needs to match"):
        torch._int_mm(a, a)
    with pytest.raises(RuntimeError, match="int8"):
        torch._int_mm(a, a.t().float())
    assert torch._int_mm(a[:0], a.t()).shape == (0, 4)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("sizes", SIZES)
def test_weights_of_8_bits(sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, k, n = sizes
    x, weight, scales = torch.randn(m, k, dtype=dtype), integers(n, k), torch.rand(n).to(dtype)
    got = torch._weight_int8pack_mm(x.to(DEVICE), weight.to(DEVICE), scales.to(DEVICE))
    assert got.dtype == dtype
    check(got, x.double() @ weight.double().t() * scales.double(), BOUNDS[dtype])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("sizes", "group"), [((1, 128, 64), 32), ((33, 512, 72), 128), ((70, 256, 256), 256)])
def test_weights_of_4_bits(sizes: tuple[int, int, int], group: int, dtype: torch.dtype) -> None:
    m, k, n = sizes
    numbers = torch.randint(16, (n, k))
    pairs = (numbers[:, ::2] << 4 | numbers[:, 1::2]).to(torch.uint8)
    facts = torch.rand(k // group, n, 2).to(dtype)
    scale, shift = facts.double().permute(2, 1, 0)[..., None]
    weight = ((numbers - 8).view(n, -1, group).double() * scale + shift).view(n, k)
    x = torch.randn(m, k, dtype=dtype)
    packed = torch._convert_weight_to_int4pack(pairs.to(DEVICE), 2)
    meta = torch._convert_weight_to_int4pack(pairs.to("meta"), 2)
    assert packed.shape == meta.shape and packed.dtype == meta.dtype
    got = torch._weight_int4pack_mm(x.to(DEVICE), packed, group, facts.to(DEVICE))
    check(got, x.double() @ weight.t(), BOUNDS[dtype])


def test_a_quantised_linear_layer_is_near_the_layer() -> None:
    layer = nn.Linear(256, 96, bias=False)
    x = torch.randn(8, 256)
    scales = layer.weight.detach().abs().amax(1) / 127
    weight = (layer.weight.detach() / scales[:, None]).round().to(torch.int8)
    steps = x.abs().amax(1, keepdim=True) / 127
    products = torch._int_mm((x / steps).round().to(torch.int8).to(DEVICE), weight.t().to(DEVICE))
    check(products.cpu().mul(steps * scales).to(DEVICE), layer(x).double().detach(), 0.02)
    check(torch._weight_int8pack_mm(x.to(DEVICE), weight.to(DEVICE), scales.to(DEVICE)), layer(x).double(), 0.02)


def test_float8_products() -> None:
    a, b = torch.randn(32, 64).to(FLOAT8), torch.randn(48, 64).to(FLOAT8).t()
    bias = torch.randn(48).bfloat16()
    one, other = torch.tensor(0.5), torch.tensor(3.0)
    for options in (
        {"out_dtype": torch.bfloat16},
        {"out_dtype": torch.float32},
        {"out_dtype": torch.bfloat16, "bias": bias},
        {"out_dtype": FLOAT8, "scale_result": torch.tensor(2.0)},
        {},
    ):
        there = {name: each.to(DEVICE) if isinstance(each, Tensor) else each for name, each in options.items()}
        expected = torch._scaled_mm(a, b, scale_a=one, scale_b=other, **options)
        got = torch._scaled_mm(a.to(DEVICE), b.to(DEVICE), scale_a=one.to(DEVICE), scale_b=other.to(DEVICE), **there)
        assert got.dtype == expected.dtype
        check(got, expected.double(), 0.01)


def test_float8_products_scaled_by_row() -> None:
    a, b = torch.randn(20, 64).to(FLOAT8), torch.randn(48, 64).to(torch.float8_e5m2).t()
    rows, columns = torch.rand(20, 1), torch.rand(1, 48)
    expected = (a.double() * rows) @ (b.double() * columns)
    moved = [each.to(DEVICE) for each in (a, b, rows, columns)]
    got = torch._scaled_mm(moved[0], moved[1], scale_a=moved[2], scale_b=moved[3], out_dtype=torch.bfloat16)
    check(got, expected, 4e-3)
    by_row = ScalingType.RowWise
    again = scaled_mm(moved[0], moved[1], moved[2], by_row, moved[3], by_row, output_dtype=torch.bfloat16)
    assert torch.equal(again, got)
    with pytest.raises(NotImplementedError, match="blocks"):
        torch._scaled_mm(moved[0], moved[1], scale_a=moved[2].expand(20, 2).contiguous(), scale_b=moved[3])


FAKE: dict[str, Callable[[Tensor], Tensor]] = {
    "tensor": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.07, 3, -128, 127),
    "numbers on the device": lambda x: torch.fake_quantize_per_tensor_affine(
        x, torch.tensor(0.07, device=x.device), torch.tensor(3, dtype=torch.int32, device=x.device), 0, 15
    ),
    "channel": lambda x: torch.fake_quantize_per_channel_affine(
        x, torch.tensor([0.1, 0.02, 0.5], device=x.device), torch.arange(3, dtype=torch.int32, device=x.device), 1, 0, 9
    ),
}


@pytest.mark.parametrize("name", FAKE)
def test_fake_quantisation(name: str) -> None:
    start = torch.randn(40, 3) * 4
    results = []
    for device in ("cpu", DEVICE):
        x = start.to(device, copy=True).requires_grad_()
        out = FAKE[name](x)
        out.square().sum().backward()
        assert x.grad is not None
        results.append((out.detach().cpu(), x.grad.cpu()))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize(
    "options",
    [
        {"quant_min": 0, "quant_max": 255, "dtype": torch.quint8},
        {"quant_min": -128, "quant_max": 127, "dtype": torch.qint8, "qscheme": torch.per_tensor_symmetric},
    ],
)
@pytest.mark.parametrize("kind", [quantization.FakeQuantize, quantization.FusedMovingAvgObsFakeQuantize])
def test_observers(kind: type[nn.Module], options: dict[str, object]) -> None:
    batches = [torch.randn(4, 8) * size for size in (1, 3, 0.5)]
    results = []
    for device in ("cpu", DEVICE):
        module = kind(observer=quantization.MovingAverageMinMaxObserver, **options).to(device)
        outs = [module(batch.to(device)).cpu() for batch in batches]
        results.append((outs, module.scale.cpu(), module.zero_point.cpu()))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("inner", [nn.Linear(8, 4), nn.LSTM(8, 4), nn.GRUCell(8, 4)])
def test_dynamically_quantised_modules_are_refused_by_name_as_with_cuda(inner: nn.Module) -> None:
    packed = quantization.quantize_dynamic(nn.Sequential(inner), {type(inner)})[0]
    x = torch.ones(2, 1, 8) if isinstance(inner, nn.LSTM) else torch.ones(2, 8)
    with pytest.raises(NotImplementedError, match=r"quantized.*has no mtia_sim kernel"):
        packed.to(DEVICE)(x.to(DEVICE))
