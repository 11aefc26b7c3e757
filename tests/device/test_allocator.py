"""The caching allocator: reuse, splitting and merging, statistics, record_stream, and running out of memory."""

import gc

import pytest
import torch

from tests.device.subprocesses import run_successfully

MIB = 1 << 20

reuses = pytest.mark.unchecked(reason="freed memory is given to nobody for a while")


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    gc.collect()
    torch.mtia_sim.synchronize()
    torch.mtia_sim.empty_cache()
    torch.mtia_sim.reset_peak_memory_stats()


def empty(size: int) -> torch.Tensor:
    return torch.empty(size, dtype=torch.uint8, device="mtia_sim")


@reuses
def test_a_freed_block_is_reused_by_the_next_tensor_of_its_size() -> None:
    first = empty(3 * MIB)
    address = first.data_ptr()
    del first
    assert empty(3 * MIB).data_ptr() == address


def test_sizes_are_rounded_and_counted() -> None:
    before = torch.mtia_sim.memory_allocated()
    tensors = [empty(1), empty(513), empty(5 * MIB)]
    assert torch.mtia_sim.memory_allocated() - before == 512 + 1024 + 5 * MIB
    stats = torch.mtia_sim.memory_stats()
    assert stats["reserved_bytes.all.current"] >= stats["allocated_bytes.all.current"]
    assert stats["allocated_bytes.large_pool.current"] >= 5 * MIB
    assert {tensor.data_ptr() % 512 for tensor in tensors} == {0}
    del tensors
    assert torch.mtia_sim.memory_allocated() == before
    assert torch.mtia_sim.max_memory_allocated() - before >= 5 * MIB + 1536
    torch.mtia_sim.reset_peak_memory_stats()
    assert torch.mtia_sim.max_memory_allocated() == before


@reuses
def test_neighbours_merge_when_freed() -> None:
    blocks = [empty(4 * MIB) for _ in range(5)]  # one segment of 20 MiB
    first = min(block.data_ptr() for block in blocks)
    assert max(block.data_ptr() for block in blocks) - first == 16 * MIB
    for order in (1, 0, 1, 1, 0):  # freed from the middle outwards
        blocks.pop(min(order, len(blocks) - 1))
    assert empty(20 * MIB - 512).data_ptr() == first


@reuses
def test_memory_that_rested_merges_with_what_is_freed_after_checked_mode() -> None:
    blocks = [empty(4 * MIB) for _ in range(5)]  # one segment of 20 MiB
    first = min(block.data_ptr() for block in blocks)
    blocks.sort(key=torch.Tensor.data_ptr)
    with torch.mtia_sim.check():
        del blocks[3], blocks[1]
    del blocks[1]  # between them
    stats = torch.mtia_sim.memory_stats()
    parts = [segment["blocks"] for segment in torch.mtia_sim.snapshot()["segments"] if len(segment["blocks"]) > 1]
    inactive = [block["size"] for blocks in parts for block in blocks if block["state"] == "inactive"]
    assert 12 * MIB in inactive
    assert stats["inactive_split.all.current"] == len(inactive)
    assert stats["inactive_split_bytes.all.current"] == sum(inactive)
    assert empty(12 * MIB).data_ptr() == first + 4 * MIB


@reuses
def test_best_fit_leaves_the_large_block_whole() -> None:
    large, spacer, small = empty(8 * MIB), empty(2 * MIB), empty(3 * MIB)
    keep = empty(2 * MIB)
    large_address, small_address = large.data_ptr(), small.data_ptr()
    del large, small
    assert empty(3 * MIB).data_ptr() == small_address != large_address
    del spacer, keep


def test_empty_cache_gives_memory_back_and_keeps_live_tensors() -> None:
    keep = torch.arange(1000).to("mtia_sim")
    scratch = empty(64 * MIB)
    del scratch
    reserved = torch.mtia_sim.memory_reserved()
    free = torch.mtia_sim.mem_get_info()[0]
    torch.mtia_sim.empty_cache()
    assert torch.mtia_sim.memory_reserved() <= reserved - 64 * MIB
    assert torch.mtia_sim.mem_get_info()[0] >= free + 64 * MIB
    assert torch.equal(keep.cpu(), torch.arange(1000))


@reuses
def test_streams_do_not_share_cached_blocks() -> None:
    first = empty(3 * MIB)
    address = first.data_ptr()
    del first
    with torch.mtia_sim.stream(torch.mtia_sim.Stream()):
        assert empty(3 * MIB).data_ptr() != address
    assert empty(3 * MIB).data_ptr() == address


@reuses
def test_record_stream_defers_reuse_until_the_stream_is_done() -> None:
    stream = torch.mtia_sim.Stream()
    tensor = empty(32 * MIB)
    address = tensor.data_ptr()
    pinned = torch.empty(32 * MIB, dtype=torch.uint8).pin_memory()
    with torch.mtia_sim.stream(stream):
        for _ in range(20):
            pinned.copy_(tensor, non_blocking=True)
    tensor.record_stream(stream)
    del tensor
    assert not stream.query(), "the copies ended too early for this test to mean anything"
    assert empty(32 * MIB).data_ptr() != address
    stream.synchronize()
    assert address in {empty(32 * MIB).data_ptr(), *(block for block in _active_or_free_addresses())}


