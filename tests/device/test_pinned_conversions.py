"""Copies through pinned memory that the host converts, packs or conjugates on their way: they come after the copies
that fill the memory, however long these take."""

from __future__ import annotations

import random

import pytest
import torch

DEVICE = "mtia_sim"
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int8, torch.int32, torch.int64, torch.complex64]
SHAPE = (6, 10)


def keep_busy() -> torch.Tensor:
    """Work that lies in the queue before whatever is submitted next."""
    busy = torch.randn(300, 300, device=DEVICE)
    for _ in range(4):
        busy = busy @ busy.sigmoid()
    return busy


def views(host: torch.Tensor, layout: str) -> torch.Tensor:
    return {"dense": host, "turned": host.t(), "gaps": host[::2, 1::3], "row": host[2], "conj": host.conj()}[layout]


def check(seed: int) -> None:
    generator = random.Random(seed)
    source_dtype, target_dtype = generator.choice(DTYPES), generator.choice(DTYPES)
    if source_dtype.is_complex:
        target_dtype = source_dtype  # torch warns of the part that gets lost
    layout = generator.choice(["dense", "turned", "gaps", "row"] + (["conj"] if source_dtype.is_complex else []))
    values = torch.randint(1, 100, SHAPE, generator=torch.Generator().manual_seed(seed)).to(source_dtype)
    if source_dtype.is_complex:
        values = values * (1 + 2j)
    on_device = values.to(DEVICE)
    host = torch.zeros(SHAPE, dtype=source_dtype).pin_memory()
    want = views(values, layout).to(target_dtype)
    target = torch.zeros(want.shape, dtype=target_dtype, device=DEVICE)
    if generator.random() < 0.3:
        target = torch.zeros([2 * size for size in want.shape], dtype=target_dtype, device=DEVICE)
        target = target[tuple(slice(None, None, 2) for _ in want.shape)]
    torch.mtia_sim.synchronize()
    keep_busy()
    host.copy_(on_device, non_blocking=True)
    target.copy_(views(host, layout), non_blocking=generator.random() < 0.7)
    told = f"seed {seed}: {source_dtype} to {target_dtype}, {layout}"
    assert torch.equal(target.cpu().resolve_conj(), want.resolve_conj()), told


@pytest.mark.parametrize("seed", range(12))
def test_conversions_wait_for_what_fills_the_memory(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_many_conversions(seed: int) -> None:
    check(seed)


def test_what_is_received_and_converted_leaves_a_pending_copy_its_values() -> None:
    """A copy still reads the pinned memory into which the next one converts."""
    host = torch.full(SHAPE, 3.0).pin_memory()
    first, second = torch.zeros(SHAPE, device=DEVICE), torch.full(SHAPE, 7, device=DEVICE)
    keep_busy()
    first.copy_(host, non_blocking=True)
    host.copy_(second)
    assert (first.cpu() == 3).all() and (host == 7).all()
