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
