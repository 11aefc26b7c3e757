"""Tensors of many dimensions: each family of operators takes as many as CPU torch does, merged or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches, on_device, random_tensor

Generator = np.random.Generator
MOST = 25  # dimensions in which a tensor still has elements enough to tell orders apart


def shape_of(rng: Generator, rank: int, elements: int = 4096) -> list[int]:
    """Sizes 1 to 3, of which not too many are larger than 1."""
    shape = [1] * rank
    for place in rng.permutation(rank):
        size = int(rng.integers(2, 4))
        if int(np.prod(shape)) * size > elements:
            break
        shape[place] = size
    return shape


def tensor_of(rng: Generator, shape: list[int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Dense, permuted, sliced or expanded."""
    kind = int(rng.integers(4))
    if kind == 1:
        order = rng.permutation(len(shape)).tolist()
        stored = random_tensor(*[shape[d] for d in order], dtype=dtype)
        return stored.permute([order.index(d) for d in range(len(shape))])
    if kind == 2:
        dim = int(rng.integers(len(shape)))
        wide = [2 * n if d == dim else n for d, n in enumerate(shape)]
        return random_tensor(*wide, dtype=dtype)[(slice(None),) * dim + (slice(None, None, 2),)]
    if kind == 3:
        narrow = [1 if rng.random() < 0.3 else n for n in shape]
        return random_tensor(*narrow, dtype=dtype).expand(shape)
    return random_tensor(*shape, dtype=dtype)


def check(function: Callable[..., Any], *arguments: torch.Tensor) -> None:
    expected = function(*arguments)
    got = function(*[on_device_as_it_lies(argument) for argument in arguments])
    assert got.device.type == DEVICE
    assert_matches(got, expected, 2e-5)


def on_device_as_it_lies(tensor: torch.Tensor) -> torch.Tensor:
    """With its strides, expanded ones too."""
    if 0 in tensor.stride():
        base = tensor[tuple(slice(0, 1) if s == 0 else slice(None) for s in tensor.stride())]
        return on_device(base.contiguous()).expand(tensor.shape)
    return on_device(tensor)


def some_dims(rng: Generator, rank: int) -> list[int]:
    return [int(d) for d in np.flatnonzero(rng.random(rank) < 0.5)] or [int(rng.integers(rank))]


def elementwise(rng: Generator, rank: int) -> None:
    shape = shape_of(rng, rank)
    y = tensor_of(rng, [1 if rng.random() < 0.3 else n for n in shape])
    x = tensor_of(rng, shape)
    check(lambda a, b: a * b + 1, x, y)
    check(lambda a, b: torch.where(a > b, a, b), x, y)
    check(lambda a, b: a.masked_fill(b > 0, 3.0), x, y)


def copies(rng: Generator, rank: int) -> None:
    x = tensor_of(rng, shape_of(rng, rank))
    order = rng.permutation(rank).tolist()
    check(lambda a: a.permute(order).contiguous(), x)
    check(lambda a: a.permute(order).double().float(), x)
    check(lambda a: torch.empty_like(a.permute(order)).copy_(a.permute(order)), x)
    check(lambda a: a.contiguous().permute(order).reshape(-1), x)
    check(lambda a: torch.zeros_like(a, memory_format=torch.contiguous_format).fill_(2.0), x)


def reductions(rng: Generator, rank: int) -> None:
    x = tensor_of(rng, shape_of(rng, rank))
    dims, dim = some_dims(rng, rank), int(rng.integers(rank))
    check(lambda a: a.sum(dims), x)
    check(lambda a: a.amax(dims, keepdim=True), x)
    check(lambda a: a.var(dims, correction=0), x)
    check(lambda a: torch.linalg.vector_norm(a, dim=dims), x)
    check(lambda a: a.argmax(dim), x.contiguous())
    check(lambda a: a.softmax(dim), x)
    check(lambda a: a.cumsum(dim), x)
    check(lambda a: a.sort(dim)[0], x)


def indexing(rng: Generator, rank: int) -> None:
    shape = shape_of(rng, rank)
    x = tensor_of(rng, shape)
    count = int(rng.integers(1, min(rank, 9) + 1))
    places = sorted(rng.permutation(rank)[:count].tolist())
    indices = [torch.tensor(rng.integers(-shape[d], shape[d], (2, 1) if rng.random() < 0.5 else (3,))) for d in places]

    def pick(items: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
        chosen = dict(zip(places, items, strict=True))
        return tuple(chosen.get(d, slice(None)) for d in range(rank))

    check(lambda a, *i: a[pick(i)], x, *indices)
    for accumulate in (False, True):

        def put(a: torch.Tensor, *items: torch.Tensor, accumulate: bool = accumulate) -> torch.Tensor:
            chosen = dict(zip(places, items, strict=True))
            wanted = [chosen.get(d) for d in range(rank)]
            return torch.ops.aten.index_put(a.contiguous(), wanted, a.new_tensor(7.0), accumulate)

        check(put, x, *indices)
    mask = random_tensor(*shape, dtype=torch.bool)
    check(lambda a, m: a[m], x, mask)
    check(torch.nonzero, mask)
    check(lambda a, m: a.masked_select(m), x, mask)


def along(rng: Generator, rank: int) -> None:
    shape = shape_of(rng, rank)
    x, dim = tensor_of(rng, shape), int(rng.integers(rank))
    part = [int(rng.integers(1, n + 1)) for n in shape]
    index = torch.tensor(rng.integers(0, shape[dim], part))
    check(lambda a, i: a.gather(dim, i), x, index)
    check(lambda a, i: a.contiguous().scatter(dim, i, 5.0), x, index)
    check(lambda a, i, s: a.contiguous().scatter_add(dim, i, s), x, index, tensor_of(rng, shape))
    row = torch.tensor(rng.integers(0, shape[dim], 2))
    check(lambda a, i: a.index_select(dim, i), x, row)
    check(lambda a, i: a.contiguous().index_fill(dim, i, 2.0), x, row)
    check(lambda a: torch.cat([a, a + 1], dim), x)
    check(lambda a: a.flip(some_dims(np.random.default_rng(rank), rank)), x)
    check(lambda a: a.roll(1, dim), x)
    check(lambda a: torch.stack([a, a], dim) if rank < 60 else a, x)


def others(rng: Generator, rank: int) -> None:
    x = tensor_of(rng, shape_of(rng, rank))
    check(lambda a: F.layer_norm(a, a.shape[-2:], eps=0.5), x)
    check(lambda a: F.pad(a, (1, 2)), x)
    check(lambda a: a.tril(), x.contiguous())
    check(lambda a: a @ a.transpose(-1, -2), x)
    check(lambda a: a.repeat([2] + [1] * (rank - 1)), x)


FAMILIES = [elementwise, copies, reductions, indexing, along, others]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_ranks(family: Callable[[Generator, int], None]) -> None:
    for seed, rank in enumerate((6, 9, MOST)):
        torch.manual_seed(seed)
        family(np.random.default_rng(seed), rank)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_ranks_swept(family: Callable[[Generator, int], None]) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        family(rng, int(rng.integers(2, MOST + 1)))


def test_torchs_own_limit() -> None:
    x = random_tensor(*[1] * 62, 3, 2)
    check(lambda a: a.transpose(-1, -2).contiguous() + 1, x)
    check(lambda a: a.sum(0), x)
    check(lambda a: a[..., torch.tensor([1, 0, 1], device=a.device)], x)
    check(lambda a: (a > 0).nonzero(), x)
