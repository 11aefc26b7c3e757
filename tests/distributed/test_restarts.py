"""Killed ranks lose no checkpoint: training goes on from the last one to the losses of a run without kills."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tests.distributed.resumable_training import complete_steps, train
from tests.source_tree import ROOT

RANKS = 2
LONGEST = 100_000  # steps


def lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def torchrun(folder: Path, steps: int, restarts: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    command += [f"--max-restarts={restarts}", "-m", "tests.distributed.resumable_training", str(folder), str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def elastic(folder: Path, steps: int, restarts: int) -> int:
    """torchrun's agent in a process that has imported everything and forks the ranks, so that restarts are quick."""
    process = os.fork()
    if process == 0:
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=RANKS, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
            run_id=folder.name, max_restarts=restarts, monitor_interval=0.05, start_method="fork",
        )  # fmt: skip
        log = os.open(folder / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = 1
        try:
            elastic_launch(config, train)(folder, steps)
            status = 0
        finally:
            os._exit(status)
    return process


def kill_at_random(folder: Path, kills: int, longest: float, is_running: Callable[[], bool]) -> list[int]:
    """Kills ranks, each some time after the last start; what had been reported as complete before each."""
    chance = random.Random(0)
    reported, seen = [], 0
    for _ in range(kills):
        while len(lines(folder, "processes")) < seen + RANKS:
            assert is_running(), "".join(lines(folder, "agent.log")[-40:])
            time.sleep(0.01)
        pids = [int(line.split()[1]) for line in lines(folder, "processes")[-RANKS:]]
        time.sleep(chance.uniform(0, longest))
        seen = len(lines(folder, "processes"))
        reported.append(max((int(line) for line in lines(folder, "complete")), default=0))
        os.kill(chance.choice(pids), 9)
    return reported


def check_nothing_lost(folder: Path, reference: Path, reported: list[int]) -> None:
    """Reported checkpoints were there at the next start, and are; losses have the bits of a run without kills."""
    resumed = [int(line) for line in lines(folder, "resumed")]
    assert resumed == sorted(resumed) and resumed[0] == 0
    # A start that was killed before it looked is not in the list, the later ones are.
    assert all(any(start >= step for start in resumed[1:]) for step in reported if step > 0)
    expected = dict(line.split() for line in lines(reference, "losses"))
    losses = [line.split() for line in lines(folder, "losses")]
    assert {step for step, _ in losses} == set(expected)
    assert all(expected[step] == loss for step, loss in losses)
    assert {int(line) for line in lines(folder, "complete")} <= set(complete_steps(folder))


def read_checkpoints(folder: Path) -> dict[int, bytes]:
    """Every complete checkpoint by step, loaded without ranks."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    target = folder / "whole.pt"
    found = {}
    for step in complete_steps(folder):
        dcp_to_torch_save(folder / "checkpoints" / str(step), target)
        found[step] = target.read_bytes()
    return found


def test_torchrun_restarts_from_the_last_checkpoint(tmp_path: Path) -> None:
    folder, reference = tmp_path / "killed", tmp_path / "whole"
    folder.mkdir()
    reference.mkdir()
    job = torchrun(folder, LONGEST, restarts=3)
    try:
        reported = kill_at_random(folder, 2, 2.0, lambda: job.poll() is None)
        (folder / "stop").touch()
        output = job.communicate(timeout=200)[0]
    finally:
        job.kill()
    assert job.returncode == 0, output[-3000:]
    steps = int(lines(folder, "finished")[0])
    whole = torchrun(reference, steps, restarts=0)
    assert whole.wait(timeout=200) == 0, whole.communicate()[0][-3000:]
    check_nothing_lost(folder, reference, reported)
    assert read_checkpoints(folder) == read_checkpoints(reference)


@pytest.mark.slow
def test_two_hundred_kills_lose_no_checkpoint(tmp_path: Path) -> None:
    kills = int(os.environ.get("MTIA_SIM_TEST_KILLS", "200"))
    folder, reference = tmp_path / "killed", tmp_path / "whole"
    folder.mkdir()
    reference.mkdir()
    job = elastic(folder, LONGEST, restarts=2 * kills)
    reported = kill_at_random(folder, kills, 6.0, lambda: os.waitpid(job, os.WNOHANG) == (0, 0))
    (folder / "stop").touch()
    assert os.waitpid(job, 0)[1] == 0, "\n".join(lines(folder, "agent.log")[-40:])
    steps = int(lines(folder, "finished")[0])
    assert os.waitpid(elastic(reference, steps, restarts=0), 0)[1] == 0
    check_nothing_lost(folder, reference, reported)
    checkpoints = read_checkpoints(folder)
    assert checkpoints == read_checkpoints(reference)
    print(f"{kills} kills, {len(lines(folder, 'resumed'))} starts, {steps} steps, {len(checkpoints)} checkpoints")
