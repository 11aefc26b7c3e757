"""torch.compile on device tensors: Inductor's kernels for a Llama's forward and backward, against eager CPU torch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
import triton
import triton.language as tl
from torch import Tensor

from examples.llama.model import Llama
from examples.llama.sizes import Size

VOCABULARY = 97
TINY = Size(hidden=64, layers=1, heads=4, key_value_heads=2, intermediate=176, tied_head=True, learning_rate=1e-3)


@pytest.fixture(autouse=True)
def compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No graph of another test or run, and no pool of processes, which would import torch again."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with torch._inductor.config.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


def tokens(batch: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def loss_of(model: Llama, inputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(model(inputs).float().flatten(0, 1), targets.flatten())


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got.detach().cpu().double() - wanted.double()).norm() / wanted.double().norm())


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_llama_forward_and_backward(device: torch.device, dtype: torch.dtype, bound: float) -> None:
    torch.manual_seed(3)
    reference = Llama(TINY, VOCABULARY, 64)
    model = Llama(TINY, VOCABULARY, 64)
    model.load_state_dict(reference.state_dict())
    model.to(device, dtype)
    inputs, targets = tokens(3, 37), tokens(3, 37, seed=1)
    wanted = loss_of(reference, inputs, targets)
    wanted.backward()
    got = torch.compile(loss_of, fullgraph=True)(model, inputs.to(device), targets.to(device))
    got.backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert relative_error(got, wanted.detach()) < bound
    gradients = dict(model.named_parameters())
    for name, parameter in reference.named_parameters():
        assert relative_error(gradients[name].grad, parameter.grad) < bound, name
    assert not torch.mtia_sim.fallbacks()


def test_shapes_that_change_compile_once(device: torch.device) -> None:
    model = Llama(TINY, VOCABULARY, 64)
    on_device = Llama(TINY, VOCABULARY, 64)
    on_device.load_state_dict(model.state_dict())
    compiled = torch.compile(on_device.to(device).forward, dynamic=True)
    for batch, length in ((2, 19), (3, 33), (5, 8)):
        inputs = tokens(batch, length)
        with torch.no_grad():
            assert relative_error(compiled(inputs.to(device)), model(inputs)) < 2e-6
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_what_llama_lacks(device: torch.device) -> None:
    """Scans, argmax, scatter with atomics, random numbers, several outputs, integers, a scalar of the host."""

    def function(x: Tensor, indices: Tensor, factor: Tensor) -> tuple[Tensor, ...]:
        kept = functional.dropout(x, 0.5, training=True)
        return (
            torch.cumsum(x.sigmoid(), 1),
            x.argmax(1),
            torch.zeros(11, x.shape[1], device=x.device).index_add(0, indices, x),
            torch.var_mean(x, 0)[0],
            (indices // 3) % 5 - (indices >> 1),
            x * factor,
            torch.where(kept == 0, 0.5, x / kept).mean(),
        )

    x = torch.randn(70, 130, generator=torch.Generator().manual_seed(1))
    indices = torch.randint(11, (70,), generator=torch.Generator().manual_seed(2))
    factor = torch.tensor(1.5)
    got = torch.compile(function)(x.to(device), indices.to(device), factor)
    wanted = function(x, indices, factor)
    for index, (one, other) in enumerate(zip(got[:-1], wanted[:-1], strict=True)):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-5, atol=1e-5, msg=lambda text, i=index: f"{i}: {text}")
    # A value kept is doubled, x / kept is then 1/2 as well; other seeds, the same numbers.
    torch.testing.assert_close(got[-1].cpu(), torch.tensor(0.5))


@triton.jit
def add_and_scale(x, y, out, n, scale, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    total = tl.load(x + offsets, mask=inside) + tl.load(y + offsets, mask=inside)
    tl.store(out + offsets, total * scale, mask=inside)


def test_a_triton_kernel_inside_a_compiled_function(device: torch.device) -> None:
    """Dynamo keeps the launch whole, without a graph break, and Inductor emits it between its own kernels."""

    def function(x: Tensor, y: Tensor) -> Tensor:
        x = x.sin()
        out = torch.empty_like(x)
        add_and_scale[(triton.cdiv(x.numel(), 128),)](x, y, out, x.numel(), 0.5, BLOCK=128)
        return out.exp()

    x, y = torch.randn(7, 71), torch.randn(7, 71)
    got = torch.compile(function, fullgraph=True)(x.to(device), y.to(device))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert relative_error(got, ((x.double().sin() + y.double()) * 0.5).exp()) < 1e-6
    assert torch.utils._triton.has_triton()


def laid_out(sizes: tuple[int, ...], order: tuple[int, ...], seed: int) -> Tensor:
    """Numbers of `sizes` whose dimensions lie in memory in `order`."""
    dense = torch.randn([sizes[dim] for dim in order], generator=torch.Generator().manual_seed(seed))
    return dense.permute([order.index(dim) for dim in range(len(sizes))])


@pytest.mark.parametrize(
    ("order", "value_size", "masked", "dynamic"),
    [
        ((0, 1, 2, 3), 8, False, False),
        ((0, 2, 1, 3), 8, True, False),
        ((2, 0, 1, 3), 12, True, False),
        ((1, 0, 2, 3), 4, False, True),
    ],
)
def test_attention_has_the_strides_that_its_meta_function_promises(
    device: torch.device, order: tuple[int, ...], value_size: int, masked: bool, dynamic: bool
) -> None:
    query, key, value = (
        laid_out((2, heads, length, size), order, seed)
        for seed, (heads, length, size) in enumerate([(4, 5, 8), (2, 7, 8), (2, 7, value_size)])
    )
    mask = torch.randn(5, 7, generator=torch.Generator().manual_seed(4)) if masked else None

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        heads = functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
        return heads.transpose(1, 2).flatten(2) + 1

    wide = [each.double().requires_grad_() for each in (query, key, value)]
    expected = attend(*wide, None if mask is None else mask.double())
    gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5))
    wanted = torch.autograd.grad(expected, wide, gradient.double())
    given = [each.to(device).requires_grad_() for each in (query, key, value)]
    assert all(each.stride() == other.stride() for each, other in zip(given, (query, key, value), strict=True))
    out = torch.compile(attend, dynamic=dynamic)(*given, None if mask is None else mask.to(device))
    found = torch.autograd.grad(out, given, gradient.to(device))
    for one, other in zip([out, *found], [expected.detach(), *wanted], strict=True):
        assert relative_error(one, other) < 2e-6


def test_an_attention_module(device: torch.device) -> None:
    module = torch.nn.MultiheadAttention(16, 4, batch_first=True).to(device)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)).to(device)

    def attend(x: Tensor) -> Tensor:
        return module(x, x, x, need_weights=False)[0]

    assert relative_error(torch.compile(attend)(x), attend(x).detach().cpu()) < 1e-6


@pytest.mark.finds
def test_an_index_out_of_range_is_refused_as_an_eager_operator_does() -> None:
    table = torch.randn(5, 6)
    compiled = torch.compile(lambda table, rows: table[rows].exp() + 1, dynamic=False)
    rows = torch.tensor([4, -5, 0] * 13)
    got = compiled(table.to("mtia_sim"), rows.to("mtia_sim"))
    assert relative_error(got, table[rows].exp() + 1) < 1e-6
    for wrong, told in ((5, 5), (-6, -1), (1000, 1000)):
        rows[20] = wrong
        with pytest.raises(IndexError, match=rf"test_compile.py:\d+: index {told} is out of bounds.* of size 5"):
            compiled(table.to("mtia_sim"), rows.to("mtia_sim")).cpu()
        assert float(torch.ones(3, device="mtia_sim").sum()) == 3.0
