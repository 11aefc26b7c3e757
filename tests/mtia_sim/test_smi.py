"""python -m mtia_sim smi: what processes say of their devices, and what is shown of it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtia_sim import smi, status

WORKER = """
import sys, torch
x = torch.randn({elements}, device="mtia_sim")
keep = [x.clone() for _ in range(3)]
torch.mtia_sim.synchronize()
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        keep[0].mul_(1.01)
    torch.mtia_sim.synchronize()
    print("done", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTIA_SIM_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def workers(folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started = []
    for elements in (1 << 20, 1 << 18):
        code = WORKER.format(elements=elements)
        started.append(
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for worker in started:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    yield started
    for worker in started:
        worker.kill()
        worker.wait()


def ask(worker: subprocess.Popen[str], count: int) -> None:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{count}\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"


def test_only_a_dead_process_loses_its_socket(folder: Path) -> None:
    folder.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    refusing = []
    for pid in (os.getpid(), gone.pid):  # bound, as a process that starts is before it listens
        refusing.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        refusing[-1].bind(str(folder / f"{pid}.sock"))
    assert status.processes() == []
    assert [path.stem for path in folder.iterdir()] == [str(os.getpid())]
    for each in refusing:
        each.close()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mtia_sim", "smi", *words], capture_output=True, text=True, timeout=60)


def test_two_processes_are_seen_with_their_memory_and_work(workers: list[Any], folder: Path) -> None:
    before = status.processes()
    assert {state["pid"] for state in before} == {worker.pid for worker in workers}
    ask(workers[0], 50)
    sample = smi.sample_of(before, status.processes())
    busy, idle = (next(p for p in sample["processes"] if p["pid"] == worker.pid) for worker in workers)
    assert busy["devices"][0]["allocated_bytes"] == 4 * 4 << 20
    assert idle["devices"][0]["allocated_bytes"] == 4 * 4 << 18
    assert busy["devices"][0]["total_bytes"] > 1 << 30
    assert 0.9 < busy["devices"][0]["grid_busy"] <= 1.0
    assert 1 < busy["devices"][0]["watts"] < 5 * busy["typical_watts"]
    assert busy["devices"][0]["host_share"] > 0
    assert idle["devices"][0]["grid_busy"] is None and idle["devices"][0]["watts"] is None

    shown = command("--interval", "0")
    assert shown.returncode == 0, shown.stderr
    assert f"{workers[0].pid}" in shown.stdout and "16.0 MiB / " in shown.stdout and "4.0 MiB / " in shown.stdout
    parsed = json.loads(command("--json", "--interval", "0").stdout)
    assert {process["pid"] for process in parsed["processes"]} == {worker.pid for worker in workers}

    workers[0].kill()
    workers[0].wait()
    assert [state["pid"] for state in status.processes()] == [workers[1].pid]
    workers[1].stdin.close()
    assert workers[1].wait(30) == 0
    assert status.processes() == []
    assert list(folder.glob("*.sock")) == [], "nothing stays behind"


def test_loop_goes_on_until_interrupted(workers: list[Any]) -> None:
    looping = subprocess.Popen(
        [sys.executable, "-m", "mtia_sim", "smi", "--json", "--loop", "0.2", "--interval", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job of a shell in the background ignores it, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert looping.stdout is not None
    samples = [json.loads(looping.stdout.readline()) for _ in range(3)]
    looping.send_signal(signal.SIGINT)
    _, errors = looping.communicate(timeout=30)
    assert "Traceback" not in errors
    assert all(len(sample["processes"]) == 2 for sample in samples)


def test_nobody_there_is_said(folder: Path) -> None:
    shown = command()
    assert shown.returncode == 0 and "no device of any process is in use" in shown.stdout


def test_rates_are_over_what_passed() -> None:
    device = {"index": 0, "chip_seconds": 1.0, "grid_seconds": 0.5, "joules": 10.0, "dispatcher_seconds": 2.0}
    later = {"index": 0, "chip_seconds": 3.0, "grid_seconds": 1.5, "joules": 110.0, "dispatcher_seconds": 3.0}
    before = [{"pid": 7, "host_seconds": 100.0, "devices": [device]}]
    now = [
        {"pid": 7, "host_seconds": 104.0, "devices": [later]},
        {"pid": 8, "host_seconds": 104.0, "devices": [device]},
    ]
    first, second = smi.sample_of(before, now)["processes"]
    rates = {key: first["devices"][0][key] for key in ("grid_busy", "watts", "host_share", "chip_per_host")}
    assert rates == {"grid_busy": 0.5, "watts": 50.0, "host_share": 0.25, "chip_per_host": 0.5}
    assert second["devices"][0]["grid_busy"] is None


def test_a_folder_that_cannot_be_made_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = os.environ | {"MTIA_SIM_RUNTIME_DIR": str(tmp_path / "file" / "run")}
    code = "import torch; print(torch.ones(3, device='mtia_sim').sum().item())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "3.0\n"
