"""Recurrent layers and cells, forward and backward, against float64 CPU torch."""

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from tests.operators.comparison import assert_matches

BOUNDS = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def on(value: Any, dtype: torch.dtype, device: str) -> Any:
    """The tensors of a module's input as leaves of a dtype on a device."""
    if isinstance(value, PackedSequence):
        orders = [None if order is None else order.to(device) for order in value[2:]]
        return PackedSequence(on(value.data, dtype, device), value.batch_sizes, *orders)
    if isinstance(value, tuple):
        return tuple(on(each, dtype, device) for each in value)
    return value.to(device, dtype).detach().requires_grad_()


def tensors_of(value: Any) -> list[Tensor]:
    if isinstance(value, PackedSequence):
        return [value.data]
    return [value] if isinstance(value, Tensor) else [tensor for each in value for tensor in tensors_of(each)]


def check(module: nn.Module, inputs: list[Any], dtype: torch.dtype = torch.float32) -> None:
    """Outputs and gradients of all inputs and parameters, which hold numbers of `dtype`."""
    module = module.to(dtype)
    inputs = [on(each, dtype, "cpu") for each in inputs]
    reference, cpu = copy.deepcopy(module).double(), copy.deepcopy(module)
    gradients = [torch.randn(each.shape).to(dtype) for each in tensors_of(cpu(*inputs))]
    found = results(module.to("mtia_sim"), inputs, gradients, dtype)
    same = results(cpu, inputs, gradients, dtype)
    for one, other, own in zip(found, results(reference, inputs, gradients, torch.double), same, strict=True):
        assert one.dtype == dtype and one.shape == other.shape
        # Gradients that cancel, or a relu at zero: CPU torch in the same dtype leaves the bound too.
        assert_matches(one, other, max(BOUNDS[dtype], 2 * relative_error(own, other)))


