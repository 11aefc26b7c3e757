"""Host and device on pinned memory: what the program does with it before it has waited for a copy, and nothing else."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtia_core import errors


@pytest.fixture(autouse=True)
def no_findings() -> None:
    torch.mtia_sim.clear_findings()


def only_finding() -> dict[str, Any]:
    with pytest.raises(errors.DataRace):
        torch.mtia_sim.synchronize()
    (finding,) = torch.mtia_sim.findings()
    assert finding["check"] == "race_with_host"
    return finding


def here(offset: int = 0) -> str:
    """This line, or one `offset` lines away, as findings name it."""
    return f"{__file__}:{sys._getframe(1).f_lineno + offset}"


@pytest.mark.parametrize("size", [7, 1000, 3_000_000])
def test_a_result_that_is_read_too_early(size: int) -> None:
    values = torch.randn(size)
    with torch.mtia_sim.check():
        x = values.to("mtia_sim")
        result, copied = x.to("cpu", non_blocking=True), here()
        result.sum(), here()
        finding = only_finding()
        assert torch.equal(result, values)  # right once the host has waited
    assert (finding["line"], finding["launched"]) == (here(-3), copied)
    assert (finding["kernel"], finding["shape"]) == ("copy to the host", (size,))
    assert len(finding["index"]) == 1 and 0 <= finding["index"][0] < size
    assert "the host reads element" in finding["problem"]


def test_the_element_that_is_used() -> None:
    with torch.mtia_sim.check():
        result = torch.empty(50, 70).pin_memory()
        result.copy_(torch.ones(50, 70, device="mtia_sim"), non_blocking=True)
        result[31, 17] = 2
        finding = only_finding()
    assert (finding["line"], finding["index"]) == (here(-2), (31, 17))
    assert "the host writes element (31, 17) of the pinned tensor of shape (50, 70)" in finding["problem"]


def test_a_buffer_that_is_filled_too_early() -> None:
    with torch.mtia_sim.check():
        batch = torch.zeros(5000).pin_memory()
        on_device = batch.to("mtia_sim", non_blocking=True)
        assert batch[4999] == 0  # reading it is right
        batch[4000:] = 1
        finding = only_finding()
        del on_device
    assert (finding["line"], finding["index"], finding["kernel"]) == (here(-3), (4000,), "copy to the device")


def wait_for_event() -> Callable[[], None]:
    event = torch.mtia_sim.Event()
    event.record()
    return event.synchronize


def poll_event() -> Callable[[], None]:
    event = torch.mtia_sim.Event()
    event.record()

    def poll() -> None:
        while not event.query():
            pass

    return poll


def poll_stream() -> Callable[[], None]:
    def poll() -> None:
        while not torch.mtia_sim.current_stream().query():
            pass

    return poll


def read_another_tensor() -> Callable[[], None]:
    other = torch.ones(3, device="mtia_sim")
    return lambda: other.sum().item()


WAITS = [lambda: torch.mtia_sim.synchronize, wait_for_event, poll_event, poll_stream, read_another_tensor]


@pytest.mark.parametrize("make_wait", WAITS)
def test_a_program_that_has_waited(make_wait: Callable[[], Callable[[], None]]) -> None:
    values = torch.randn(9000)
    with torch.mtia_sim.check():
        batch = values.pin_memory()
        for _ in range(3):
            result = (batch.to("mtia_sim", non_blocking=True) + 1).to("cpu", non_blocking=True)
            make_wait()()
            assert torch.equal(result, batch + 1)
            batch.add_(1)
    assert torch.mtia_sim.findings() == []


@pytest.mark.parametrize("non_blocking", [False, True])
@pytest.mark.parametrize("size", [20, 5000, 1_000_000])
@pytest.mark.parametrize("checked", [False, True])
def test_the_device_uses_what_it_wrote_without_a_wait(size: int, checked: bool, non_blocking: bool) -> None:
    values = torch.randn(1 << 22)

    def run() -> torch.Tensor:
        x = values.to("mtia_sim")
        for _ in range(10):  # so that the host is ahead
            x = x * 1.0
        x = x[:size]
        middle = torch.full((size,), -1.0).pin_memory()
        middle.copy_(x, non_blocking=True)
        back = torch.empty(size, device="mtia_sim")
        back.copy_(middle, non_blocking=non_blocking)  # in the order of the stream
        middle.copy_(x + 1, non_blocking=non_blocking)
        torch.mtia_sim.synchronize()
        assert torch.equal(middle, values[:size] + 1)
        return back.cpu()

    if checked:
        with torch.mtia_sim.check():
            assert torch.equal(run(), values[:size])
        assert torch.mtia_sim.findings() == []
    else:
        assert torch.equal(run(), values[:size])


def test_parts_of_a_buffer_are_the_programs_own() -> None:
    with torch.mtia_sim.check():
        buffer = torch.zeros(8, 1500).pin_memory()
        on_device = [buffer[row].to("mtia_sim", non_blocking=True) for row in (1, 2, 5)]
        buffer[7].copy_(on_device[0], non_blocking=True)
        for row in (0, 3, 4, 6):
            buffer[row] = row
        torch.mtia_sim.synchronize()
        assert buffer[:, 0].tolist() == [0, 0, 0, 3, 4, 0, 6, 0]
    assert torch.mtia_sim.findings() == []


def test_the_pages_that_parts_share_are_compared() -> None:
    with torch.mtia_sim.check():
        buffer = torch.zeros(8, 15).pin_memory()
        on_device = buffer[2].to("mtia_sim", non_blocking=True)
        buffer[2, 1] = 3
        finding = only_finding()
        del on_device
    assert (finding["launched"], finding["shape"]) == (here(-4), (15,))
    assert "the host changed element" in finding["problem"]


def test_buffers_that_are_freed_and_taken_again() -> None:
    with torch.mtia_sim.check():
        for value in range(50):
            batch = torch.full((3000,), float(value)).pin_memory()
            on_device = batch.to("mtia_sim", non_blocking=True)
            result = on_device.to("cpu", non_blocking=True)
            del batch, result
        assert on_device[0].item() == 49
    assert torch.mtia_sim.findings() == []


@pytest.mark.unchecked(reason="a period inside of another neither begins nor ends")
def test_memory_stays_usable_after_checked_mode() -> None:
    with pytest.raises(ZeroDivisionError), torch.mtia_sim.check():
        batch = torch.zeros(3000).pin_memory()
        on_device = batch.to("mtia_sim", non_blocking=True)
        result = on_device.to("cpu", non_blocking=True)
        raise ZeroDivisionError
    batch.fill_(2)
    assert result.sum() == 0
    assert batch.to("mtia_sim", non_blocking=True).cpu().sum() == 6000
    assert torch.mtia_sim.findings() == []


@pytest.mark.unchecked(reason="a period inside of another neither begins nor ends")
def test_blocks_from_before_checked_mode() -> None:
    batch, result = torch.zeros(40_000).pin_memory(), torch.zeros(40_000).pin_memory()
    with torch.mtia_sim.check():
        on_device = batch.to("mtia_sim", non_blocking=True)
        result.copy_(on_device, non_blocking=True)
        again = result.to("mtia_sim", non_blocking=True)
        torch.mtia_sim.synchronize()
        assert torch.mtia_sim.findings() == []
        on_device = batch.to("mtia_sim", non_blocking=True)
        batch.fill_(3)
        finding = only_finding()
        del again
    assert "the host changed element (0,)" in finding["problem"]


def test_an_access_by_another_thread() -> None:
    lines = []
    with torch.mtia_sim.check():
        result = torch.ones(5000, device="mtia_sim").to("cpu", non_blocking=True)

        def read() -> None:
            lines.append(here(1))
            result.sum()

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        finding = only_finding()
    assert [finding["line"]] == lines


LATER = """
import faulthandler, torch
with torch.mtia_sim.check(on_finding="warn"):
    torch.ones(9, device="mtia_sim").to("cpu", non_blocking=True)  # ours is in place
    torch.mtia_sim.synchronize()
    faulthandler.enable()
    result = torch.ones(5000, device="mtia_sim").to("cpu", non_blocking=True)
    result.sum()
    torch.mtia_sim.synchronize()
    print([finding["kernel"] for finding in torch.mtia_sim.findings()])
