"""Indices out of range: every operator that takes indices from a tensor refuses what CPU torch refuses.

The error surfaces at the next synchronising call, names the operator, the index, the size and the user's line, and
leaves the device usable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches, on_device, random_tensor

Function = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """`call(x, index, source)`; x has the size `n` along dimension 0, where the indices point."""

    name: str
    call: Function
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64, torch.int64, torch.bfloat16, torch.bool)
    vector: bool = True  # the indices are a vector as long as the source along dimension 0; else of x's rank
    index_dtypes: tuple[torch.dtype, ...] = (torch.int64,)


SUMS = (torch.float32, torch.float64, torch.int64, torch.int32)
FLOATS = (torch.float32, torch.bfloat16, torch.float64)
BOTH = (torch.int64, torch.int32)


def first_of_rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(len(x), -1)[:, 0]


CASES = [
    Case("gather", lambda x, i, s: x.gather(0, i), vector=False),
    Case("take_along_dim", lambda x, i, s: x.take_along_dim(i, 0), vector=False),
    Case("scatter", lambda x, i, s: x.scatter(0, i, s), vector=False),
    Case("scatter value", lambda x, i, s: x.scatter(0, i, 1), vector=False),
    Case("scatter in place", lambda x, i, s: x.clone().scatter_(0, i, s), vector=False),
    Case("scatter_add", lambda x, i, s: x.scatter_add(0, i, s), SUMS, vector=False),
    Case("scatter_reduce sum", lambda x, i, s: x.scatter_reduce(0, i, s, "sum"), SUMS, vector=False),
    Case("scatter_reduce mean", lambda x, i, s: x.scatter_reduce(0, i, s, "mean"), SUMS[:2], vector=False),
    Case("scatter_reduce amax", lambda x, i, s: x.scatter_reduce(0, i, s, "amax"), SUMS, vector=False),
    Case("scatter_reduce amin", lambda x, i, s: x.scatter_reduce(0, i, s, "amin"), SUMS, vector=False),
    Case("index_select", lambda x, i, s: x.index_select(0, i), index_dtypes=BOTH),
    Case("index_select of columns", lambda x, i, s: x.transpose(0, -1).index_select(-1, i), index_dtypes=BOTH),
    Case("index_add", lambda x, i, s: x.index_add(0, i, s, alpha=2), SUMS, index_dtypes=BOTH),
    Case("index_copy", lambda x, i, s: x.index_copy(0, i, s)),
    Case("index_fill", lambda x, i, s: x.index_fill(0, i, 1)),
    Case("index", lambda x, i, s: x[i], index_dtypes=BOTH),
    Case("index of columns", lambda x, i, s: x.transpose(0, -1)[..., i]),
    Case("index by two", lambda x, i, s: x[i, i.clamp(-1, 0)]),
    Case("index_put", lambda x, i, s: x.index_put((i,), s)),
    Case("index_put accumulate", lambda x, i, s: x.index_put((i,), s, accumulate=True), SUMS),
    Case("take", lambda x, i, s: first_of_rows(x).take(i)),
    Case("put", lambda x, i, s: first_of_rows(x).clone().put_(i, first_of_rows(s))),
    Case("embedding", lambda x, i, s: F.embedding(i, x), FLOATS, index_dtypes=BOTH),
    Case("embedding padding", lambda x, i, s: F.embedding(i, x, padding_idx=0), FLOATS),
]


def sizes_of(rng: np.random.Generator, case: Case) -> tuple[int, ...]:
    rank = 2 if case.name.startswith("embedding") else int(rng.integers(2, 5))
    return tuple(int(n) for n in rng.integers(1, 7, rank))


def bad_index(rng: np.random.Generator, n: int) -> int:
    return int(rng.choice([-1, -n, -n - 1, n, n + 1, 2**31 - 1, -(2**31)]))


def run_case(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shape = sizes_of(rng, case)
    n = shape[0]
    dtype = case.dtypes[int(rng.integers(len(case.dtypes)))]
    count = int(rng.integers(1, 9 if "put" in case.name or "copy" in case.name else 40))
    if case.name in ("scatter", "scatter in place", "index_copy", "index_put", "put"):
        count = min(count, n)  # without repeats: of several writes to one place torch leaves open which stays
    source_shape = (count, *shape[1:])
    layout = int(rng.integers(3))
    x = random_tensor(*shape, dtype=dtype)
    if layout == 1:  # rows of a larger table: what lies behind them is no row of this one
        x = torch.cat([x, random_tensor(5, *shape[1:], dtype=dtype)])[:n]
    elif layout == 2 and len(shape) == 2:
        x = x.t().contiguous().t()
    source = random_tensor(*source_shape, dtype=dtype)
    values = rng.permutation(n)[:count] if count <= n else rng.integers(0, n, count)
    index = torch.tensor(values, dtype=case.index_dtypes[int(rng.integers(len(case.index_dtypes)))])
    if not case.vector:
        index = index.view(-1, *[1] * (len(shape) - 1)).expand(source_shape).clone()
    spoiled = bool(rng.random() < 0.6)
    wrong = bad_index(rng, n)
    if spoiled:
        index.view(-1)[int(rng.integers(index.numel()))] = wrong
    try:
        expected = case.call(x, index, source)
    except (IndexError, RuntimeError) as error:
        expected = error
    if spoiled and wrong in (-n - 1, n, n + 1) and case.name != "take_along_dim":  # which takes them modulo n
        assert isinstance(expected, Exception), "the CPU is no oracle here"
    larger = torch.cat([x, random_tensor(5, *shape[1:], dtype=dtype)]) if layout == 1 else x
    arguments = (on_device(larger)[:n] if layout == 1 else on_device(x), on_device(index), on_device(source))
    if not isinstance(expected, Exception):
        assert_matches(case.call(*arguments), expected, 1e-2 if dtype == torch.bfloat16 else None)
        return
    with pytest.raises((IndexError, RuntimeError)) as caught:
        case.call(*arguments)
        torch.mtia_sim.synchronize()
    assert float(torch.ones(3, device=DEVICE).sum()) == 3.0
    text = str(caught.value)
    assert re.search(rf"(?<!\d){wrong}(?!\d)", text), text
    assert re.search(rf"(?<!\d){n}(?!\d)", text), text
    assert "test_index_ranges.py:" in text, text
    assert case.name.split()[0] in text, text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_ranges(case: Case) -> None:
    for seed in range(6):
        run_case(case, seed)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_ranges_swept(case: Case) -> None:
    for seed in range(100, 220):
        run_case(case, seed)


# ---- what is made of them


def refused(function: Callable[[], Any], *parts: str) -> None:
    """An error that says all parts, at the latest when the device is waited for; the device lives on."""
    with pytest.raises((IndexError, RuntimeError)) as caught:
        function()
        torch.mtia_sim.synchronize()
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert float(torch.ones(3, device=DEVICE).sum()) == 3.0


def run_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    classes, rows = int(rng.integers(1, 40)), int(rng.integers(1, 30))
    images = bool(rng.random() < 0.3)
    shape = (rows, classes, 2, 3) if images else (rows, classes)
    target = torch.tensor(rng.integers(0, classes, (rows, *shape[2:])))
    ignore = int(rng.choice([-100, 0, classes - 1, classes + 3]))
    weight = random_tensor(classes, low=0.1) if rng.random() < 0.5 else None
    reduction = str(rng.choice(["none", "mean", "sum"]))
    if rng.random() < 0.3:
        target[torch.tensor(rng.random(target.shape) < 0.5)] = ignore
    wrong = int(rng.choice([-1, classes, -classes, 2**40]))
    spoiled = bool(rng.random() < 0.5)
    if spoiled:
        target.view(-1)[int(rng.integers(target.numel()))] = wrong
    dtype = FLOATS[int(rng.integers(3))]
    x = random_tensor(*shape, dtype=dtype)

    def loss(x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None) -> list[torch.Tensor]:
        x = x.detach().requires_grad_()
        out = F.cross_entropy(x, target, weight, ignore_index=ignore, reduction=reduction)
        out.sum().backward()
        assert x.grad is not None
        return [out, x.grad]

    given = None if weight is None else weight.to(dtype)
    try:
        expected = loss(x.double(), target, None if weight is None else given.double())
    except IndexError:
        where = "nll_loss2d" if images else "nll_loss"
        refused(
            lambda: loss(on_device(x), on_device(target), on_device(given)),
            where,
            f"target {wrong} ",
            f"{classes} classes",
        )
        return
    for g, e in zip(loss(on_device(x), on_device(target), on_device(given)), expected, strict=True):
        assert_matches(g, e, 3e-2 if dtype == torch.bfloat16 else 1e-5)


def test_loss_targets() -> None:
    for seed in range(12):
        run_loss(seed)


@pytest.mark.slow
def test_loss_targets_swept() -> None:
    for seed in range(100, 400):
        run_loss(seed)


def test_gradients_of_rows() -> None:
    grad, index = random_tensor(3, 4).to(DEVICE), torch.tensor([0, 5, 1], device=DEVICE)
    backward = torch.ops.aten.embedding_dense_backward
    refused(lambda: backward(grad, index, 5, -1, False), "embedding_dense_backward", "index 5 ", "5 rows")
    padded = backward(grad, index, 5, 5, False).cpu()  # the row that is no row is the padding
    assert torch.equal(padded[0], grad[0].cpu()) and not padded[2:].any()
    scores = torch.ones(2, 3, device=DEVICE)
    wrong = torch.tensor([0, 3], device=DEVICE)
    total = torch.ones((), device=DEVICE)
    refused(
        lambda: torch.ops.aten.nll_loss_backward(total, scores, wrong, None, 1, -100, total),
        "nll_loss_backward",
        "target 3 ",
    )


def test_composed_operators() -> None:
    x = torch.arange(12.0, device=DEVICE).view(4, 3)
    classes = torch.tensor([0, -1, 2], device=DEVICE)
    refused(lambda: F.one_hot(classes, 3), "index -1 ", "size 3")
    refused(lambda: F.one_hot(classes.abs() + 2, 3), "index 3 ", "size 3")
    refused(lambda: torch.bincount(classes), "non-negative")
    mask = torch.tensor([True, False, True, True], device=DEVICE)
    refused(lambda: x[:, 0].masked_scatter(mask, x[:2, 0]), "masked_scatter", "index 2 ")
    refused(lambda: x[:, 0].masked_scatter(mask, x[:0, 0]), "masked_scatter")
    assert torch.equal(x[:, 0].masked_scatter(mask, x[:3, 1]).cpu(), torch.tensor([1.0, 3.0, 4.0, 7.0]))
    for k in (-1, 4):
        refused(lambda k=k: x.topk(k), "out of range")
        refused(lambda k=k: x.kthvalue(k), "out of range")
    refused(lambda: x.flip(0, -2), "multiple times")
    refused(lambda: torch.cat([x, torch.zeros(1, 3)]), "same device")
    refused(lambda: torch.cat([torch.zeros(1, 3), x]), "same device")


def test_views_of_a_larger_storage() -> None:
    x = torch.arange(8.0, device=DEVICE).view(4, 2)
    for function in (
        lambda: F.embedding(torch.tensor([2], device=DEVICE), x[:2]),
        lambda: x[:2].index_select(0, torch.tensor([2], device=DEVICE)),
        lambda: x[:, :1].gather(1, torch.tensor([[1]], device=DEVICE)),
        lambda: x[:2][torch.tensor([2], device=DEVICE)],
        lambda: x.t()[:1].index_add(0, torch.tensor([1], device=DEVICE), x.t()[:1]),
    ):
        refused(function, " of ", "called at")


def test_fill_of_an_expanded_tensor() -> None:
    base = torch.zeros(3, 1, 2, device=DEVICE)
    base.expand(3, 4, 2).fill_(2)
    assert torch.equal(base.cpu(), torch.full((3, 1, 2), 2.0))
    base.expand(5, 3, 4, 2).zero_()
    assert not base.cpu().any()
    torch.zeros((), device=DEVICE).expand(3).fill_(1)
    with pytest.raises(RuntimeError, match="single memory location"):
        base.expand(3, 4, 2).add_(1)


def test_many_index_tensors_name_the_one() -> None:
    x = torch.zeros(2, 3, 2, 3, 2, 3, device=DEVICE)
    indices = [torch.zeros(2, dtype=torch.int64, device=DEVICE) for _ in range(6)]
    indices[4][1] = 2
    refused(lambda: x[tuple(indices)], "index 2 ", "dimension 4 with size 2", "index, called at")
    refused(lambda: x.index_put(tuple(indices), x.new_tensor(1.0)), "index 2 ", "index_put, called at")


def test_the_operator_of_a_backward_pass_is_named() -> None:
    table = torch.ones(4, 2, device=DEVICE, requires_grad=True)
    index = torch.tensor([1, 2], device=DEVICE)
    out = F.embedding(index, table)
    index.data.fill_(9)  # behind autograd's back
    refused(lambda: out.sum().backward(), "embedding_dense_backward", "index 9 ", "4 rows")
