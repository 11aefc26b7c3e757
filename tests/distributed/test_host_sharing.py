"""Several ranks on one host: which devices and host threads each has, what smi shows of them, and one trace of all."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtia_sim import __main__ as command_line
from mtia_sim import smi, status
from tests.distributed.ranks import START, run
from tests.mtia_sim.trace_checkers import import_into_chrome, query

ORDINARY = """
import os
import torch
import torch.distributed as dist

local_rank = int(os.environ["LOCAL_RANK"])
assert torch.ones(2, device="mtia_sim").device.index == local_rank  # by default
assert torch.accelerator.device_count() == 3
torch.accelerator.set_device_index(local_rank)
device = torch.device("mtia_sim", local_rank)
dist.init_process_group()
total = torch.full((5,), local_rank + 1.0, device=device)
dist.all_reduce(total)
mesh = dist.device_mesh.init_device_mesh("mtia_sim", (3,))
assert total.device == device and total.tolist() == [6.0] * 5 and torch.accelerator.current_device_index() == local_rank
torch.accelerator.set_device_index(0)
with open(f"{os.environ['FOUND']}/{local_rank}", "w") as found:
    found.write(str(torch.mtia_sim._C.worker_threads()))
dist.destroy_process_group()
"""


def test_ordinary_script_under_torchrun(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ORDINARY)
    environment = {key: text for key, text in os.environ.items() if key not in ("MTIA_SIM_THREADS", "OMP_NUM_THREADS")}
    found = tmp_path / "found"
    found.mkdir()
    environment["FOUND"] = str(found)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3", str(script)]
    done = subprocess.run(torchrun, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    share = max(1, len(os.sched_getaffinity(0)) // 3)
    assert {path.name: path.read_text() for path in found.iterdir()} == {str(rank): str(share) for rank in range(3)}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LOCAL_RANK": "5", "LOCAL_WORLD_SIZE": "1000"}, "5 64 1"),
        ({"LOCAL_RANK": "5", "LOCAL_WORLD_SIZE": "8", "MTIA_SIM_DEVICE_COUNT": "4", "MTIA_SIM_THREADS": "3"}, "0 4 3"),
        ({"LOCAL_RANK": "8", "LOCAL_WORLD_SIZE": "8"}, "0 2 all"),
    ],
)
def test_what_the_environment_selects(variables: dict[str, str], expected: str) -> None:
    names = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "MTIA_SIM_THREADS", "MTIA_SIM_DEVICE_COUNT")
    environment = {key: text for key, text in os.environ.items() if key not in names} | variables
    script = "import torch; d = torch.mtia_sim; print(d.current_device(), d.device_count(), d._C.worker_threads())"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    cores = len(os.sched_getaffinity(0))
    assert done.stdout.split() == expected.replace("all", str(cores)).split(), done.stderr


AWAY = """
# Rank 1's tensors are on a device that is not the current one, and busy.
place = torch.device("mtia_sim", 0)
rows = torch.randn(2048, 2048, device=place)
for _ in range(6):
    rows = rows @ rows
for root in range(SIZE):
    ones = torch.full((3,), float(RANK), device=place)
    dist.broadcast(ones, root)
    dist.barrier()
    assert ones.tolist() == [float(root)] * 3
