"""A row of 100 bytes on a chip whose DMA takes multiples of 32 bytes only."""

import torch
import triton
import triton.language as tl

CHIP = """
name = "strict"
base = "mtia2i"

[fabric_interface]
fabric_misaligned_allowed = { value = 0, kind = "assumed", how = "TritorX: an unaligned DMA fails" }
"""


@triton.jit
def clear(x, first):
    tl.store(x + first + tl.arange(0, 32), 0.0)  # found


def launch(first: int) -> None:
    clear[(1,)](torch.ones(100, device="mtia_sim"), first)
    torch.mtia_sim.synchronize()


def trigger() -> None:
    launch(first=25)


def mended() -> None:
    launch(first=24)
