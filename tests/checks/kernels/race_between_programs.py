"""Each program adds its part to the same sum with a load and a store: updates are lost."""

import torch
import triton
import triton.language as tl


@triton.jit
def sum_all(x, total, ATOMIC: tl.constexpr, BLOCK: tl.constexpr):
    part = tl.sum(tl.load(x + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)))
    if ATOMIC:
        tl.atomic_add(total, part)
    else:
        before = tl.load(total)  # found
        tl.store(total, before + part)


def launch(atomic: bool) -> None:
    x = torch.ones(1024, device="mtia_sim")
    total = torch.zeros(1, device="mtia_sim")
    sum_all[(4,)](x, total, ATOMIC=atomic, BLOCK=256)


def trigger() -> None:
    launch(atomic=False)


def mended() -> None:
    launch(atomic=True)
