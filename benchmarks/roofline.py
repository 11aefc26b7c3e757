#!/usr/bin/env python3
"""What bounds each kernel of a Llama's training step on the chip: its chip time beside its roofline, and who is busy.

python benchmarks/roofline.py --model 30m      (or 8b: one layer of it; --dtype bfloat16)
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as functional
from suites.kernels import name_of, normal, rotate

from mtia_core import chips

DEVICE = torch.device("mtia_sim")
HEADER = "| kernel | shape | chip us | roofline us | share | bound by | who is busy |\n|---|---|---|---|---|---|---|"
UNITS = {
    "dot_product_engine": "DPE",
    "vector_core": "vector core",
    "simd_engine": "SIMD",
    "reduction_engine": "RE",
    "memory_layout_unit": "MLU",
    "fabric_interface": "DMA",
}
IDLE = 0.5  # where nothing is busy for half of the time, kernels wait for memory's latency and for one another


@dataclass(frozen=True)
class Sizes:
    """A Llama's layer and how many tokens go through it."""

    batch: int
    sequence: int
    hidden: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int
    parameters: int  # of the optimizer's step

    @property
    def tokens(self) -> int:
        return self.batch * self.sequence


MODELS = {
    "30m": Sizes(4, 256, 512, 8, 4, 1408, 256, 14_800_000),
    "8b": Sizes(1, 2048, 4096, 32, 8, 14336, 128_256, 218_000_000),
}


@dataclass(frozen=True)
class Kernel:
    """An operator with the least flops and bytes that it needs; `call` runs it once."""

    name: str
    shape: str
    call: Callable[[], Any]
    flops: int
    bytes: int


def gradient_of(call: Callable[[], torch.Tensor], inputs: list[torch.Tensor]) -> Callable[[], Any]:
    """A call of the backward pass alone."""
    out = call()
    gradient = torch.ones_like(out)
    return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)