def _active_or_free_addresses() -> set[int]:
    segments = torch.mtia_sim.snapshot()["segments"]
    return {block["address"] for segment in segments for block in segment["blocks"] if block["state"] == "inactive"}


def test_snapshot_lists_every_byte_of_every_segment() -> None:
    tensors = [empty(size) for size in (100, 70_000, 3 * MIB, 12 * MIB)]
    segments = torch.mtia_sim.snapshot()["segments"]
    for segment in segments:
        assert sum(block["size"] for block in segment["blocks"]) == segment["total_size"]
    active = {block["address"] for segment in segments for block in segment["blocks"] if "active" in block["state"]}
    assert {tensor.data_ptr() for tensor in tensors} <= active
    assert sum(segment["total_size"] for segment in segments) >= torch.mtia_sim.memory_reserved()


@reuses
def test_history_records_allocations_and_releases() -> None:
    torch.mtia_sim.record_memory_history(max_entries=5)
    try:
        address = empty(3 * MIB).data_ptr()
        trace = torch.mtia_sim.snapshot()["device_traces"][0]
        assert [entry["action"] for entry in trace] == ["segment_alloc", "alloc", "free_requested", "free_completed"]
        assert {entry["addr"] for entry in trace} == {address}
        for _ in range(5):
            empty(100)
        assert len(torch.mtia_sim.snapshot()["device_traces"][0]) == 5
    finally:
        torch.mtia_sim.record_memory_history(None)
    assert torch.mtia_sim.snapshot()["device_traces"][0] == []


def test_memory_summary_is_a_table_of_the_statistics() -> None:
    keep = empty(3 * MIB)
    summary = torch.mtia_sim.memory_summary()
    assert "Allocated by tensors" in summary and "large_pool" in summary
    assert "large_pool" not in torch.mtia_sim.memory_summary(abbreviated=True)
    del keep


def test_out_of_memory_tells_what_is_held_and_leaves_the_device_usable() -> None:
    seen: list[tuple[int, int, int, int]] = []
    torch.mtia_sim.attach_out_of_memory_observer(lambda *facts: seen.append(facts))
    keep = empty(5 * MIB)
    total = torch.mtia_sim.mem_get_info()[1]
    with pytest.raises(
        torch.OutOfMemoryError, match=r"tried to allocate .* GiB; of .* tensors hold .* are free"
    ) as caught:
        torch.empty(total, dtype=torch.uint8, device="mtia_sim")
    assert "memory_summary" in str(caught.value)
    assert seen[-1][:3] == (0, total, total)
    assert torch.mtia_sim.memory_stats()["num_ooms"] >= 1
    assert torch.equal(torch.ones(7).to("mtia_sim").cpu(), torch.ones(7))
    del keep


def test_cached_segments_are_released_before_memory_is_called_out() -> None:
    out = run_successfully(
        """
        import torch
        total = torch.mtia_sim.mem_get_info()[1]
        half = total * 6 // 10
        x = torch.empty(half, dtype=torch.uint8, device="mtia_sim")
        del x
        y = torch.empty(half + (64 << 20), dtype=torch.uint8, device="mtia_sim")
        print(torch.mtia_sim.memory_stats()["num_alloc_retries"])
        """
    )
    assert out.strip() == "1"


def test_cached_segments_are_released_when_the_host_is_short_of_memory() -> None:
    """The chip may have more memory than the host. What is allocated here is never touched, and so costs nothing."""
    out = run_successfully(
        """
        import torch
        from pathlib import Path
        free = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
        available = int(free.split()[1]) >> 11 << 21  # of whole large granules
        cached = torch.empty(128 << 20, dtype=torch.uint8, device="mtia_sim")
        del cached
        small = torch.empty(256 << 20, dtype=torch.uint8, device="mtia_sim")
        assert torch.mtia_sim.memory_reserved() == 384 << 20
        if available < torch.mtia_sim.mem_get_info()[0]:
            large = torch.empty(available, dtype=torch.uint8, device="mtia_sim")
            assert torch.mtia_sim.memory_reserved() == torch.mtia_sim.memory_allocated()
            assert torch.mtia_sim.memory_stats()["num_alloc_retries"] == 1
        print("done")
        """
    )
    assert out.strip() == "done"


def test_zero_bytes_need_no_memory() -> None:
    before = torch.mtia_sim.memory_stats()["allocation.all.current"]
    tensor = torch.empty(0, 5, device="mtia_sim")
    assert tensor.data_ptr() == 0 and tensor.shape == (0, 5)
    assert torch.mtia_sim.memory_stats()["allocation.all.current"] == before


def test_each_device_counts_for_itself() -> None:
    before = torch.mtia_sim.memory_allocated(0)
    keep = torch.empty(MIB, dtype=torch.uint8, device="mtia_sim:1")
    assert torch.mtia_sim.memory_allocated(0) == before
    assert torch.mtia_sim.memory_allocated("mtia_sim:1") >= MIB
    assert torch.accelerator.memory_allocated(1) == torch.mtia_sim.memory_allocated(1)
    del keep


def test_the_host_cannot_touch_device_memory() -> None:
    program = """
        import ctypes, torch
        x = torch.ones(4).to("mtia_sim")
        torch.mtia_sim.synchronize()
        ctypes.string_at(x.data_ptr(), 4)
    """
    from tests.device.subprocesses import run

    assert run(program).returncode == -11
