"""torch.save and torch.load across devices, map_location in all its forms, and copying by copy and pickle."""

import copy
import io
from typing import Any

import pytest
import torch


def round_trip(value: Any, **options: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_a_tensor_returns_to_its_device(dtype: torch.dtype) -> None:
    values = (torch.randn(5, 7) * 4).to(dtype)
    for device in ("mtia_sim:0", "mtia_sim:1"):
        loaded = round_trip(values.to(device))
        assert loaded.device == torch.device(device) and loaded.dtype == dtype
        assert torch.equal(loaded.cpu().to(torch.float64), values.to(torch.float64))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("cpu", "cpu"),
        ("mtia_sim:1", "mtia_sim:1"),
        ("mtia_sim", "mtia_sim:0"),
        (torch.device("mtia_sim:1"), "mtia_sim:1"),
        ({"mtia_sim:0": "mtia_sim:1"}, "mtia_sim:1"),
        (lambda storage, location: storage.mtia_sim(1), "mtia_sim:1"),
    ],
)
def test_map_location(location: Any, expected: str) -> None:
    values = torch.randn(11)
    loaded = round_trip(values.to("mtia_sim:0"), map_location=location)
    assert loaded.device == torch.device(expected)
    assert torch.equal(loaded.cpu(), values)


def test_a_cpu_checkpoint_loads_onto_the_device() -> None:
    values = torch.randn(4, 3)
    assert round_trip(values, map_location="mtia_sim").device.type == "mtia_sim"


def test_views_share_their_storage_after_loading() -> None:
    base = torch.arange(12.0).reshape(3, 4).to("mtia_sim")
    loaded, view = round_trip([base, base[1:, ::2]])
    assert view.untyped_storage().data_ptr() == loaded.untyped_storage().data_ptr()
    assert view.stride() == (4, 2) and torch.equal(loaded.cpu(), base.cpu())


def test_a_module_and_its_optimiser_state() -> None:
    module = torch.nn.Linear(3, 4).to("mtia_sim")
    state = round_trip(module.state_dict())
    other = torch.nn.Linear(3, 4).to("mtia_sim:1")
    other.load_state_dict(state)
    assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_a_missing_device_is_named() -> None:
    buffer = io.BytesIO()
    torch.save(torch.ones(2).to("mtia_sim:1"), buffer)
    data = buffer.getvalue().replace(b"mtia_sim:1", b"mtia_sim:9")
    with pytest.raises(RuntimeError, match=r"(?i)mtia_sim"):
        torch.load(io.BytesIO(data))


def test_deepcopy() -> None:
    tensor = torch.randn(3, 4).to("mtia_sim")
    duplicate = copy.deepcopy(tensor)
    assert duplicate.device == tensor.device and duplicate.data_ptr() != tensor.data_ptr()
    assert torch.equal(duplicate.cpu(), tensor.cpu())


def test_storage_copies_between_devices() -> None:
    storage = torch.arange(10, dtype=torch.uint8).untyped_storage()
    on_device = storage.to(device="mtia_sim")
    assert on_device.device.type == "mtia_sim"
    assert on_device.cpu().tolist() == list(range(10))