def inputs_of(dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [tensor.requires_grad_() for tensor in normal(DEVICE, dtype, *shapes)]


def products(dtype: torch.dtype, name: str, rows: int, outputs: int, inputs: int) -> Iterator[Kernel]:
    x, weight = inputs_of(dtype, (rows, inputs), (outputs, inputs))
    moved = (rows * inputs + outputs * inputs + rows * outputs) * dtype.itemsize
    flops = 2 * rows * outputs * inputs
    label = f"{rows}x{outputs}x{inputs}"
    yield Kernel(name, label, lambda: functional.linear(x, weight), flops, moved)
    backward = gradient_of(lambda: functional.linear(x, weight), [x, weight])
    more = (rows * inputs + outputs * inputs) * dtype.itemsize
    yield Kernel(f"{name} backward", label, backward, 2 * flops, moved + more)


def elementwise(
    dtype: torch.dtype,
    name: str,
    call: Callable[..., torch.Tensor],
    shapes: list[tuple[int, ...]],
    passes: int,
    back: int,
) -> Iterator[Kernel]:
    """`passes` and `back`: how often a tensor of the first shape must cross, at least, forward and backward."""
    inputs = inputs_of(dtype, *shapes)
    size = prod(shapes[0]) * dtype.itemsize
    label = "x".join(map(str, shapes[0]))
    yield Kernel(name, label, lambda: call(*inputs), 0, passes * size)
    if back:
        yield Kernel(f"{name} backward", label, gradient_of(lambda: call(*inputs), inputs), 0, back * size)


def attention(dtype: torch.dtype, sizes: Sizes) -> Iterator[Kernel]:
    dimension = sizes.hidden // sizes.heads
    shape = (sizes.batch, sizes.heads, sizes.sequence, dimension)
    shared = (sizes.batch, sizes.key_value_heads, sizes.sequence, dimension)
    q, k, v = inputs_of(dtype, shape, shared, shared)

    def call() -> torch.Tensor:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    flops = 2 * sizes.batch * sizes.heads * sizes.sequence**2 * dimension  # half of all scores
    size = (2 * prod(shape) + 2 * prod(shared)) * dtype.itemsize
    label = "x".join(map(str, shape)) + f", {sizes.key_value_heads} kv heads"
    yield Kernel("causal attention", label, call, flops, size)
    yield Kernel("causal attention backward", label, gradient_of(call, [q, k, v]), flops * 5 // 2, 2 * size)


def ends(dtype: torch.dtype, sizes: Sizes) -> Iterator[Kernel]:
    """Embedding, loss and optimizer."""
    tokens = torch.randint(sizes.vocabulary, (sizes.tokens,), generator=torch.Generator().manual_seed(0)).to(DEVICE)
    (table,) = inputs_of(dtype, (sizes.vocabulary, sizes.hidden))
    rows = sizes.tokens * sizes.hidden * dtype.itemsize
    label = f"{sizes.tokens}x{sizes.hidden} of {sizes.vocabulary}"
    yield Kernel("embedding", label, lambda: functional.embedding(tokens, table), 0, 2 * rows + 8 * sizes.tokens)
    backward = gradient_of(lambda: functional.embedding(tokens, table), [table])
    whole = sizes.vocabulary * sizes.hidden * dtype.itemsize
    yield Kernel("embedding backward", label, backward, 0, rows + whole + 8 * sizes.tokens)
    (logits,) = inputs_of(dtype, (sizes.tokens, sizes.vocabulary))
    size = logits.numel() * dtype.itemsize
    label = f"{sizes.tokens}x{sizes.vocabulary}"
    yield Kernel("cross entropy", label, lambda: functional.cross_entropy(logits, tokens), 0, size)
    backward = gradient_of(lambda: functional.cross_entropy(logits, tokens), [logits])
    yield Kernel("cross entropy backward", label, backward, 0, 2 * size)
    parameters = inputs_of(dtype, *[(sizes.parameters // 40,)] * 40)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    moved = sizes.parameters * dtype.itemsize
    label = f"{sizes.parameters / 1e6:.1f}M"
    fused = torch.optim.AdamW(parameters, fused=True)
    yield Kernel("AdamW fused", label, fused.step, 0, 7 * moved)
    each = torch.optim.AdamW(parameters, foreach=True)
    yield Kernel("AdamW foreach", label, each.step, 0, 7 * moved)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm
    yield Kernel("gradients' norm", label, lambda: norm(gradients, foreach=True), 0, moved)


def kernels(sizes: Sizes, dtype: torch.dtype) -> Iterator[Kernel]:
    """Every kernel of a step, each with inputs of its own."""
    hidden, tokens = sizes.hidden, sizes.tokens
    dimension = hidden // sizes.heads
    shared = sizes.key_value_heads * dimension
    wide = (tokens, hidden)
    yield from elementwise(
        dtype, "rms_norm", lambda x, w: functional.rms_norm(x, (hidden,), w), [wide, (hidden,)], 2, 3
    )
    yield from products(dtype, "q and o projection", tokens, hidden, hidden)
    yield from products(dtype, "k and v projection", tokens, shared, hidden)
    heads = (sizes.batch, sizes.heads, sizes.sequence, dimension)
    cosine, sine = normal(DEVICE, dtype, (sizes.sequence, dimension), (sizes.sequence, dimension))
    yield from elementwise(dtype, "rotary embedding", lambda x: rotate(x, cosine, sine), [heads], 2, 2)
    yield from attention(dtype, sizes)
    yield from products(dtype, "gate and up projection", tokens, sizes.intermediate, hidden)
    inner = (tokens, sizes.intermediate)
    yield from elementwise(dtype, "SwiGLU", lambda gate, up: functional.silu(gate) * up, [inner, inner], 3, 5)
    yield from products(dtype, "down projection", tokens, hidden, sizes.intermediate)
    yield from elementwise(dtype, "residual add", torch.add, [wide, wide], 3, 0)
    yield from ends(dtype, sizes)


def counted(call: Callable[[], Any]) -> dict[str, float]:
    """What one call took: seconds, launches, and shares of the time by unit and level."""
    module = torch.mtia_sim
    module.synchronize()
    module.reset_perf_counters()
    call()
    counters = module.perf_counters()
    chip = chips.load()
    seconds = counters["seconds"]
    shares = {name: counters["busy"][unit] for unit, name in UNITS.items()}
    shares |= {"DRAM": counters["dram_seconds"] / seconds, "SRAM": counters["sram_seconds"] / seconds}
    shares["launches"] = counters["launches"] * chip.replace_ns * 1e-9 / seconds
    return {"seconds": seconds, **shares}


def row_of(kernel: Kernel, dtype: torch.dtype) -> str:
    """A row of the table; a first call compiles and leaves the SRAM as a step would find it."""
    kernel.call()
    counts = counted(kernel.call)
    seconds = counts.pop("seconds")
    properties = torch.mtia_sim.get_device_properties()
    peaks = {str(key).removeprefix("torch."): value for key, value in properties.peak_flops.items()}
    least = max(kernel.flops / peaks[name_of(dtype)], kernel.bytes / properties.memory_bandwidth)
    busiest = sorted(counts.items(), key=lambda item: -item[1])
    bound = busiest[0][0] if busiest[0][1] >= IDLE else "latency"
    busy = ", ".join(f"{name} {share:.0%}" for name, share in busiest[:4] if share >= 0.05)
    return (
        f"| {kernel.name} | {kernel.shape} | {seconds * 1e6:.2f} | {least * 1e6:.2f} | {least / seconds:.0%} "
        f"| {bound} | {busy} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="30m", help="whose layer")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--only", default="", metavar="TEXT", help="the kernels whose name contains TEXT")
    arguments = parser.parse_args()
    dtype = getattr(torch, arguments.dtype)
    print(HEADER, flush=True)
    for kernel in kernels(MODELS[arguments.model], dtype):
        if arguments.only in kernel.name:
            print(row_of(kernel, dtype), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
