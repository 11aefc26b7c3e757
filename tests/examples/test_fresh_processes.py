"""One loss curve, bit for bit, in every fresh process: whatever runs there first, and on any path of the host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "train_llama.py"
# Paths that a process may take: host threads, machine code made at run time or loops, vector instructions.
PATHS = [{"MTIA_SIM_THREADS": "2"}, {"MTIA_SIM_THREADS": "1"}, {"MTIA_SIM_HOST_ISA": "avx2"}]


def curve(out: Path, text: Path, steps: int, path: dict[str, str]) -> list[float]:
    """Losses of a short run in a process of its own; what it evaluates before the first step comes first."""
    command = [sys.executable, str(SCRIPT), "--model", "tiny", "--dtype", "float32", "--seed", "7", "--sample", "0"]
    command += ["--steps", str(steps), "--data", str(text), "--out", str(out)]
    subprocess.run(command, env={**os.environ, **path}, check=True, capture_output=True)
    summary = json.loads((out / "summary.json").read_text())
    return [summary["val_loss_first"], *summary["losses"], summary["val_loss_last"]]


@pytest.mark.parametrize("path", [pytest.param(PATHS[1], marks=pytest.mark.slow), PATHS[2]], ids=["one thread", "avx2"])
def test_fresh_processes_follow_one_curve(tmp_path: Path, text: Path, path: dict[str, str]) -> None:
    assert curve(tmp_path, text, 2, path) == curve(tmp_path, text, 2, PATHS[0])


@pytest.mark.slow
def test_many_fresh_processes_follow_one_curve(tmp_path: Path, text: Path) -> None:
    expected = curve(tmp_path, text, 20, PATHS[0])
    for process in range(40):
        assert curve(tmp_path, text, 20, PATHS[process % len(PATHS)]) == expected, f"process {process}"
