"""torch.vmap of attention and of other operators, against vmap on the CPU; a fallback one by one would warn."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.func import grad, vmap

from tests.operators.comparison import assert_matches


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(7)


def check(mapped: Callable[..., Any], *arguments: Tensor, bound: float = 2e-6) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = mapped(*(each.double() if each.is_floating_point() else each for each in arguments))
        warnings.simplefilter("error", UserWarning)
        got = mapped(*(each.to("mtia_sim") for each in arguments))
    for one, other in zip(*((each if isinstance(each, tuple) else (each,)) for each in (got, expected)), strict=True):
        assert_matches(one, other, bound)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, mask, **options)


def inputs(*leading: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(*leading, 2, 4, 5, 8), torch.randn(*leading, 2, 4, 6, 8), torch.randn(*leading, 2, 4, 6, 8)


@pytest.mark.parametrize(
    "dims", [dims for dims in itertools.product([0, 1, None], repeat=3) if any(d is not None for d in dims)]
)
def test_mapped_dimensions(dims: tuple[int | None, ...]) -> None:
    given = [each[0] if dim is None else each.movedim(0, dim) for each, dim in zip(inputs(3), dims, strict=True)]
    check(vmap(attention, in_dims=dims), *given)


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6), (2, 1, 5, 6), (2, 4, 5, 6), (1, 1, 1, 6)])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("boolean", [False, True])
def test_masks(shape: tuple[int, ...], mapped: bool, boolean: bool) -> None:
    mask = torch.randn(3, *shape)
    if boolean:
        mask = mask > -1
        mask[..., 0] = True
    dims = (0, 0, 0, 0 if mapped else None)
    check(vmap(attention, in_dims=dims), *inputs(3), mask if mapped else mask[0])


def test_three_dimensions_causal_and_grouped_heads() -> None:
    query, key, value = inputs(3)
    check(vmap(attention), query[:, 0], key[:, 0], value[:, 0])
    check(vmap(lambda *each: attention(*each, is_causal=True)), query, key, value)
    check(vmap(lambda *each: attention(*each, enable_gqa=True)), query, key[:, :, :2], value[:, :, :2])


def test_nested() -> None:
    twice = vmap(vmap(attention, in_dims=(0, None, 0)), in_dims=(0, 0, None))
    check(twice, torch.randn(2, 3, 2, 4, 5, 8), torch.randn(2, 2, 4, 6, 8), torch.randn(3, 2, 4, 6, 8))


def squared(*each: Tensor) -> Tensor:
    return attention(*each).square().sum()


def test_gradients() -> None:
    query, key, value = inputs(3)
    each = grad(squared, argnums=(0, 1, 2))
    check(vmap(each), query, key, value)
    check(vmap(each, in_dims=(0, None, None)), query, key[0], value[0])
    check(vmap(lambda *tensors: each(*tensors)), query, key, value, torch.randn(3, 5, 6))
    through = grad(lambda *tensors: vmap(attention, in_dims=(0, None, 0))(*tensors).square().sum(), argnums=(0, 1, 2))
    check(through, query, key[0], value)


def test_dropout_asks_for_randomness() -> None:
    query = torch.randn(3, 2, 1, 8, 16, device="mtia_sim")

    def dropped(x: Tensor) -> Tensor:
        return attention(x, x, x, dropout_p=0.5)

    for randomness in ("error", "same"):
        with pytest.raises(RuntimeError, match="randomness"):
            vmap(dropped, randomness=randomness)(query)
    same = query[:1].expand(3, -1, -1, -1, -1)
    first, second, _ = vmap(dropped, randomness="different")(same).cpu()
    assert not torch.equal(first, second)


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "rms_norm": lambda x: functional.rms_norm(x, (6,), x[0]),
    "layer_norm": lambda x: functional.layer_norm(x, (6,), x[0], x[1]),
    "group_norm": lambda x: functional.group_norm(x[None], 2),
    "linear": lambda x: functional.linear(x, x[1:], x[0, :3]),
    "cross_entropy": lambda x: functional.cross_entropy(x, torch.arange(4, device=x.device)),
    "embedding": lambda x: functional.embedding(torch.tensor([0, 2], device=x.device), x),
    "conv1d": lambda x: functional.conv1d(x[None], x[None, :, :3]),
    "glu": lambda x: functional.glu(x, -1),
    "sort": lambda x: x.sort(-1)[0],
    "index": lambda x: x[torch.tensor([0, 2], device=x.device)],
    "polar": lambda x: torch.view_as_real(torch.polar(x.abs(), x)),
    "baddbmm": lambda x: torch.baddbmm(x[None, :, :4], x[None], x[None].mT),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_other_operators(name: str) -> None:
    check(vmap(OPERATORS[name]), torch.randn(3, 4, 6))
