"""resize_, set_, and storages that grow and shrink."""

import pytest
import torch


def test_resize_keeps_the_leading_elements() -> None:
    tensor = torch.arange(6.0).to("mtia_sim")
    tensor.resize_(3, 4)
    assert tensor.shape == (3, 4)
    assert tensor.flatten()[:6].cpu().tolist() == [0, 1, 2, 3, 4, 5]
    tensor.resize_(2)
    assert tensor.cpu().tolist() == [0, 1]
    tensor.resize_(0)
    assert tensor.numel() == 0


def test_resize_in_a_memory_format() -> None:
    tensor = torch.empty(0, device="mtia_sim").resize_(2, 3, 4, 5, memory_format=torch.channels_last)
    assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_set_shares_the_storage() -> None:
    source = torch.arange(10.0).to("mtia_sim")
    tensor = torch.empty(0, device="mtia_sim")
    tensor.set_(source)
    assert tensor.data_ptr() == source.data_ptr() and tensor.shape == (10,)
    tensor.set_(source.untyped_storage(), 2, (2, 3), (3, 1))
    assert tensor.cpu().tolist() == [[2, 3, 4], [5, 6, 7]]
    tensor.set_(source.untyped_storage())
    assert tensor.shape == (10,)
    tensor.set_()
    assert tensor.numel() == 0 and tensor.device.type == "mtia_sim"


def test_set_refuses_another_device() -> None:
    with pytest.raises(RuntimeError):
        torch.empty(0, device="mtia_sim:0").set_(torch.ones(2).to("mtia_sim:1").untyped_storage())


def test_untyped_storages_resize() -> None:
    tensor = torch.arange(8, dtype=torch.uint8).to("mtia_sim")
    storage = tensor.untyped_storage()
    storage.resize_(20)
    assert storage.nbytes() == 20
    assert tensor.cpu().tolist() == list(range(8))
    storage.resize_(0)
    assert storage.nbytes() == 0


def test_swapping_parameter_data() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3).to("mtia_sim"))
    parameter.data = torch.arange(3.0).to("mtia_sim")
    assert parameter.detach().cpu().tolist() == [0, 1, 2]


def test_uninitialised_memory_is_filled_when_asked_to() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(5, device="mtia_sim").isnan().all().item()
        assert (torch.empty(5, dtype=torch.int32, device="mtia_sim").cpu() == torch.iinfo(torch.int32).max).all()
        grown = torch.zeros(2).to("mtia_sim").resize_(4).cpu()
        assert grown[:2].tolist() == [0, 0] and grown[2:].isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)
