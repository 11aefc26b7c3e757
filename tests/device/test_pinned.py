"""Pinned host memory: recognising it, asynchronous copies, reuse only after them, and the DataLoader."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset


def test_pinning_is_recognised_views_included() -> None:
    pageable = torch.randn(100)
    pinned = pageable.pin_memory()
    assert pinned.is_pinned() and not pageable.is_pinned()
    assert pinned[50:].is_pinned()
    assert torch.equal(pinned, pageable)
    assert torch.empty(10, pin_memory=True).is_pinned()
    assert torch.zeros(0).pin_memory().numel() == 0


def test_device_tensors_cannot_be_pinned() -> None:
    with pytest.raises((ValueError, RuntimeError), match="pin"):
        torch.empty(3, device="mtia_sim", pin_memory=True)
    with pytest.raises((ValueError, RuntimeError), match="pin"):
        torch.empty(3, device="mtia_sim").pin_memory()


def test_a_freed_block_is_not_reused_while_the_device_reads_it() -> None:
    values = torch.randn(4 << 20)
    pinned = values.pin_memory()
    address = pinned.data_ptr()
    tensors = [pinned.to("mtia_sim", non_blocking=True) for _ in range(10)]
    del pinned
    scratch = torch.empty(4 << 20, pin_memory=True)
    in_flight = not torch.mtia_sim.current_stream().query()
    if in_flight:
        assert scratch.data_ptr() != address
    scratch.fill_(-1)
    assert all(torch.equal(tensor.cpu(), values) for tensor in tensors)


def test_a_pageable_source_may_be_overwritten_at_once() -> None:
    for size in (5, 1000, 300_000, 2_000_000):
        values = torch.randn(size)
        source = values.clone()
        tensor = source.to("mtia_sim", non_blocking=True)
        source.fill_(-1)
        assert torch.equal(tensor.cpu(), values)


def test_non_blocking_copy_to_pinned_memory_arrives_with_the_stream() -> None:
    values = torch.randn(1 << 20)
    tensor = values.to("mtia_sim")
    target = torch.empty(1 << 20, pin_memory=True)
    target.copy_(tensor, non_blocking=True)
    torch.mtia_sim.current_stream().synchronize()
    assert torch.equal(target, values)


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_pins(workers: int) -> None:
    values = torch.arange(60, dtype=torch.float32).reshape(20, 3)
    loader = DataLoader(TensorDataset(values), batch_size=6, pin_memory=True, num_workers=workers)
    batches = []
    for (batch,) in loader:
        assert batch.is_pinned()
        batches.append(batch.to("mtia_sim", non_blocking=True))
    assert torch.equal(torch.cat([batch.cpu() for batch in batches]), values)


def test_host_cache_can_be_emptied() -> None:
    block = torch.empty(1 << 20, pin_memory=True)
    del block
    torch.accelerator.empty_host_cache()