"""


def test_a_barrier_stays_behind_the_groups_collectives_whatever_device_is_current(tmp_path: Path) -> None:
    run(AWAY, 2, tmp_path, LIMIT="20")


WAITING = """
import sys, time
pair = dist.new_group([0, 1], group_desc="pair")
ones = torch.ones(1000, device=DEVICE)
dist.all_reduce(ones)
dist.all_reduce(ones, group=pair)
torch.mtia_sim.synchronize()
if RANK == 0:
    for _ in range(50):
        ones.sin_()
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.05)
dist.all_reduce(ones)
torch.mtia_sim.synchronize()
sys.stdin.read()
"""


def sample_when(condition: Callable[[dict[str, Any], dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """What two processes say in the order of their ranks, once it holds for their devices."""
    for _ in range(600):
        found = [state for state in status.processes() if state["groups"] and state["devices"]]
        found.sort(key=lambda state: state["groups"][0]["rank"])
        # Who is too busy to answer in time is left out.
        if len(found) == 2 and condition(found[0]["devices"][0], found[1]["devices"][0]):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_smi_shows_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_RUNTIME_DIR", str(tmp_path / "run"))
    go = tmp_path / "go"
    ranks = []
    for rank in range(2):
        own = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2", "GO": str(go)}
        environment = {**os.environ, **own, "MEETING": f"file://{tmp_path}/meeting"}
        command = [sys.executable, "-c", START + WAITING]
        ranks.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE))
    try:
        waiting = sample_when(lambda first, second: second["waiting_seconds"] > 0.3 and first["collectives"] == 2)
        assert [state["pid"] for state in waiting] == [rank.pid for rank in ranks]
        assert [state["devices"][0]["index"] for state in waiting] == [0, 1]
        first, second = (state["devices"][0] for state in waiting)
        assert (first["waiting_for"], second["waiting_for"]) == ("", "all_reduce")
        assert [(group["description"], group["rank"], group["size"]) for group in waiting[1]["groups"]] == [
            ("default_pg", 1, 2),
            ("pair", 1, 2),
        ]
        table = smi.table_of(smi.sample_of(waiting, waiting))
        assert "1 of 2" in table and "waits in all_reduce, " in table and "pair 1/2" in table
        go.touch()
        ended = sample_when(lambda first, second: first["collectives"] == second["collectives"] == 3)
        first, second = (state["devices"][0] for state in ended)
        assert second["waiting_for"] == "" and smi.state_of(second) == "idle"
        # Rank 1 waited for rank 0's fifty launches of chip time, and stood meanwhile.
        assert second["waited_chip_seconds"] > first["waited_chip_seconds"]
        assert second["waited_chip_seconds"] > 50e-7
        assert second["waited_host_seconds"] > 0.3
        for each in ranks:
            each.communicate(timeout=60)
    finally:
        for each in ranks:
            each.kill()
    assert [each.returncode for each in ranks] == [0, 0]


TRACED = """
ones = torch.ones(3000, device=DEVICE)
for _ in range(20 * RANK):  # ranks arrive one after the other
    ones.sin_()
with torch.mtia_sim.trace(os.environ["TRACE"], pes=[0] if RANK == 0 else ()):
    for _ in range(3):
        dist.all_reduce(ones.cos_())
    torch.mtia_sim.synchronize()
"""


def test_traces_of_all_ranks_open_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(TRACED, 3, tmp_path, TRACE=str(tmp_path / "rank{rank}.json"))
    merged = tmp_path / "all.json"
    traces = [str(tmp_path / f"rank{rank}.json") for rank in range(3)]
    assert command_line.main(["merge", str(merged), *reversed(traces)]) == 0
    assert "ranks 0, 1, 2" in capsys.readouterr().out
    groups = {process["name"]: process for process in import_into_chrome(merged)["processes"]}
    assert list(groups) == ["rank 0  mtia_sim:0", "rank 0  mtia_sim:0 PE 0", "rank 1  mtia_sim:1", "rank 2  mtia_sim:2"]
    contents = json.loads(merged.read_text())
    assert contents["otherData"]["merged_ranks"] == [0, 1, 2] and contents["otherData"]["ranks"] == 3
    events = contents["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    spans: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if event.get("cat") == "collective":
            spans.setdefault(names[event["pid"]], []).append((event["ts"], event["dur"]))
    # All ranks are in a collective at the same chip time, to the nanosecond to which an origin is rounded.
    assert [len(each) for each in spans.values()] == [3, 3, 3]
    for each in zip(*spans.values(), strict=True):
        assert max(start for start, _ in each) - min(start for start, _ in each) < 0.003, each
    own = sum(event["ph"] == "X" for trace in traces for event in json.loads(Path(trace).read_text())["traceEvents"])
    assert sum(event["ph"] == "X" for event in events) == own

    other = tmp_path / "all.pftrace"
    assert command_line.main(["merge", str(other), *traces]) == 0
    (counted,) = query(other, "select count(*) as slices from slice where category != 'facts'")
    assert counted == [{"slices": own}]

    assert command_line.main(["merge", str(merged), traces[0], traces[0]]) == 2
    assert "two traces are of one rank" in capsys.readouterr().err
    assert command_line.main(["merge", str(merged), __file__]) == 2
    assert "is no trace of torch.mtia_sim.trace" in capsys.readouterr().err
