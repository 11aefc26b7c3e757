"""Events: ordering across streams and devices, and chip time that does not depend on the host."""

import pytest
import torch

from mtia_core import chips


def copy_seconds(bytes_moved: int) -> float:
    """What the host link takes: see charge_link in csrc/runtime/dispatch.cpp."""
    chip = chips.load()
    return chip.host_link_latency_ns * 1e-9 + bytes_moved / chip.host_link_bytes_per_second


def test_elapsed_time_is_chip_time() -> None:
    source = torch.randn(2 << 20)
    begin, end = (torch.mtia_sim.Event(enable_timing=True) for _ in range(2))
    torch.mtia_sim.synchronize()
    begin.record()
    tensor = source.to("mtia_sim")
    end.record()
    end.synchronize()
    expected = copy_seconds(tensor.nbytes) + chips.load().event_ns * 1e-9
    assert begin.elapsed_time(end) == pytest.approx(1e3 * expected, rel=1e-6)


def test_events_take_their_stream_time() -> None:
    stream, other = torch.mtia_sim.Stream(), torch.mtia_sim.Stream()
    first, second, waited = (torch.mtia_sim.Event(enable_timing=True) for _ in range(3))
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    first.record(stream)
    second.record(stream)
    other.wait_event(second)
    waited.record(other)
    torch.mtia_sim.synchronize()
    each = chips.load().event_ns * 1e-6
    assert each > 0
    assert first.elapsed_time(second) == pytest.approx(each)
    assert second.elapsed_time(waited) == pytest.approx(each)
    assert torch.mtia_sim.perf_counters()["elapsed_seconds"] == pytest.approx(3e-3 * each)


def test_the_same_work_takes_the_same_time_every_run() -> None:
    source = torch.randn(1 << 18)
    times = []
    for _ in range(3):
        begin, end = (torch.Event("mtia_sim", enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(7):
            source.to("mtia_sim")
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    assert times[0] == times[1] == times[2]


def test_streams_overlap_in_chip_time_unless_events_order_them() -> None:
    source = torch.randn(1 << 20).pin_memory()
    target = torch.empty(1 << 20).pin_memory()
    held = torch.randn(1 << 20).to("mtia_sim")
    first, second = torch.mtia_sim.Stream(), torch.mtia_sim.Stream()
    torch.mtia_sim.synchronize()

    def elapsed(ordered: bool) -> float:
        start, stop = (torch.mtia_sim.Event(enable_timing=True) for _ in range(2))
        default = torch.mtia_sim.current_stream()
        start.record()
        first.wait_stream(default)
        second.wait_stream(default)
        with torch.mtia_sim.stream(first):
            kept = source.to("mtia_sim", non_blocking=True)
        if ordered:
            second.wait_stream(first)
        with torch.mtia_sim.stream(second):
            target.copy_(held, non_blocking=True)
        default.wait_stream(first)
        default.wait_stream(second)
        stop.record()
        stop.synchronize()
        del kept
        # Either way four events follow each other beside the copies.
        return start.elapsed_time(stop) - 4 * chips.load().event_ns * 1e-6

    assert elapsed(ordered=True) == pytest.approx(2 * elapsed(ordered=False), rel=0.01)
    assert torch.equal(target, held.cpu())


def test_an_event_waits_across_devices() -> None:
    source = torch.randn(1 << 20)
    on_first = source.to("mtia_sim:0")
    event = torch.Event("mtia_sim:0")
    event.record(torch.mtia_sim.current_stream(0))
    stream = torch.Stream(device="mtia_sim:1")
    stream.wait_event(event)
    with torch.mtia_sim.stream(stream):
        on_second = on_first.to("mtia_sim:1")
    stream.synchronize()
    assert event.query()
    assert torch.equal(on_second.cpu(), source)


def test_query_of_an_unrecorded_event_is_true() -> None:
    event = torch.mtia_sim.Event()
    assert event.query()
    event.synchronize()


def test_an_event_can_be_recorded_again() -> None:
    begin, end = (torch.mtia_sim.Event(enable_timing=True) for _ in range(2))
    begin.record()
    end.record()
    torch.randn(1 << 20).to("mtia_sim")
    end.record()
    end.synchronize()
    assert begin.elapsed_time(end) > 0


def test_misuse_of_elapsed_time_is_refused() -> None:
    timed, untimed, unrecorded = (
        torch.mtia_sim.Event(enable_timing=True),
        torch.mtia_sim.Event(),
        torch.mtia_sim.Event(enable_timing=True),
    )
    timed.record()
    untimed.record()
    torch.mtia_sim.synchronize()
    with pytest.raises((RuntimeError, ValueError)):
        timed.elapsed_time(untimed)
    with pytest.raises((RuntimeError, ValueError)):
        timed.elapsed_time(unrecorded)
