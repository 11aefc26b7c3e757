"""Nested tensors of jagged and of strided layout, and the encoder that would make strided ones, against CPU torch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

DEVICE = "mtia_sim"
ROWS = [torch.randn(3, 4), torch.randn(0, 4), torch.randn(5, 4)]


def jagged(device: str) -> Tensor:
    return torch.nested.nested_tensor(ROWS, layout=torch.jagged, device=device)


CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": lambda x: x.sin(),
    "product": lambda x: x * x,
    "linear": lambda x: functional.linear(x, torch.ones(2, 4, device=x.device)),
    "layer_norm": lambda x: functional.layer_norm(x, (4,)),
    "softmax": lambda x: x.softmax(-1),
    "sum of features": lambda x: x.sum(-1),
    "padded": lambda x: x.to_padded_tensor(-1.0),
    "sum of rows": lambda x: x.sum(1),
    "mean of rows": lambda x: (x + 1).sum(1) / 2,
}


@pytest.mark.parametrize("name", CALLS)
def test_jagged(name: str) -> None:
    expected, got = CALLS[name](jagged("cpu")), CALLS[name](jagged(DEVICE))
    for one, other in zip(got.unbind(), expected.unbind(), strict=True):
        assert one.device.type == DEVICE
        torch.testing.assert_close(one.cpu(), other)


def test_jagged_gradients() -> None:
    gradients = []
    for device in ("cpu", DEVICE):
        values = torch.arange(32.0, device=device).view(8, 4).requires_grad_()
        nested = torch.nested.nested_tensor_from_jagged(values, torch.tensor([0, 3, 8], device=device))
        padded = nested.to_padded_tensor(0.0)
        (padded * padded.detach().cumsum(1)).sin().sum().backward()
        assert values.grad is not None
        gradients.append(values.grad.cpu())
    torch.testing.assert_close(gradients[1], gradients[0])


def test_padded_to_jagged() -> None:
    dense = torch.arange(24.0).view(2, 3, 4)
    offsets = torch.tensor([0, 2, 6])  # the second has more rows than there are
    got = torch.ops.aten._padded_dense_to_jagged_forward(dense.to(DEVICE), [offsets.to(DEVICE)], 6)
    assert torch.equal(got[:5].cpu(), torch.cat([dense[0, :2], dense[1]])) and not got[5].any()
    back = torch.ops.aten._jagged_to_padded_dense_forward(got, [offsets.to(DEVICE)], [2], 7.0)
    assert torch.equal(back.cpu(), dense[:, :2])
    first = torch.tensor([0, 2, 4], device=DEVICE)  # rows behind the last offset are in no list
    back = torch.ops.aten._jagged_to_padded_dense_forward(got, [first], [2], 7.0)
    assert torch.equal(back.cpu(), dense[:, :2])


def encoder(norm_first: bool, activation: str) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        16, 2, 32, batch_first=True, norm_first=norm_first, activation=activation, dropout=0.0
    )
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval()


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_in_evaluation(norm_first: bool, activation: str) -> None:
    model, x = encoder(norm_first, activation), torch.randn(2, 5, 16)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    with torch.no_grad():
        expected = [model(x), model(x, src_key_padding_mask=padding), model(x, mask=causal)]
        model.to(DEVICE)
        got = [
            model(x.to(DEVICE)),
            model(x.to(DEVICE), src_key_padding_mask=padding.to(DEVICE)),
            model(x.to(DEVICE), mask=causal.to(DEVICE)),
        ]
    for i, (one, other) in enumerate(zip(got, expected, strict=True)):
        kept = ~padding if i == 1 else torch.ones_like(padding)  # what stands in padding is open
        torch.testing.assert_close(one.cpu()[kept], other[kept], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_attention_module_in_evaluation(need_weights: bool, average: bool) -> None:
    model = nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x, padding = torch.randn(2, 5, 16), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    options = {"need_weights": need_weights, "average_attn_weights": average}
    results = []
    with torch.no_grad():
        for device in ("cpu", DEVICE):
            y = x.to(device)
            model.to(device)
            results.append(model(y, y, y, key_padding_mask=padding.to(device), **options))
    assert (results[1][1] is None) == (results[0][1] is None)
    for one, other in zip(results[1], results[0], strict=True):
        if other is not None:
            torch.testing.assert_close(one.cpu(), other, atol=1e-5, rtol=1e-4)


HEADS = [torch.randn(2, 3, 8), torch.randn(2, 1, 8), torch.randn(2, 5, 8)]


def strided(tensors: list[Tensor], device: str) -> Tensor:
    return torch.nested.nested_tensor(tensors, layout=torch.strided, device=device, requires_grad=True)


def attention(x: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(x, x, x)


STRIDED: dict[str, tuple[Callable[[Tensor], Tensor], list[Tensor]]] = {
    "sum of two": (lambda x: x + x * 2, HEADS),
    "quotient": (lambda x: x / 4 - x, HEADS),
    "activations": (lambda x: functional.silu(functional.gelu(x.relu())), HEADS),
    "linear": (lambda x: functional.linear(x, torch.ones(3, 4, device=x.device), torch.ones(3, device=x.device)), ROWS),
    "layer_norm": (lambda x: functional.layer_norm(x, (8,), *torch.ones(2, 8, device=x.device)), HEADS),
    "softmax": (lambda x: x.softmax(-1), HEADS),
    "products": (lambda x: x @ x.transpose(-1, -2), HEADS),
    "transposed": (lambda x: x.transpose(1, 2).contiguous(), HEADS),
    "viewed": (lambda x: x.view(3, 2, -1, 2, 4), HEADS),
    "attention": (attention, HEADS),
    "selected": (lambda x: x[2], HEADS),
}


@pytest.mark.parametrize("name", STRIDED)
def test_strided(name: str) -> None:
    call, tensors = STRIDED[name]
    found = []
    for device in ("cpu", DEVICE):
        x = strided(tensors, device)
        result = call(x)
        assert result.device.type == device
        padded = result.to_padded_tensor(0.0) if result.is_nested else result
        padded.square().sum().backward()
        assert x.grad is not None
        found.append([padded.detach().cpu(), *(each.cpu() for each in x.grad.unbind())])
    torch.testing.assert_close(found[1], found[0])


def test_strided_ones_that_are_made_and_moved() -> None:
    there = strided(HEADS, DEVICE).detach()
    for back in (there.cpu(), torch.nested.nested_tensor(HEADS).to(DEVICE).cpu(), there.clone().cpu()):
        assert all(torch.equal(one, other) for one, other in zip(back.unbind(), HEADS, strict=True))
    mask = torch.tensor([[True, True, False], [True, True, True]])
    made = torch._nested_tensor_from_mask(torch.ones(2, 3, 4, device=DEVICE), mask.to(DEVICE))
    assert [tuple(each.shape) for each in made.unbind()] == [(2, 4), (3, 4)]
    with pytest.raises(NotImplementedError, match="unbind"):
        there.cumsum(-1)


def test_attention_of_jagged_rows() -> None:
    rows = [torch.randn(length, 16) for length in (3, 5, 2)]
    found = []
    for device in ("cpu", DEVICE):
        x = torch.nested.nested_tensor(rows, layout=torch.jagged, device=device, requires_grad=True)
        result = attention(x.unflatten(-1, [2, 8]).transpose(1, 2)).transpose(1, 2).flatten(-2)
        (grad,) = torch.autograd.grad(result.values().square().sum(), x)
        found.append([result.detach().values().cpu(), grad.values().cpu()])
    torch.testing.assert_close(found[1], found[0])
