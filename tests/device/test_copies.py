"""Copies between host and device, between devices, and on one device: dtypes, layouts, broadcasting, overlaps."""

import itertools

import pytest
import torch

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.complex64,
]


def random_values(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random numbers that every dtype but bool holds without overflow."""
    values = torch.randn(shape, dtype=torch.float64) * 5
    if dtype.is_complex:
        return torch.complex(values, torch.randn(shape, dtype=torch.float64)).to(dtype)
    return (values.abs() if dtype == torch.uint8 else values).to(dtype)


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.device.type == "cpu" and actual.dtype == expected.dtype and actual.shape == expected.shape
    same = (
        actual.view(torch.uint8) == expected.view(torch.uint8) if expected.dtype.itemsize == 1 else actual == expected
    )
    assert same.all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_there_and_back(dtype: torch.dtype) -> None:
    for shape in [(), (1,), (17,), (3, 0, 2), (5, 7, 11), (1000, 333)]:
        values = random_values(*shape, dtype=dtype)
        tensor = values.to("mtia_sim")
        assert tensor.dtype == dtype and tensor.is_contiguous()
        assert_same(tensor.cpu(), values)


LAYOUTS = {
    "transposed": lambda t: t.transpose(0, 1),
    "sliced": lambda t: t[1::2, :, ::3],
    "permuted": lambda t: t.permute(2, 0, 1),
    "expanded": lambda t: t[:, :1].expand(-1, 4, -1),
    "flipped storage offset": lambda t: t[2:, 1:],
    "one element": lambda t: t[1, 2, 3],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_host_side_may_have_any_layout(layout: str) -> None:
    values = random_values(4, 5, 9)
    view = LAYOUTS[layout](values)
    assert_same(view.to("mtia_sim").cpu(), view)
    target = LAYOUTS[layout](torch.zeros(4, 5, 9))
    if layout != "expanded":
        target.copy_(view.contiguous().to("mtia_sim"))
        assert torch.equal(target, view)


def test_dense_layouts_are_kept() -> None:
    values = random_values(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensor = values.to("mtia_sim")
    assert tensor.stride() == values.stride()
    assert torch.equal(tensor.cpu(), values)
    assert values.t_().shape == values.shape if values.dim() < 2 else True
    transposed = random_values(6, 8).t()
    assert transposed.to("mtia_sim").stride() == transposed.stride()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_device_side_may_have_any_layout(layout: str) -> None:
    values = random_values(4, 5, 9)
    tensor = values.to("mtia_sim")
    assert_same(LAYOUTS[layout](tensor).cpu(), LAYOUTS[layout](values))
    if layout == "expanded":
        return
    expected = values.clone()
    fresh = random_values(*LAYOUTS[layout](values).shape)
    LAYOUTS[layout](expected).copy_(fresh)
    LAYOUTS[layout](tensor).copy_(fresh)  # from the host into a strided view
    assert_same(tensor.cpu(), expected)
    LAYOUTS[layout](tensor).copy_(fresh.to("mtia_sim") * 0 + fresh.to("mtia_sim"))
    assert_same(tensor.cpu(), expected)


@pytest.mark.parametrize("pair", list(itertools.product(DTYPES, DTYPES)), ids=lambda pair: f"{pair[0]}-{pair[1]}"[6:])
def test_every_dtype_converts_to_every_other(pair: tuple[torch.dtype, torch.dtype]) -> None:
    source, target = pair
    if source.is_complex and not target.is_complex:
        pytest.skip("discards the imaginary part, which torch only warns of")
    values = random_values(7, 33, dtype=source)
    assert_same(values.to("mtia_sim").to(target).cpu(), values.to(target))
    assert_same(values.to("mtia_sim", target).cpu(), values.to(target))
    assert_same(values.to("mtia_sim").to("cpu", target), values.to(target))


def test_special_numbers_convert_as_on_the_cpu() -> None:
    values = torch.tensor(
        [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 65504.0, 65520.0, 1e-8, 3.3e38, 448, 464]
    )
    for target in (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.bool):
        actual = values.to("mtia_sim").to(target).cpu()
        expected = values.to(target)
        assert torch.equal(actual.to(torch.float64).nan_to_num(7.5), expected.to(torch.float64).nan_to_num(7.5)), target
        assert torch.equal(torch.signbit(actual.to(torch.float64))[:2], torch.signbit(expected.to(torch.float64))[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_between_devices(dtype: torch.dtype) -> None:
    values = random_values(37, 41, dtype=dtype)
    first = values.to("mtia_sim:0")
    second = first.to("mtia_sim:1")
    assert second.device.index == 1
    assert_same(second.cpu(), values)
    assert_same(first.t().to("mtia_sim:1").cpu(), values.t())
    assert_same(first.to("mtia_sim:1", torch.float64).cpu(), values.double())
    target = torch.zeros(41, 37, dtype=torch.float32, device="mtia_sim:1")
    target.t().copy_(first)
    assert_same(target.cpu(), values.float().t().contiguous())
    second.copy_(first[:1])
    assert_same(second.cpu(), values[:1].expand(37, 41))


def test_copy_broadcasts() -> None:
    row = random_values(5)
    for source in (row, row.to("mtia_sim")):
        target = torch.zeros(3, 5, device="mtia_sim")
        target.copy_(source)
        assert_same(target.cpu(), row.expand(3, 5))
    host = torch.zeros(3, 5)
    host.copy_(row.to("mtia_sim"))
    assert_same(host, row.expand(3, 5))
    with pytest.raises(RuntimeError):
        torch.zeros(3, 4, device="mtia_sim").copy_(row)
    with pytest.raises(RuntimeError):
        torch.zeros(0, device="mtia_sim").copy_(row)


def test_clone_keeps_dense_layouts_and_contiguous_packs() -> None:
    values = random_values(6, 8)
    tensor = values.to("mtia_sim")
    transposed = tensor.t().clone()
    assert transposed.stride() == (1, 8)
    assert_same(transposed.cpu(), values.t())
    packed = tensor.t().contiguous()
    assert packed.stride() == (6, 1) and packed.data_ptr() != tensor.data_ptr()
    assert_same(packed.cpu(), values.t())
    assert tensor.contiguous().data_ptr() == tensor.data_ptr()


def test_channels_last_conversion_on_the_device() -> None:
    values = random_values(2, 3, 5, 7)
    tensor = values.to("mtia_sim").to(memory_format=torch.channels_last)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert_same(tensor.cpu(), values)


def test_many_dimensions() -> None:
    values = random_values(2, 3, 2, 3, 2, 3, 2, 3, 2)
    order = (8, 0, 7, 1, 6, 2, 5, 3, 4)
    assert_same(values.to("mtia_sim").permute(order).contiguous().cpu(), values.permute(order).contiguous())


def test_overlapping_destinations_are_refused() -> None:
    tensor = torch.zeros(4, device="mtia_sim")
    with pytest.raises(RuntimeError, match="single memory location"):
        tensor[:1].expand(4).copy_(torch.ones(4, device="mtia_sim"))
    with pytest.raises(RuntimeError, match="single memory location"):
        tensor[1:].copy_(tensor[:-1])


def test_conjugate_and_negative_views_are_resolved() -> None:
    values = random_values(4, 5, dtype=torch.complex64)
    tensor = values.to("mtia_sim")
    assert_same(values.conj().to("mtia_sim").cpu(), values.conj().resolve_conj())
    assert_same(values.conj().imag.to("mtia_sim").cpu(), values.conj().imag.resolve_neg())
    assert_same(torch.view_as_real(tensor).cpu(), torch.view_as_real(values))
    assert_same(torch.view_as_complex(torch.view_as_real(tensor)).cpu(), values)


@pytest.mark.parametrize("value", [True, -3, 2**40, 1.5, 2 - 3j])
def test_item(value: complex) -> None:
    assert torch.tensor(value).to("mtia_sim").item() == value
    assert torch.tensor([[value]], device="mtia_sim").item() == value


def test_item_of_several_elements_is_refused() -> None:
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        torch.ones(2, device="mtia_sim").item()


def test_tensor_constructors_reach_the_device() -> None:
    assert torch.tensor([[1, 2], [3, 4]], device="mtia_sim").cpu().tolist() == [[1, 2], [3, 4]]
    assert torch.as_tensor([1.5], device="mtia_sim:1").device.index == 1
    with torch.device("mtia_sim"):
        assert torch.empty(2).device.type == "mtia_sim"
    assert torch.empty_strided((2, 3), (1, 4), device="mtia_sim").stride() == (1, 4)
    assert torch.empty(2, 3, 4, 5, device="mtia_sim", memory_format=torch.channels_last).stride() == (60, 1, 15, 3)