"""


def test_a_handler_of_faults_that_was_installed_later(tmp_path: Path) -> None:
    """In a process of its own: handlers of faults are the whole process's."""
    program = tmp_path / "later.py"
    program.write_text(LATER)
    environment = {**os.environ, "MTIA_SIM_CHECK": "0"}
    command = [sys.executable, "-W", "ignore", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "['copy to the host']", done.stderr


CRASH = """
import ctypes, faulthandler, torch
faulthandler.enable()
with torch.mtia_sim.check(on_finding="warn"):
    x = torch.ones(5000, device="mtia_sim")
    x.to("cpu", non_blocking=True)
    torch.mtia_sim.load_kernel({kernel!r})  # puts handlers of its own in front
    result = x.to("cpu", non_blocking=True)
    result.sum()
    torch.mtia_sim.synchronize()
    print(torch.mtia_sim.findings()[0]["line"], flush=True)
    ctypes.string_at(8)
"""


def test_crashes_of_the_program_are_still_crashes(tmp_path: Path) -> None:
    program = tmp_path / "crash.py"
    program.write_text(CRASH.format(kernel=str(Path(__file__).parents[1] / "device" / "cpp_kernels" / "gemm.cpp")))
    environment = {**os.environ, "MTIA_SIM_CHECK": "0"}
    command = [sys.executable, "-W", "ignore", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == -signal.SIGSEGV
    assert done.stdout.strip() == f"{program}:9"
    assert "Fatal Python error: Segmentation fault" in done.stderr and "in string_at" in done.stderr
