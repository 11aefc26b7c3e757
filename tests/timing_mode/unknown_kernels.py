"""Triton kernels that write some of a tensor, or loop as often as one says; used by test_values.py."""

import torch
import triton
import triton.language as tl
from torch import Tensor

LENGTH = 1 << 16
BLOCK = 256


@triton.jit
def every_second(x, y, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + offsets, offsets, mask=(offsets < n) & (offsets % 2 == 0))


@triton.jit
def first_and_last(x, y, n, BLOCK: tl.constexpr):
    """All programs write the same two blocks: as many bytes as the tensor has."""
    offsets = tl.arange(0, BLOCK)
    tl.store(x + offsets, offsets)
    tl.store(x + n - BLOCK + offsets, offsets)


@triton.jit
def former_sums(x, y, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + offsets, tl.atomic_add(x + offsets, 1))


@triton.jit
def longest(lengths, x, y, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for _ in range(tl.max(tl.load(lengths + offsets))):
        total += tl.load(x + offsets)
    tl.store(y + tl.program_id(0) * BLOCK + offsets, total)


def unknown() -> Tensor:
    """LENGTH integers that timing mode does not know."""
    return (torch.rand(1 << 21, device="mtia_sim")[:LENGTH] * 1000).int()


def is_known(tensor: Tensor) -> bool:
    before = torch.mtia_sim.timing_summary()["unknown_reads"]
    tensor.cpu()
    return bool(torch.mtia_sim.timing_summary()["unknown_reads"] == before)
