"""Suite `kernels`: single operators of a Llama at sizes that fill a chip."""

import dataclasses
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from .measure import Call, Case

SUITE = "kernels"
FLOATS = (torch.float32, torch.bfloat16)
M = 1 << 20

Inputs = tuple[Tensor, ...]


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def normal(device: torch.device, dtype: torch.dtype, *shapes: tuple[int, ...]) -> Inputs:
    """Standard normal tensors, the same for every device."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator).to(dtype).to(device) for shape in shapes)


def forward(
    name: str,
    dtype: torch.dtype,
    call: Callable[..., Tensor],
    *shapes: tuple[int, ...],
    flops: int = 0,
    label: str | None = None,
    traffic: int | None = None,
) -> Case:
    """Case of call(*normal tensors of the shapes); each input and one output of the first's shape move once."""

    def build(device: torch.device) -> Call:
        inputs = normal(device, dtype, *shapes)
        return lambda: call(*inputs)

    elements = sum(map(prod, shapes)) + prod(shapes[0])
    moved = elements * dtype.itemsize if traffic is None else traffic
    return Case(SUITE, name, name_of(dtype), label or "x".join(map(str, shapes[0])), build, flops, moved)


def with_gradients(
    name: str, dtype: torch.dtype, call: Callable[..., Tensor], *shapes: tuple[int, ...], flops: int = 0
) -> Case:
    """Case of forward and backward of call; the results are the gradients of the inputs.

    Least traffic: forward reads the inputs and writes an output of the first's shape, backward reads the inputs and the
    output's gradient and writes the inputs' gradients.
    """

    def build(device: torch.device) -> Call:
        inputs = [tensor.requires_grad_() for tensor in normal(device, dtype, *shapes)]
        (gradient,) = normal(device, dtype, tuple(call(*inputs).shape))
        return lambda: torch.autograd.grad(call(*inputs), inputs, gradient)

    moved = (3 * sum(map(prod, shapes)) + 2 * prod(shapes[0])) * dtype.itemsize
    return Case(SUITE, name, name_of(dtype), "x".join(map(str, shapes[0])), build, flops, moved)


def layer_norm_backward(dtype: torch.dtype, rows: int, length: int) -> Case:
    """CPU torch sums the gradients of weight and bias in bfloat16: 3 to 8 % from float64, the device 0.2 %."""

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.layer_norm(x, (length,), weight, bias)

    case = with_gradients("layer_norm_backward", dtype, call, (rows, length), (length,), (length,))
    return case if dtype == torch.float32 else dataclasses.replace(case, tolerance=0.15)


def matmul(dtype: torch.dtype, m: int, n: int, k: int, name: str = "matmul") -> Case:
    traffic = (m * k + k * n + m * n) * dtype.itemsize
    shape = f"{m}x{n}x{k}"
    return forward(name, dtype, torch.matmul, (m, k), (k, n), flops=2 * m * n * k, label=shape, traffic=traffic)


def linear(dtype: torch.dtype, rows: int, outputs: int, inputs: int) -> Case:
    traffic = (rows * inputs + outputs * inputs + rows * outputs) * dtype.itemsize
    flops = 2 * rows * outputs * inputs
    shape = f"{rows}x{outputs}x{inputs}"
    return forward(
        "linear", dtype, functional.linear, (rows, inputs), (outputs, inputs), flops=flops, label=shape, traffic=traffic
    )


