"""Module.to between CPU and device: parameters stay the same objects, tied ones tied, even where someone holds one.
And what carries it: assignments to .data across devices."""

import weakref

import pytest
import torch
from torch import nn


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens))


def test_parameters_stay_the_same_objects_and_tied() -> None:
    model = Tied()
    weight = model.head.weight
    values = weight.detach().clone()
    for place in ("mtia_sim", "cpu", "mtia_sim"):
        model.to(place)
        assert model.head.weight is model.embedding.weight is weight
        assert weight.device.type == place
        assert torch.equal(weight.detach().cpu(), values)


def test_optimizer_made_before_the_move_trains() -> None:
    model = Tied()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.to("mtia_sim")
    before = model.head.weight.detach().cpu()
    model(torch.tensor([1, 2], device="mtia_sim")).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model.head.weight.detach().cpu(), before)
    model.cpu()
    assert model.head.weight.grad.device.type == "cpu"


def test_tied_weights_stay_tied_where_the_graph_still_holds_them() -> None:
    model = Tied().to("mtia_sim")
    reference = weakref.ref(model.head.weight)
    loss = model(torch.tensor([1, 2], device="mtia_sim")).sum()
    model.cpu()
    assert model.head.weight is model.embedding.weight
    assert model.head.weight.device.type == "cpu"
    loss.backward()
    assert reference() is not None


def test_conversions_on_the_cpu_are_left_alone() -> None:
    model = Tied()
    weight = model.head.weight
    assert model.double().head.weight is weight
    assert weight.dtype == torch.float64
    assert not torch.__future__.get_swap_module_params_on_conversion()


def test_meta_modules_are_materialised() -> None:
    model = nn.Linear(2, 3, device="meta").to_empty(device="mtia_sim")
    assert model.weight.device.type == "mtia_sim"


def test_data_of_a_parameter_is_replaced_across_devices() -> None:
    values = torch.arange(6.0).reshape(2, 3)
    parameter = nn.Parameter(torch.zeros(4))
    for place in ("mtia_sim", "cpu"):
        parameter.data = values.to(place)
        parameter.grad = None
        (parameter * parameter).sum().backward()
        assert parameter.grad is not None and parameter.grad.device.type == place
        assert torch.equal(parameter.grad.cpu(), 2 * values)


def test_a_tensor_of_another_layout_is_no_replacement() -> None:
    parameter = nn.Parameter(torch.zeros(2, device="mtia_sim"))
    with pytest.raises(RuntimeError, match="incompatible tensor type"):
        parameter.data = torch.zeros(2).to_sparse()
