"""Outputs that a caller gives, of operators that are written by hand: on another device, of another dtype, overlapping
an operand or themselves. What CPU torch refuses, the device refuses, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.operators.comparison import DEVICE

# Of a square matrix x; what it returns has the dtype and the sizes of the output.
OF_ONE: dict[str, Callable[..., Any]] = {
    "add": lambda x, **out: torch.add(x, x, **out),
    "addbmm": lambda x, **out: torch.addbmm(x, x[None], x[None], **out),
    "addmm": lambda x, **out: torch.addmm(x, x, x, **out),
    "addmv": lambda x, **out: torch.addmv(x[0], x, x[1], **out),
    "addr": lambda x, **out: torch.addr(x, x[0], x[1], **out),
    "baddbmm": lambda x, **out: torch.baddbmm(x[None], x[None], x[None], **out),
    "bernoulli": lambda x, **out: torch.bernoulli(x, **out),
    "conj_physical": lambda x, **out: torch.conj_physical(x, **out),
    "cumprod": lambda x, **out: torch.cumprod(x, 0, **out),
    "cumsum": lambda x, **out: torch.cumsum(x, 1, **out),
    "glu": lambda x, **out: torch._C._nn.glu(x, 0, **out),
    "histc": lambda x, **out: torch.histc(x, 3, 0, 1, **out),
    "index_select": lambda x, **out: torch.index_select(x, 0, torch.tensor([2, 1], device=x.device), **out),
    "masked_select": lambda x, **out: torch.masked_select(x, x > 0.5, **out),
    "mean": lambda x, **out: torch.mean(x, 0, **out),
    "mm": lambda x, **out: torch.mm(x, x, **out),
    "multinomial": lambda x, **out: torch.multinomial(x, 2, **out),
    "nonzero": lambda x, **out: torch.nonzero(x, **out),
    "polar": lambda x, **out: torch.polar(x, x, **out),
    "prod": lambda x, **out: torch.prod(x, 0, **out),
    "softmax": lambda x, **out: torch.softmax(x, 0, **out),
    "std": lambda x, **out: torch.std(x, 0, **out),
    "sum": lambda x, **out: torch.sum(x, 0, **out),
    "take": lambda x, **out: torch.take(x, torch.tensor([3, 1], device=x.device), **out),
    "tril": lambda x, **out: torch.tril(x, **out),
    "var": lambda x, **out: torch.var(x, 0, **out),
}

# Values and indices.
OF_TWO: dict[str, Callable[..., Any]] = {
    "kthvalue": lambda x, **out: torch.kthvalue(x, 2, 0, **out),
    "max": lambda x, **out: torch.max(x, 0, **out),
    "median": lambda x, **out: torch.median(x, 0, **out),
    "mode": lambda x, **out: torch.mode(x, 0, **out),
    "nanmedian": lambda x, **out: torch.nanmedian(x, 0, **out),
    "sort": lambda x, **out: torch.sort(x, 0, **out),
    "topk": lambda x, **out: torch.topk(x, 2, 0, **out),
}

DTYPES = (torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.bool)


def matrix() -> torch.Tensor:
    return torch.rand(4, 4, generator=torch.Generator().manual_seed(3))


def is_refused(call: Callable[[], Any]) -> bool:
    try:
        call()
        torch.mtia_sim.synchronize()
    except (RuntimeError, IndexError):
        return True
    return False


def verdicts_agree(call: Callable[[str], Any]) -> None:
    assert is_refused(lambda: call(DEVICE)) == is_refused(lambda: call("cpu"))


@pytest.mark.parametrize("name", OF_ONE | OF_TWO)
def test_outputs_on_the_cpu(name: str) -> None:
    x = matrix().to(DEVICE)
    results = (OF_ONE | OF_TWO)[name](x)
    if name in OF_ONE:
        results = [results]
    outputs = [torch.full(r.shape, 7).to(r.dtype) for r in results]
    with pytest.raises(RuntimeError, match="device"):
        (OF_ONE | OF_TWO)[name](x, out=outputs[0] if name in OF_ONE else tuple(outputs))
    assert all(bool((output == 7).all()) for output in outputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OF_ONE)
def test_outputs_of_another_dtype(name: str, dtype: torch.dtype) -> None:
    sizes = OF_ONE[name](matrix()).shape

    def call(device: str) -> Any:
        return OF_ONE[name](matrix().to(device), out=torch.zeros(sizes, dtype=dtype, device=device))

    verdicts_agree(call)


@pytest.mark.parametrize("dtypes", [(torch.float64, torch.int64), (torch.float32, torch.int32), (torch.int64,) * 2])
@pytest.mark.parametrize("name", OF_TWO)
def test_pairs_of_another_dtype(name: str, dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    sizes = OF_TWO[name](matrix())[0].shape

    def call(device: str) -> Any:
        return OF_TWO[name](matrix().to(device), out=tuple(torch.zeros(sizes, dtype=t, device=device) for t in dtypes))

    verdicts_agree(call)


# The operators of which CPU torch checks it, as far as the result is a matrix.
CHECKED = ["add", "addbmm", "addmm", "addr", "bernoulli", "conj_physical", "cumprod", "cumsum", "index_select"]


@pytest.mark.parametrize("shift", [1, 4])
@pytest.mark.parametrize("name", CHECKED)
def test_outputs_that_overlap_an_operand(name: str, shift: int) -> None:
    sizes = OF_ONE[name](matrix()).shape

    def call(device: str) -> Any:
        storage = torch.zeros(40, device=device)
        storage[:16] = matrix().view(-1)
        return OF_ONE[name](storage[:16].view(4, 4), out=storage[shift : shift + sizes.numel()].view(sizes))

    assert is_refused(lambda: call(DEVICE))
    verdicts_agree(call)


@pytest.mark.parametrize("name", ["index_select", "masked_select", "take", "cumsum", "addr", "sort"])
def test_outputs_that_overlap_themselves(name: str) -> None:
    results = (OF_ONE | OF_TWO)[name](matrix().to(DEVICE))
    outputs = [torch.zeros((1,) * r.dim(), dtype=r.dtype, device=DEVICE).expand(r.shape) for r in results]
    if name in OF_ONE:
        outputs = [torch.zeros((1,) * results.dim(), device=DEVICE).expand(results.shape)]
    with pytest.raises(RuntimeError, match="single memory location"):
        (OF_ONE | OF_TWO)[name](matrix().to(DEVICE), out=outputs[0] if name in OF_ONE else tuple(outputs))


def test_integers_sorted_into_themselves() -> None:
    x = torch.randint(0, 50, (3, 7))
    expected = torch.sort(x, stable=True)
    values, indices = torch.empty(3, 7, dtype=torch.int64, device=DEVICE), x.to(DEVICE)
    torch.sort(indices, stable=True, out=(values, indices))
    assert torch.equal(values.cpu(), expected.values) and torch.equal(indices.cpu(), expected.indices)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.sort(x.to(DEVICE), out=(values, values))


def test_mode_takes_outputs() -> None:
    x = torch.tensor([[1.0, 2.0, 2.0], [3.0, 3.0, 1.0]])
    outputs = (torch.empty(0, device=DEVICE), torch.empty(0, dtype=torch.int64, device=DEVICE))
    torch.mode(x.to(DEVICE), 1, out=outputs)
    assert outputs[0].tolist() == [2, 3] and outputs[1].tolist() == [2, 1]


@pytest.mark.parametrize("sizes", [(), (1,), (3, 5), (2, 3)])
def test_addr_in_place_keeps_its_sizes(sizes: tuple[int, ...]) -> None:
    def call(device: str) -> Any:
        return torch.zeros(sizes, device=device).addr_(torch.ones(3, device=device), torch.ones(5, device=device))

    verdicts_agree(call)


def test_dropout_of_integers_is_refused() -> None:
    for dtype in (torch.int64, torch.int8, torch.bool):
        with pytest.raises(RuntimeError, match="can't be cast"):
            torch.nn.functional.dropout(torch.ones(4, dtype=dtype, device=DEVICE))


def test_accumulating_index_put_of_another_dtype_is_refused() -> None:
    x, index = torch.zeros(4, device=DEVICE), torch.tensor([1], device=DEVICE)
    with pytest.raises(RuntimeError, match="dtypes match"):
        x.index_put_((index,), torch.ones(1, dtype=torch.int64, device=DEVICE), accumulate=True)