def results(module: nn.Module, inputs: list[Any], gradients: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """A module's outputs, and the gradients of its inputs and parameters for those of the outputs, in a dtype."""
    place = str(next(module.parameters()).device)
    given = [on(each, dtype, place) for each in inputs]
    out = tensors_of(module(*given))
    weights = [each.to(place, dtype) for each in gradients]
    return [*out, *torch.autograd.grad(out, [*tensors_of(given), *module.parameters()], weights)]


def relative_error(value: Tensor, expected: Tensor) -> float:
    norm = float(expected.detach().norm())
    return float((value.detach().double() - expected.detach()).norm()) / norm if norm > 0 else 0.0


def drawn(seed: int) -> tuple[nn.Module, list[Any], torch.dtype]:
    """A layer or cell with an input that fits it, by chance."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    dtype = chance.choice([torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.float16])
    width, hidden = chance.choice([1, 3, 7, 33]), chance.choice([2, 5, 9, 40, 129])
    batch, length = chance.choice([1, 2, 5, 17]), chance.choice([1, 2, 4])
    bias = chance.random() < 0.7
    if chance.random() < 0.3:
        cell = chance.choice([nn.LSTMCell, nn.GRUCell, nn.RNNCell])
        inputs: list[Any] = [torch.randn(batch, width)]
        if chance.random() < 0.5:
            states = [torch.randn(batch, hidden) for _ in range(2)]
            inputs.append(tuple(states) if cell is nn.LSTMCell else states[0])
        return cell(width, hidden, bias=bias), inputs, dtype
    kind = chance.choice([nn.LSTM, nn.GRU, nn.RNN])
    layers, both, first = chance.choice([1, 2, 3]), chance.random() < 0.4, chance.random() < 0.5
    options: dict[str, Any] = {"bias": bias, "bidirectional": both, "batch_first": first}
    if kind is nn.RNN:
        options["nonlinearity"] = chance.choice(["tanh", "relu"])
    if kind is nn.LSTM and chance.random() < 0.4:
        options["proj_size"] = chance.randint(1, hidden - 1)
    x: Any = torch.randn(batch, length, width) if first else torch.randn(length, batch, width)
    if chance.random() < 0.3:
        lengths = torch.tensor([chance.randint(1, length) for _ in range(batch)])
        x = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
    inputs = [x]
    if chance.random() < 0.5:
        rows = layers * (2 if both else 1)
        states = [torch.randn(rows, batch, size) for size in (options.get("proj_size", hidden), hidden)]
        inputs.append(tuple(states) if kind is nn.LSTM else states[1])
    return kind(width, hidden, layers, **options), inputs, dtype


@pytest.mark.parametrize("seed", range(16))
def test_drawn(seed: int) -> None:
    check(*drawn(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16, 320))
def test_many_drawn(seed: int) -> None:
    check(*drawn(seed))


def test_rows_wider_than_a_tile() -> None:
    check(nn.LSTM(5, 1500), [torch.randn(1, 3, 5)])
    check(nn.GRU(5, 1500), [torch.randn(1, 3, 5)])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gradients_of_gradients(kind: type[nn.Module]) -> None:
    module, x = kind(4, 5), torch.randn(3, 2, 4)

    def twice(module: nn.Module, x: Tensor) -> Tensor:
        x = x.requires_grad_()
        (gradient,) = torch.autograd.grad(module(x)[0].square().sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), x)[0]

    expected = twice(copy.deepcopy(module).double(), x.double())
    assert_matches(twice(module.to("mtia_sim"), x.to("mtia_sim")), expected, 1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(kind: type[nn.Module], dtype: torch.dtype) -> None:
    module = kind(8, 8).to("mtia_sim")
    x = torch.randn(3, 2, 8)
    expected = copy.deepcopy(module).double().cpu()(x.double())[0]
    with torch.autocast("mtia_sim", dtype):
        out = module(x.to("mtia_sim"))[0]
    assert out.dtype == dtype
    assert_matches(out, expected, 2e-2)
    out.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_dropout_between_layers_is_drawn_and_trained() -> None:
    module = nn.GRU(6, 40, 2, dropout=0.5).to("mtia_sim")
    x = torch.randn(3, 2, 6, device="mtia_sim")
    first, second = module(x)[0], module(x)[0]
    assert not torch.equal(first.cpu(), second.cpu())
    module.eval()
    assert torch.equal(module(x)[0].cpu(), module(x)[0].cpu())
    first.sum().backward()
    assert module.weight_ih_l1.grad.count_nonzero() > 0


def test_infinities_and_nan() -> None:
    for kind in (nn.LSTMCell, nn.GRUCell):
        module = kind(3, 4)
        x = torch.tensor([[1e30, -1e30, 0.0], [float("nan"), 1.0, 2.0], [0.5, -0.5, 3.0]])
        expected = tensors_of(copy.deepcopy(module)(x))
        for got, want in zip(tensors_of(module.to("mtia_sim")(x.to("mtia_sim"))), expected, strict=True):
            torch.testing.assert_close(got.cpu(), want, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_empty_batch() -> None:
    module = nn.LSTM(3, 4).to("mtia_sim")
    out = module(torch.randn(2, 0, 3, device="mtia_sim"))[0]
    assert out.shape == (2, 0, 4)
    out.sum().backward()
    assert module.weight_hh_l0.grad.count_nonzero() == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: nn.LSTM(4, 4).to(d)(torch.randn(3, 2, 5, device=d)), "input_size"),
        (lambda d: nn.LSTM(4, 4).to(d)(torch.randn(0, 2, 4, device=d)), "sequence length"),
        (lambda d: nn.GRU(4, 4).to(d)(torch.randn(3, 2, 4, device=d), torch.zeros(1, 2, 4)), "same device"),
        (
            lambda d: nn.GRUCell(4, 4).to(d)(torch.randn(2, 4, device=d), torch.zeros(2, 4, device=d).double()),
            "dtype|type",
        ),
        (lambda d: cell(torch.ones(2, 8, device=d), torch.ones(2, 8, device=d), torch.ones(2, 3, device=d)), "hidden"),
        (lambda d: cell(torch.ones(2, 8, device=d), torch.ones(2, 4, device=d), torch.ones(2, 2, device=d)), "gates"),
        (lambda d: cell(*[torch.ones(2, 8, device=d).int()] * 2, torch.ones(2, 2, device=d).int()), "floating"),
    ],
)
def test_refused(call: Callable[[str], object], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        call("mtia_sim")


def cell(*tensors: Tensor) -> object:
    return torch.ops.aten._thnn_fused_lstm_cell(*tensors)