def attention(dtype: torch.dtype, shape: tuple[int, int, int, int], backward: bool) -> Case:
    batch, heads, sequence, dimension = shape
    products = 2 * batch * heads * sequence * sequence * dimension  # causal: half of QK^T and PV, 4 b h s s d together

    def call(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)

    if backward:  # five matrix products more than the two of forward
        return with_gradients("attention_causal_backward", dtype, call, shape, shape, shape, flops=products * 7 // 2)
    traffic = 4 * prod(shape) * dtype.itemsize
    return forward("attention_causal", dtype, call, shape, shape, shape, flops=products, traffic=traffic)


def add_into(dtype: torch.dtype, elements: int) -> Case:
    def build(device: torch.device) -> Call:
        first, second, out = normal(device, dtype, (elements,), (elements,), (elements,))
        return lambda: torch.add(first, second, out=out)

    return Case(SUITE, "add_out", name_of(dtype), str(elements), build, 0, 3 * elements * dtype.itemsize)


def cross_entropy(dtype: torch.dtype, rows: int, classes: int) -> Case:
    def build(device: torch.device) -> Call:
        (logits,) = normal(device, dtype, (rows, classes))
        logits.requires_grad_()
        targets = torch.randint(classes, (rows,), generator=torch.Generator().manual_seed(1)).to(device)

        def call() -> Inputs:
            loss = functional.cross_entropy(logits, targets)
            return (loss, *torch.autograd.grad(loss, logits))

        return call

    # Forward reads the logits, backward reads them and writes their gradient; targets twice.
    moved = 3 * rows * classes * dtype.itemsize + 2 * 8 * rows
    return Case(SUITE, "cross_entropy_backward", name_of(dtype), f"{rows}x{classes}", build, 0, moved)


def embedding(dtype: torch.dtype, rows: int, vocabulary: int, hidden: int, backward: bool) -> Case:
    def build(device: torch.device) -> Call:
        table, gradient = normal(device, dtype, (vocabulary, hidden), (rows, hidden))
        tokens = torch.randint(vocabulary, (rows,), generator=torch.Generator().manual_seed(1)).to(device)
        if not backward:
            return lambda: functional.embedding(tokens, table)
        table.requires_grad_()
        return lambda: torch.autograd.grad(functional.embedding(tokens, table), table, gradient)

    name = "embedding_backward" if backward else "embedding"
    # Rows are read and written; backward reads a gradient for each and writes that of the whole table.
    moved = (2 * rows + (rows + vocabulary if backward else 0)) * hidden * dtype.itemsize
    moved += 8 * rows * (2 if backward else 1)
    return Case(SUITE, name, name_of(dtype), f"{rows}x{hidden} of {vocabulary}", build, 0, moved)


def picking(dtype: torch.dtype) -> Iterator[Case]:
    """Operators that read, write or select where data says, of a million elements."""
    generator = torch.Generator().manual_seed(1)
    (x,) = normal(torch.device("cpu"), dtype, (1024, 1024))
    columns = torch.randint(1024, (1024, 1024), generator=generator)
    order = torch.argsort(torch.rand(1024, generator=generator))
    mask = torch.rand(1024, 1024, generator=generator) < 0.5
    numbers = torch.randint(10_000, (M,), generator=generator)
    bounds = x[0].sort().values
    size = dtype.itemsize

    def case(name: str, call: Callable[..., Any], inputs: Inputs, moved: int, label: str = "1024x1024") -> Case:
        def build(device: torch.device) -> Call:
            placed = [tensor.to(device) for tensor in inputs]
            return lambda: call(*placed)

        return Case(SUITE, name, name_of(dtype), label, build, 0, moved)

    yield case("gather", lambda x, i: x.gather(1, i), (x, columns), (2 * size + 8) * M)
    yield case("scatter", lambda x, i: torch.scatter(x, 1, i, 1.0), (x, columns), (2 * size + 8) * M)
    yield case("index_select_columns", lambda x, i: x.index_select(1, i), (x, order), 2 * size * M)
    yield case("index_put_rows", lambda x, i: torch.index_put(x, (i,), x), (x, order), 3 * size * M)
    yield case("masked_select", torch.masked_select, (x, mask), (size + size // 2 + 1) * M)
    yield case("nonzero", torch.nonzero, (mask,), 9 * M)
    yield case("topk", lambda x: x.topk(8)[0], (x,), size * M)
    yield case("searchsorted", torch.searchsorted, (bounds, x), (size + 8) * M, "1024x1024 in 1024")
    if dtype == torch.float32:
        label = "1048576 in 1000"
        yield case("isin", torch.isin, (numbers, numbers[:1000].contiguous()), 9 * M, label)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding as the example's Llama has it."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def dropout(dtype: torch.dtype, rows: int, columns: int) -> Case:
    """Dropout with a probability of 0 of dropping in the CPU's result too: only then do both give the same."""

    def build(device: torch.device) -> Call:
        (x,) = normal(device, dtype, (rows, columns))
        return lambda: functional.dropout(x, 1e-9)

    moved = rows * columns * (2 * dtype.itemsize + 1)  # the mask too
    return Case(SUITE, "dropout", name_of(dtype), f"{rows}x{columns}", build, 0, moved)


def adamw(dtype: torch.dtype, form: str) -> Case:
    """One optimiser step over the shapes of five layers of a 30M Llama."""
    shapes = 5 * [(512, 512), (256, 512), (256, 512), (512, 512), (1408, 512), (1408, 512), (512, 1408), (512,), (512,)]

    def build(device: torch.device) -> Call:
        parameters = [tensor.requires_grad_() for tensor in normal(device, dtype, *shapes)]
        for parameter, gradient in zip(parameters, normal(device, dtype, *shapes), strict=True):
            parameter.grad = 0.1 * gradient
        options = {"fused": True} if form == "fused" else {"foreach": True}
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1, **options)

        def call() -> list[Tensor]:
            optimizer.step()
            return parameters

        return call

    elements = sum(map(prod, shapes))
    moved = 7 * elements * dtype.itemsize  # reads parameter, gradient and two moments; writes all but the gradient
    return Case(SUITE, f"adamw_{form}", name_of(dtype), f"{elements / 1e6:.1f}M", build, 0, moved)


def to_bfloat16(rows: int, columns: int) -> Case:
    case = forward(
        "cast_to_bfloat16", torch.float32, lambda x: x.bfloat16(), (rows, columns), traffic=6 * rows * columns
    )
    return dataclasses.replace(case, tolerance=1e-6)


def cases() -> Iterator[Case]:
    for dtype in FLOATS:
        for edge in (512, 1024, 2048):
            yield matmul(dtype, edge, edge, edge)
        yield linear(dtype, 1024, 1408, 512)
        yield linear(dtype, 1024, 512, 1408)
        yield forward("bmm", dtype, torch.bmm, (32, 256, 64), (32, 64, 256), flops=2 * 32 * 256 * 256 * 64)
        yield forward("add", dtype, torch.add, (16 * M,), (16 * M,))
        yield add_into(dtype, 16 * M)
        yield forward("add_broadcast", dtype, torch.add, (4096, 4096), (4096,))
        yield forward("silu", dtype, functional.silu, (4096, 4096))
        yield forward("gelu", dtype, functional.gelu, (4096, 4096))
        yield forward("swiglu", dtype, lambda gate, up: functional.silu(gate) * up, (1024, 1408), (1024, 1408))
        yield forward("softmax", dtype, lambda x: torch.softmax(x, -1), (4096, 4096))
        yield forward("log_softmax", dtype, lambda x: torch.log_softmax(x, -1), (4096, 4096))
        yield forward("rms_norm", dtype, lambda x, w: functional.rms_norm(x, (4096,), w, 1e-5), (4096, 4096), (4096,))
        yield with_gradients(
            "rms_norm_backward", dtype, lambda x, w: functional.rms_norm(x, (512,), w, 1e-5), (1024, 512), (512,)
        )
        yield forward(
            "layer_norm",
            dtype,
            lambda x, w, b: functional.layer_norm(x, (4096,), w, b),
            (4096, 4096),
            (4096,),
            (4096,),
        )
        yield forward("sum", dtype, torch.sum, (4096, 4096), traffic=16 * M * dtype.itemsize)
        yield forward("transpose_copy", dtype, lambda x: x.t().contiguous(), (4096, 4096))
        yield layer_norm_backward(dtype, 1024, 512)
        yield forward("rotary", dtype, rotate, (4, 8, 256, 64), (256, 64), (256, 64))
        yield dropout(dtype, 4096, 4096)
        yield attention(dtype, (4, 8, 256, 64), backward=False)
        yield attention(dtype, (1, 8, 2048, 64), backward=False)
        yield attention(dtype, (4, 8, 256, 64), backward=True)
        yield cross_entropy(dtype, 1024, 256)
        yield cross_entropy(dtype, 1024, 32000)
        yield embedding(dtype, 4096, 32000, 512, backward=False)
        yield embedding(dtype, 1024, 4096, 512, backward=True)
        yield from picking(dtype)
        yield adamw(dtype, "foreach")
        yield adamw(dtype, "fused")
    yield forward("add", torch.bfloat16, torch.add, (64 * M,), (64 * M,))
    yield to_bfloat16(4096, 4096)
