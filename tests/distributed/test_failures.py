"""Whatever happens to one rank, every other one ends with an error that names it, within the timeout."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.ranks import run

KILLED = """
import threading, time, signal
x = torch.ones(4_000_000, device=DEVICE)
dist.all_reduce(x)
torch.mtia_sim.synchronize()
if RANK == 1:
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
begin = time.monotonic()
try:
    while True:
        dist.all_reduce(x, op=dist.ReduceOp.AVG)
        torch.mtia_sim.synchronize()
except RuntimeError as error:
    print(type(error).__name__, error)
    print("after", time.monotonic() - begin)
    print("usable", (torch.ones(3, device=DEVICE) * 2).sum().item())
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("transport", ["shared", "gloo"])
def test_a_rank_killed_in_a_step(transport: str, tmp_path: Path) -> None:
    """The others know at once, not when the timeout has passed."""
    printed = run(KILLED, 3, tmp_path, expected=None, LIMIT="100", MTIA_SIM_TRANSPORT=transport)
    assert printed[1] == ""
    for text in (printed[0], printed[2]):
        assert re.search(
            r"CollectiveFailure.*all_reduce avg.*operation.*rank . of group 0 did not .*; look at", text
        ), text
        assert "usable 6.0" in text
        found = re.search(r"after ([\d.]+)", text)
        assert found and float(found[1]) < 60, text


ABORTED = """
import threading, time
x = torch.ones(1000, device=DEVICE)
dist.all_reduce(x)
torch.mtia_sim.synchronize()
group = dist.distributed_c10d._get_default_group()
if RANK == 1:
    threading.Timer(0.5, group.abort).start()
begin = time.monotonic()
try:
    if RANK != 2:
        dist.all_reduce(x)
        torch.mtia_sim.synchronize()
    else:
        dist.recv(x, 1)
        torch.mtia_sim.synchronize()
except RuntimeError as error:
    print(type(error).__name__, error)
    print("ended", time.monotonic() - begin < 60)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("transport", ["shared", "gloo"])
def test_abort_ends_waits_everywhere(transport: str, tmp_path: Path) -> None:
    """Rank 2 never comes to the collective; rank 1, which waits for it too, aborts."""
    printed = run(ABORTED, 3, tmp_path, LIMIT="100", MTIA_SIM_TRANSPORT=transport)
    assert all("CollectiveFailure" in text and "ended True" in text for text in printed), printed
    assert "abort() was called" in printed[1]


MEETING = """
import datetime, os, time, torch
import torch.distributed as dist
begin = time.monotonic()
try:
    dist.init_process_group(
        init_method=os.environ["WHERE"], rank=0, world_size=2, timeout=datetime.timedelta(seconds=3)
    )
except Exception as error:
    print(type(error).__name__, error)
    print("ended", time.monotonic() - begin < 60)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("where", "rank", "expected"),
    [("file://{folder}/nobody", 0, "."), ("tcp://127.0.0.1:1", 1, r"127\.0\.0\.1.*1")],
    ids=["a rank that never starts", "a wrong address"],
)
def test_ranks_that_do_not_meet(where: str, rank: int, expected: str, tmp_path: Path) -> None:
    """Torch's own store says who did not come, or where nobody answers."""
    script = MEETING.replace("rank=0", f"rank={rank}")
    environment = {**os.environ, "WHERE": where.format(folder=tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert re.search(expected, found.stdout) and "ended True" in found.stdout, found
