"""Llama 2 7B decoding with weights of 8 bits, a workload for `compare`: FILE.py:token, or :layer for one layer alone.

Weights are int8 with a scale a row. The token's activations are quantised on the way ("dynamic quantisation"), so that
the products are int8's.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from mtia_sim.study.llama import SIZES, Layer, Llama

CONTEXT = 2048


@triton.jit
def product(
    x, weight, scales, out, rows, DEPTH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr
):
    """out[rows] = weight[rows, DEPTH] x[DEPTH]; x is column 0 of COLUMNS, the least that the engine takes."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.arange(0, COLUMNS) == 0
    largest = tl.zeros((BLOCK,), tl.float32)
    for k in range(0, DEPTH, BLOCK):
        depth = k + tl.arange(0, BLOCK)
        largest = tl.maximum(largest, tl.abs(tl.load(x + depth, mask=depth < DEPTH, other=0.0).to(tl.float32)))
    step = tl.max(largest, 0) / 127
    sums = tl.zeros((ROWS, COLUMNS), tl.int32)
    for k in range(0, DEPTH, BLOCK):
        depth = k + tl.arange(0, BLOCK)
        part = tl.load(x + depth, mask=depth < DEPTH, other=0.0).to(tl.float32) / step
        whole = (part + tl.where(part < 0, -0.5, 0.5)).to(tl.int8)
        block = tl.load(
            weight + row[:, None] * DEPTH + depth[None, :],
            mask=(row[:, None] < rows) & (depth[None, :] < DEPTH),
            other=0,
        )
        sums = tl.dot(block, tl.where(first[None, :], whole[:, None], 0), sums, out_dtype=tl.int32)
    total = tl.sum(sums, 1).to(tl.float32) * step * tl.load(scales + row, mask=row < rows, other=0.0)
    tl.store(out + row, total, mask=row < rows)


class Linear8(nn.Module):
    """A linear layer of one token at a time, with weights of 8 bits."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scales = weight.abs().amax(1, keepdim=True).float() / 127
        self.weight: Tensor
        self.scales: Tensor
        self.register_buffer("weight", (weight / scales).round().to(torch.int8))
        self.register_buffer("scales", scales.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """x [1, 1, depth]."""
        rows, depth = self.weight.shape
        out = x.new_empty(1, 1, rows)
        product[(triton.cdiv(rows, 64),)](x, self.weight, self.scales, out, rows, depth, 64, 512, 16)
        return out


def quantised(module: nn.Module) -> nn.Module:
    """The module with all of its linear layers in 8 bits."""
    for name, child in module.named_children():
        setattr(module, name, Linear8(child.weight.detach()) if isinstance(child, nn.Linear) else quantised(child))
    return module


@functools.cache
def decoder(layers: int) -> Callable[[], Tensor]:
    """A function that makes the token behind CONTEXT others."""
    size = SIZES["llama2-7b"]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("mtia_sim"):
        model = quantised(Llama(replace(size, layers=0), CONTEXT + 1))
        model.layers.extend(quantised(Layer(size)) for _ in range(layers))
        shape = (1, size.key_value_heads, CONTEXT, size.head)
        caches = [(torch.empty(shape), torch.empty(shape)) for _ in range(layers)]
        last = torch.zeros(1, 1, dtype=torch.int64)
    torch.set_default_dtype(before)
    return torch.no_grad()(lambda: model(last, CONTEXT, caches).argmax(-1))


def token() -> None:
    """One token of the whole model."""
    decoder(SIZES["llama2-7b"].layers)()


def layer() -> None:
    """One token of a model with one layer."""
    decoder(1)()
