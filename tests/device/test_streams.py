"""Streams: the current one a thread and device, order of work, synchronising, pools."""

import threading

import torch

from mtia_sim import _C


def test_the_default_stream_is_current_and_a_context_changes_that() -> None:
    default = torch.mtia_sim.default_stream()
    assert torch.mtia_sim.current_stream() == default and default.stream_id == 0
    stream = torch.mtia_sim.Stream()
    assert stream.stream_id != 0 and stream.device == torch.device("mtia_sim:0")
    with torch.mtia_sim.stream(stream):
        assert torch.mtia_sim.current_stream() == stream
        with torch.mtia_sim.stream(None):
            assert torch.mtia_sim.current_stream() == stream
    assert torch.mtia_sim.current_stream() == default
    with stream:
        assert torch.accelerator.current_stream() == stream
    assert torch.mtia_sim.current_stream() == default


def test_a_stream_of_another_device_selects_that_device() -> None:
    stream = torch.Stream(device="mtia_sim:1")
    with torch.mtia_sim.stream(stream):
        assert torch.mtia_sim.current_device() == 1
        assert torch.mtia_sim.current_stream() == stream
        assert torch.mtia_sim.current_stream(0).stream_id == 0
    assert torch.mtia_sim.current_device() == 0
    assert torch.mtia_sim.current_stream(1).stream_id == 0


def test_each_thread_has_its_own_current_stream() -> None:
    torch.mtia_sim.set_stream(torch.mtia_sim.Stream())
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.mtia_sim.current_stream().stream_id))
    thread.start()
    thread.join()
    assert seen == [0]


def test_pools_hand_out_different_streams_by_priority() -> None:
    normal = {torch.mtia_sim.Stream().stream_id for _ in range(40)}
    high = {torch.mtia_sim.Stream(priority=-1).stream_id for _ in range(40)}
    assert len(normal) == len(high) == 32
    assert not normal & high and 0 not in normal | high


def test_pools_can_begin_anew() -> None:
    def taken() -> list[int]:
        _C.restart_stream_pools(0)
        return [torch.mtia_sim.Stream(priority=-(number % 2)).stream_id for number in range(5)]

    assert taken() == taken() == [1, 33, 2, 34, 3]


def test_query_and_synchronize_follow_the_streams_own_work() -> None:
    source = torch.randn(4 << 20).pin_memory()
    busy, idle = torch.mtia_sim.Stream(), torch.mtia_sim.Stream()
    idle.synchronize()
    with torch.mtia_sim.stream(busy):
        tensors = [source.to("mtia_sim", non_blocking=True) for _ in range(10)]
    assert idle.query()
    busy.synchronize()
    assert busy.query()
    assert all(torch.equal(tensor.cpu(), source) for tensor in tensors[::5])


def test_work_on_two_streams_ordered_by_wait_stream() -> None:
    source = torch.randn(1 << 20)
    side = torch.mtia_sim.Stream()
    tensor = source.to("mtia_sim")
    side.wait_stream(torch.mtia_sim.current_stream())
    with torch.mtia_sim.stream(side):
        copy = tensor.clone()
    torch.mtia_sim.current_stream().wait_stream(side)
    copy.record_stream(torch.mtia_sim.current_stream())
    assert torch.equal(copy.cpu(), source)


def test_synchronize_of_another_device() -> None:
    tensor = torch.randn(1 << 20).pin_memory().to("mtia_sim:1", non_blocking=True)
    torch.mtia_sim.synchronize("mtia_sim:1")
    torch.mtia_sim.synchronize(torch.device("mtia_sim", 1))
    torch.accelerator.synchronize(1)
    assert torch.mtia_sim.current_stream(1).query()
    del tensor
