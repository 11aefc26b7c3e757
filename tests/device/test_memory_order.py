"""Loads and stores of one kernel to the same memory keep the order of the program, whatever is fused."""

import torch
import triton
import triton.language as tl


@triton.jit
def store_twice(out, BLOCK: tl.constexpr):
    """What the second store writes is there before what the first one does."""
    index = tl.arange(0, BLOCK)
    later = index.to(tl.int64)
    tl.store(out + tl.program_id(0) * BLOCK + index, tl.full((BLOCK,), 26, tl.int64))
    tl.store(out + tl.program_id(0) * BLOCK + index, later)


@triton.jit
def store_between_loads(x, out, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    before = tl.load(x + index)
    tl.store(x + index, before + 1)
    after = tl.load(x + index)
    tl.store(x + index, before * 10)
    tl.store(out + index, before + 100 * after)


def test_the_later_of_two_stores_wins():
    out = torch.full((64,), -1, dtype=torch.int64, device="mtia_sim")
    store_twice[(2,)](out, BLOCK=32)
    assert out.cpu().tolist() == [*range(32), *range(32)]


def test_a_load_sees_the_store_before_it_and_not_the_one_behind():
    values = torch.arange(32, dtype=torch.float32)
    x, out = values.to("mtia_sim"), torch.empty(32, device="mtia_sim")
    store_between_loads[(1,)](x, out, BLOCK=32)
    torch.testing.assert_close(x.cpu(), values * 10)
    torch.testing.assert_close(out.cpu(), values + 100 * (values + 1))
